"""``writeback topics`` and ``writeback results``."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import click

from topics.cli.console import json_option, note, pass_context, print_json, print_listing, print_table, when
from topics.cli.context import CommandContext
from topics.cli.orders import bury, resume, skip
from topics.names import SLUG, slug_of

if TYPE_CHECKING:
    from topics.event.result import Result, StateChange
    from topics.log import Lag, Log, Partition, Record

T = TypeVar("T")
POLL_S = 0.5


@click.group()
def topics() -> None:
    """The topics of the log, and how far the workers are in each.

    \b
      writeback topics list
      writeback topics lag          # per connection: what waits
      writeback topics create       # ours, where workers may not make them
      writeback topics resume crm --from ledger   # its commits are gone
      writeback topics skip crm                   # past what cannot be read
      writeback topics bury crm                   # of a connection that is none
    """  # noqa: D301 - click's own mark, a real backspace


for command in (resume, skip, bury):
    topics.add_command(command)


@topics.command("list")
@json_option
@pass_context
def list_topics(context: CommandContext, *, as_json: bool) -> None:
    """Every topic of ours, with its partitions and records."""
    from topics.log import Partition  # noqa: PLC0415

    log = context.log()
    counts = {name: count for name, count in log.topics(f"{log.names.prefix}.").items() if log.names.owns(name)}
    ends = log.end_offsets([Partition(name, number) for name, count in counts.items() for number in range(count)])
    rows = [
        {"topic": name, "partitions": count, "end": sum(end for place, end in ends.items() if place.topic == name)}
        for name, count in sorted(counts.items())
    ]
    print_listing(rows, as_json=as_json, empty="No topics yet: `writeback topics create`, or start a worker.")


@topics.command()
@json_option
@pass_context
def lag(context: CommandContext, *, as_json: bool) -> None:
    """What waits: per connection the records between what is done and the end, and the letters not yet archived.

    Where more than 1,000 offsets lie between, `waiting` is their number: the most that it can be, since the marker of a
    transaction takes one, too.
    """
    from topics.log.waiting import count_waiting  # noqa: PLC0415 - help needs no log

    log = context.log()
    names = log.names
    lags = count_waiting(log, context.settings.group, names.events_prefix)
    lags |= count_waiting(log, names.archive_group, names.dead_letter)
    rows = [_lag_row(place, one) for place, one in sorted(lags.items()) if names.owns(place.topic)]
    print_listing(rows, as_json=as_json, empty="No connection has events yet.")


def _lag_row(place: Partition, lag: Lag) -> dict[str, Any]:
    return {
        "connection": slug_of(place.topic) or place.topic,
        "partition": place.number,
        "done": lag.committed,
        "end": lag.end,
        "waiting": lag.records,
    }


@topics.command()
@click.argument("slug", required=False)
@click.option("--partitions", type=click.IntRange(min=1), help="Of the topic of SLUG. Default: 1.")
@pass_context
def create(context: CommandContext, slug: str | None, *, partitions: int | None) -> None:
    """Make our topics where they do not exist, or with SLUG the events topic of one connection.

    Workers and producers do this themselves; it is for brokers on which they are not allowed to.
    """
    names = context.settings.names
    if slug is None:
        if partitions is not None:
            raise click.UsageError("--partitions is for the topic of one connection: give its SLUG, too")
        context.log().ensure_topics(names.system_topics)
        click.echo("\n".join(spec.name for spec in names.system_topics))
        return
    if not SLUG.fullmatch(slug):
        raise click.UsageError(
            f"{slug!r} is no slug: lower-case letters, digits and dashes, as `connections list` shows"
        )
    context.log().ensure_topics([names.events_spec(slug, partitions or 1)])
    click.echo(names.events_topic(slug))


@click.command()
@click.option("--connection", help="Only this one's (its slug).")
@click.option("--outcome", type=click.Choice(["delivered", "dead", "superseded"]), help="Only these.")
@click.option("--event", "event_id", help="Only what became of this event.")
@click.option("--limit", type=click.IntRange(min=1), default=50, show_default=True, help="The last so many.")
@click.option("--states", is_flag=True, help="Instead: how the connections are, and when that changed.")
@click.option("--follow", is_flag=True, help="Go on as they come, until Ctrl-C.")
@json_option
@pass_context
def results(
    context: CommandContext,
    *,
    connection: str | None,
    outcome: str | None,
    event_id: str | None,
    limit: int,
    states: bool,
    follow: bool,
    as_json: bool,
) -> None:
    """What became of each event: the ledger of outcomes, the latest last.

    \b
      writeback results --connection hubspot --outcome dead
      writeback results --event 01a20d58-632e-729a-bd9d-9c217324208f
      writeback results --states --connection hubspot
      writeback results --follow --json | jq .

    With --json one JSON object per line. The ledger keeps four weeks.
    """  # noqa: D301 - click's own mark, a real backspace
    if states and (outcome or event_id):
        raise click.UsageError("--states are of connections: neither --outcome nor --event goes with it")

    def of_states(record: Record) -> list[StateChange]:
        from topics.event.result import unpack_states  # noqa: PLC0415

        changes = unpack_states(record.value) if record.key else []  # the keys of outcomes are empty: a cheap look
        return [change for change in changes if connection in {None, change.connection}]

    def of_outcomes(record: Record) -> list[Result]:
        from topics.event.result import unpack  # noqa: PLC0415

        return [result for result in unpack(record.value) if wanted(result)]

    def wanted(result: Result) -> bool:
        return (
            connection in {None, result.connection}
            and outcome in {None, result.outcome}
            and event_id in {None, result.id}
        )

    filtered = any((connection, outcome, event_id, states))
    ledger = _Ledger[Any](context.log(), of_states if states else of_outcomes)
    show = _print_states if states else _print
    show(ledger.last(limit, everywhere=filtered), as_json=as_json, quiet=follow)
    while follow:
        show(ledger.next(), as_json=as_json, quiet=True)


class _Ledger(Generic[T]):
    """The results topic. ``read``: what is wanted of a record, which may be nothing."""

    def __init__(self, log: Log, read: Callable[[Record], list[T]]) -> None:
        from topics.log import Partition  # noqa: PLC0415

        log.ensure_topics(log.names.system_topics)
        results = log.names.results
        places = [Partition(results, number) for number in range(log.topics(results)[results])]
        self._log = log
        self._read = read
        self._starts, self._ends = log.start_offsets(places), log.end_offsets(places)

    def last(self, count: int, *, everywhere: bool) -> list[T]:
        """The last so many up to now. ``everywhere``: few records have one, so all of them are read."""
        back = count
        while True:
            starts = {place: max(first, self._ends[place] - back) for place, first in self._starts.items()}
            if everywhere:
                starts = self._starts
            self._reader = self._log.reader(starts)
            found = deque(self._so_far(), maxlen=count)
            if len(found) == count or starts == self._starts:
                return list(found)
            self._reader.close()
            back *= 4  # most records there told something else

    def _so_far(self) -> Iterator[T]:
        while any(self._reader.position(place) < end for place, end in self._ends.items()):
            yield from self.next()

    def next(self) -> list[T]:
        return [found for record in self._reader.poll(POLL_S) for found in self._read(record)]


def _print_states(found: list[StateChange], *, as_json: bool, quiet: bool) -> None:
    if as_json:
        for change in found:
            print_json({name: getattr(change, name) for name in change.__dataclass_fields__})
    elif found:
        rows = [[when(change.time), change.connection, change.state, change.reason] for change in found]
        print_table(["time", "connection", "state", "reason"], rows)
    elif not quiet:
        note("Nothing is known of any connection yet: a worker tells it.")


def _print(found: list[Result], *, as_json: bool, quiet: bool) -> None:
    if as_json:
        for result in found:
            print_json(result._asdict())
    elif found:
        columns = ["time", "outcome", "connection", "object", "operation", "key", "calls", "detail", "event"]
        print_table(columns, [_row(result) for result in found])
    elif not quiet:
        note("No outcomes yet.")


def _row(result: Result) -> list[object]:
    doubt = " (possibly twice)" if result.possible_duplicate else ""
    letter = f" (dead letter {result.letter})" if result.letter else ""
    said = f"{result.reason or result.detail or ''}{letter}{doubt}"
    return [
        when(result.time),
        result.outcome,
        result.connection,
        result.object,
        result.operation,
        result.key,
        result.attempts,
        said,
        result.id,
    ]
