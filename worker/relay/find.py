"""Finds the warehouse that a command is about, and the outbox that a trigger belongs to."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from topics.cli.context import CommandContext

if TYPE_CHECKING:
    from topics.outbox.outbox import Outbox


@contextmanager
def engine_of(context: CommandContext, warehouse: str | None, schema: str | None) -> Iterator[tuple[Any, bool]]:
    """The database of the schema, and whether the schema lies within it: in SQLite it is a file of its own."""
    from topics.errors import SettingsError  # noqa: PLC0415
    from topics.outbox.engine import open_engine  # noqa: PLC0415
    from topics.warehouse import schema_files, warehouse_url  # noqa: PLC0415

    url = warehouse_url(_chosen(context, warehouse))
    inner = url.get_backend_name() != "sqlite" or schema in {None, "main"}
    if not inner:
        files = schema_files(url)
        if schema not in files:
            raise SettingsError(f"the warehouse has no schema {schema!r}; it has {', '.join(files) or 'none yet'}")
        url = url.set(database=str(files[schema]))
    engine = open_engine(url)
    try:
        yield engine, inner
    finally:
        engine.dispose()


def _chosen(context: CommandContext, warehouse: str | None) -> str:
    settings = context.settings
    if warehouse is None:
        return settings.warehouse
    if "://" in warehouse or warehouse.startswith("env:"):
        return warehouse
    if warehouse.lower() not in settings.warehouses:
        known = ", ".join(settings.warehouses) or "none beside WRITEBACK_WAREHOUSE"
        raise click.BadParameter(f"there is no warehouse {warehouse!r}; there is {known}", param_hint="--warehouse")
    return settings.warehouses[warehouse.lower()]


def outboxes(context: CommandContext, warehouse: str | None) -> Iterator[Outbox]:
    """The outboxes of the given warehouse, or of all."""
    from pathlib import Path  # noqa: PLC0415

    from topics.outbox.engine import open_engine  # noqa: PLC0415
    from topics.outbox.outbox import Outbox  # noqa: PLC0415
    from topics.warehouse import warehouse_url  # noqa: PLC0415
    from worker.relay.relays import warehouses  # noqa: PLC0415

    urls = warehouses(context.settings) if warehouse is None else [warehouse_url(_chosen(context, warehouse))]
    for url in urls:
        if url.get_backend_name() == "sqlite" and not Path(url.database or "").is_file():
            continue  # to open the file would create it
        engine = open_engine(url)
        try:
            outbox = Outbox(engine)
            if outbox.exists():
                yield outbox
        finally:
            engine.dispose()


@contextmanager
def holding(context: CommandContext, warehouse: str | None, name: str) -> Iterator[Outbox]:
    """The outbox that has the trigger of that name. Raises ``BadTrigger``."""
    from topics.outbox.errors import BadTrigger  # noqa: PLC0415

    names: list[str] = []
    for outbox in outboxes(context, warehouse):
        here = [one.trigger.name for one in outbox.list()]
        if name in here:
            yield outbox
            return
        names += here
    there = f"there are: {', '.join(names)}" if names else "there are none yet (`writeback triggers create`)"
    raise BadTrigger(f"no trigger {name!r}; {there}.")
