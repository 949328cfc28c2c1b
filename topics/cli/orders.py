"""``writeback topics resume``, ``skip`` and ``bury``: what a person decides about a topic that a worker holds."""

from __future__ import annotations

import getpass
import os
import sys
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import click

from topics.cli.console import INCOMPLETE, OK, json_option, note, pass_context, print_json, progress, say
from topics.cli.context import CommandContext
from topics.names import slug_of

if TYPE_CHECKING:
    from topics.log import Partition
    from topics.store.orders import Order, OrderKind

WAIT_S = 15.0
"""How long an answer is waited for; a worker looks every second."""
LOOK_S = 0.25

_partition_option = click.option(
    "--partition", type=click.IntRange(min=0), help="Only this one; else all of the topic."
)
_yes_option = click.option("--yes", is_flag=True, help="Do not ask.")
_cancel_option = click.option("--cancel", is_flag=True, help="Take back an order that no worker has carried out.")


@click.command()
@click.argument("slug")
@click.option(
    "--from",
    "kind",
    type=click.Choice(["ledger", "start", "end"]),
    default="ledger",
    show_default=True,
    help="ledger: what has no outcome there. start: everything again. end: nothing of what is there now.",
)
@_partition_option
@_yes_option
@_cancel_option
@json_option
@pass_context
def resume(
    context: CommandContext,
    /,
    *,
    slug: str,
    kind: OrderKind,
    partition: int | None,
    yes: bool,
    cancel: bool,
    as_json: bool,
) -> int:
    """Go on with a topic whose commits are gone (a deleted group, offsets that expired).

    A worker holds such a topic: whether its events were delivered is known from the ledger only. With --from ledger
    the events without an outcome go out; an event whose outcome was not written before a crash may then go out twice.
    """
    if not (yes or cancel) and kind != "ledger":
        _confirm(
            "Everything goes out again" if kind == "start" else "What is there now is never delivered",
            context.log().names.events_topic(slug),
        )
    return _order(context, slug, kind, partition, cancel=cancel, as_json=as_json)


@click.command()
@click.argument("slug")
@_partition_option
@_cancel_option
@json_option
@pass_context
def skip(context: CommandContext, /, *, slug: str, partition: int | None, cancel: bool, as_json: bool) -> int:
    """Go past what cannot be read: a damaged batch, an unknown codec, records that were deleted unread.

    The bytes that are there are kept in a dead letter. What can be read is not passed. For SLUG also the topic of
    the requests for a refresh (writeback.refresh); for that of the letters: writeback dead-letters skip.
    """
    return _order(context, slug, "skip", partition, cancel=cancel, as_json=as_json)


@click.command()
@click.argument("slug")
@_yes_option
@_cancel_option
@json_option
@pass_context
def bury(context: CommandContext, /, *, slug: str, yes: bool, cancel: bool, as_json: bool) -> int:
    """Dead-letter what waits for a connection that does not exist.

    A worker holds a topic whose connection its store does not know: it may be another store's. This says that it is
    nobody's: what is there now is put into the dead letters, what comes later waits again.
    """
    if not (yes or cancel):
        from topics.log.waiting import count_waiting  # noqa: PLC0415 - help needs no log

        lags = count_waiting(context.log(), context.settings.group, context.log().names.events_topic(slug))
        waiting = sum(lag.records for place, lag in lags.items() if slug_of(place.topic) == slug)
        _confirm(f"{waiting:,} events are put into the dead letters", context.log().names.events_topic(slug))
    return _order(context, slug, "bury", None, cancel=cancel, as_json=as_json)


def _confirm(what: str, topic: str) -> None:
    if not sys.stdin.isatty():
        raise click.UsageError(f"{what} (topic {topic}): say --yes, since nobody is there to be asked")
    click.confirm(f"{what} (topic {topic}). Go on?", abort=True, err=True)


def _order(
    context: CommandContext, slug: str, kind: OrderKind, number: int | None, *, cancel: bool, as_json: bool
) -> int:
    from topics.store.orders import Order, Orders  # noqa: PLC0415 - help needs no tables

    places = _partitions(context, slug, number)
    orders = Orders(context.store())
    if cancel:
        taken_back = orders.cancel(places)
        say(f"Took back {taken_back} order{'s' * (taken_back != 1)}")
        return OK
    now, ends = time.time(), context.log().end_offsets(places)  # noqa: TID251 - the command line is an edge
    orders.give([Order(place, kind, ends[place], _who(), now) for place in places])
    with progress("waiting for the worker", None):
        given = _answers(lambda: orders.of(places))
    return _tell(given, as_json=as_json)


def _partitions(context: CommandContext, slug: str, number: int | None) -> list[Partition]:
    from topics.log import Partition  # noqa: PLC0415

    log = context.log()
    if slug == log.names.dead_letter:
        raise click.UsageError(
            f"{slug} is read by the archive: `writeback dead-letters skip` goes on behind what it holds"
        )
    topic = slug if slug == log.names.refresh else log.names.events_topic(slug)
    count = log.topics(topic).get(topic)
    if count is None:
        there = sorted(slug_of(name) or name for name in log.topics(log.names.events_prefix))
        raise click.UsageError(f"there is no topic {topic}; there are: {', '.join(there) or 'none'}")
    if number is not None and number >= count:
        raise click.UsageError(f"{topic} has {count} partitions, numbered from 0; there is no {number}")
    return [Partition(topic, each) for each in (range(count) if number is None else [number])]


def _answers(look: Callable[[], list[Order]]) -> list[Order]:
    deadline = time.monotonic() + WAIT_S
    while True:
        given = look()
        if all(order.answer is not None for order in given) or time.monotonic() > deadline:
            return given
        time.sleep(LOOK_S)  # noqa: TID251 - waits for another process, which tells nobody when it is done


def _tell(given: Sequence[Order], *, as_json: bool) -> int:
    if as_json:
        print_json(
            [{"partition": str(order.partition), "order": order.kind, "answer": order.answer} for order in given]
        )
    for order in given:
        if order.answer is None:
            note(
                f"{order.partition}: not carried out yet. The worker that has it does so as soon as it looks; "
                "--cancel takes the order back. `writeback doctor` says whether one runs"
            )
        elif not as_json:
            say(f"{order.partition}: {order.answer}")
    return OK if all(order.answer is not None for order in given) else INCOMPLETE


def _who() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"
