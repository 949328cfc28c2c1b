"""A new connection is tried before it is there for others: whoever typed the credentials hears if they are no good."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import click

from connectors.errors import BadSecret
from topics.cli.console import note

if TYPE_CHECKING:
    from connectors.connections.store import Connection, Connections

TRIAL_SECONDS = 30.0


def tried(store: Connections, made: Connection) -> None:
    """Raises ``click.ClickException`` when the SaaS does not answer, or does not let us in.

    A reference that leads to nothing here is no mistake: it may lead to something where the workers run.
    """
    from connectors.cli.probe import probe  # noqa: PLC0415 - the HTTP library is not for --help

    try:
        secrets = store.secrets(made)
    except BadSecret as error:
        note(f"Not tried: {error}. Where the workers run it must lead to something: `writeback doctor` there tells.")
        return
    asked = probe(made, secrets, store.tokens(made, secrets))
    try:
        good, said = asyncio.run(asyncio.wait_for(asked, TRIAL_SECONDS))
    except TimeoutError:
        good, said = False, f"no answer within {TRIAL_SECONDS:g} s"
    if not good:
        raise click.ClickException(f"{made.name} is not added: {said}. With --no-test it is added as it is")
