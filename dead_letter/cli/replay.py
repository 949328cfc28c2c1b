"""``writeback dead-letters replay`` and ``discard``: the two ways in which a letter is done with."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from dead_letter.cli.context import (
    all_option,
    confirm,
    confirm_typed,
    current_store,
    ids_argument,
    mark_found,
    now,
    selected,
    who,
    yes_option,
)
from dead_letter.cli.options import filter_options, reason_option
from dead_letter.cli.parked import close_overdue, tell_keys
from topics.cli.console import (
    INCOMPLETE,
    INTERRUPTED,
    OK,
    json_option,
    note,
    pass_context,
    print_json,
    print_listing,
    progress,
    say,
)
from topics.cli.context import CommandContext
from topics.names import slug_of

if TYPE_CHECKING:
    from dead_letter.replay.claim import Claim
    from dead_letter.replay.closing import Closing
    from dead_letter.replay.replay import Item
    from dead_letter.replay.selection import Planned
    from dead_letter.store.rows import Summary
    from dead_letter.store.store import LetterStore


UNKNOWN_OUTCOME = "unknown-outcome"
FEW = 20
"""Letters that a person reads one by one."""


@click.command()
@ids_argument
@filter_options
@reason_option
@all_option
@click.option("--dry-run", is_flag=True, help="Say what would happen, and do nothing.")
@click.option("--rate", type=click.FloatRange(0, min_open=True), help="Events per second at the most.")
@click.option("--superseded", is_flag=True, help="Also those that a later event has overtaken.")
@click.option("--new-id", is_flag=True, help="Edited events get a new id: they are other events.")
@click.option("--yes", is_flag=True, help="Do not ask, not even before what may have happened is repeated.")
@json_option
@pass_context
def replay(
    context: CommandContext,
    /,
    *,
    ids: tuple[str, ...],
    everything: bool,
    dry_run: bool,
    rate: float | None,
    superseded: bool,
    new_id: bool,
    yes: bool,
    as_json: bool,
    **said: Any,
) -> int:
    """Put letters back onto their topics, in the order of their events.

    Where the outcome is unknown (unknown-outcome) the event may have been carried out: you are asked before it is
    repeated, and without a terminal, or with --json, --yes is needed.
    """
    from dead_letter.replay.claim import Claim  # noqa: PLC0415
    from dead_letter.replay.closing import closings  # noqa: PLC0415
    from dead_letter.replay.selection import survey  # noqa: PLC0415

    store = current_store(context, needs_log=True)
    letters = [letter.id for letter in selected(store, ids, everything=everything, said=said)]

    def survey_now(claimed: Mapping[str, str]) -> list[Planned]:
        held_back, now = context.held_back(), store.again(letters)
        return survey(context.log(), store, now, claimed=claimed, held_back=held_back, superseded=superseded)

    if dry_run:
        planned = survey_now({letter: str(holder) for letter, holder in store.claims.holders(letters).items()})
        return _print_plan(planned, closings(store, *_going(planned)), as_json=as_json)
    with Claim(store, who=who(), monotonic=time.monotonic) as claim:
        planned = survey_now(claim.take(letters))  # claimed first: what the plan rests on, nobody changes any more
        claim.give_back([item.letter.id for item in planned if not item.goes])
        if not any(item.goes for item in planned):
            return _none_goes(planned, close_overdue(context, store), as_json=as_json)
        if not yes:
            _ask(planned, closings(store, *_going(planned)), named=bool(ids), as_json=as_json)
        return _replay(context, store, claim, planned, rate=rate, new_id=new_id, as_json=as_json)


@click.command()
@ids_argument
@filter_options
@all_option
@click.option("--reason", "why", required=True, help="Why; it is kept.")
@yes_option
@json_option
@pass_context
def discard(
    context: CommandContext,
    /,
    *,
    ids: tuple[str, ...],
    everything: bool,
    why: str,
    yes: bool,
    as_json: bool,
    **said: Any,
) -> int:
    """Give letters up. They stay readable (--state discarded)."""
    from dead_letter.replay.closing import closings  # noqa: PLC0415

    store = current_store(context)
    letters = {letter.id: letter for letter in selected(store, ids, everything=everything, said=said)}
    if letters and not yes:
        confirm_typed(f"discard {len(letters)}")
    mark_found(context, store, list(letters.values()))
    done = store.discard(list(letters), why, who=who(), now=now())
    claimed = store.claims.holders([letter for letter in letters if letter not in done])
    keys = [one for one in closings(store, [letters[letter] for letter in done]) if not one.flows]
    keys += close_overdue(context, store)
    not_open = sorted(set(letters) - set(done) - set(claimed))
    if as_json:
        whose = {letter: str(holder) for letter, holder in claimed.items()}
        told = [asdict(one) for one in keys]
        print_json({"discarded": done, "not_open": not_open, "claimed": whose, "keys": told})
    else:
        counts = {"discarded": len(done), "were not open": len(not_open), "claimed": len(claimed)}
        say(", ".join(f"{count:,} {what}" for what, count in counts.items() if count or what == "discarded"))
        _tell_claims(list(map(str, claimed.values())))
        tell_keys(keys)
    return INCOMPLETE if not_open or claimed or any(one.trouble for one in keys) else OK


def _replay(
    context: CommandContext,
    store: LetterStore,
    claim: Claim,
    planned: list[Planned],
    *,
    rate: float | None,
    new_id: bool,
    as_json: bool,
) -> int:
    from dead_letter.replay.replay import Replayer  # noqa: PLC0415
    from topics.cli.pace import Pace  # noqa: PLC0415

    def held_back(topics: set[str]) -> str:
        why = context.held_back()
        return next((why[slug] for slug in map(slug_of, sorted(topics)) if slug and slug in why), "")

    group = context.settings.group
    pace = Pace(time.monotonic, time.sleep, rate=rate, group=group, held_back=held_back)  # noqa: TID251 - the edge
    replayer = Replayer(context.log(), store, claim, who=who(), now=now, pace=pace, new_id=new_id)
    items: list[Item] = []
    told = ""

    def waiting(why: str) -> None:
        nonlocal told
        if why.split(" has ", maxsplit=1)[0] != told:  # once per topic, not once per look
            told = why.split(" has ", maxsplit=1)[0]
            note(f"{why}; waiting for the workers (Ctrl-C stops, the same command goes on)")

    interrupted = False
    run = replayer.run(planned, waiting=waiting)
    try:
        with progress("Replaying", sum(item.goes for item in planned)) as advance, closing(run):
            for item in run:
                items.append(item)
                advance(1)
    except KeyboardInterrupt:
        interrupted = True
    keys = replayer.closed + ([] if interrupted else close_overdue(context, store, replayer.closed))
    _tell_outcome(items, [item for item in planned if not item.goes], keys, as_json=as_json)
    if interrupted:
        note("Stopped. What was acknowledged is marked; the same command goes on with the rest.")
        return INTERRUPTED
    all_went = sum(item.outcome in {"replayed", "found"} for item in items) == len(planned)
    return OK if all_went and not any(one.trouble for one in keys) else INCOMPLETE


def _tell_outcome(items: Sequence[Item], left: Sequence[Planned], keys: Sequence[Closing], *, as_json: bool) -> None:
    if as_json:
        done, said = [asdict(item) for item in items], [asdict(one) for one in keys]
        print_json({"items": done, "left": [_told(item) for item in left], "keys": said})
        return
    counts = Counter([str(item.outcome) for item in items] + [str(item.fate) for item in left])
    say(", ".join(f"{count:,} {outcome}" for outcome, count in counts.items()))
    reasons = Counter([item.why for item in items if item.why] + [item.why for item in left])
    for why, count in reasons.most_common(10):
        note(f"  {count:,} x {why}")
    tell_keys(keys)


def _ask(planned: list[Planned], keys: Sequence[Closing], *, named: bool, as_json: bool) -> None:
    """Letters that were ``named`` go without a question, but for those whose event may have been carried out."""
    going = sum(item.goes for item in planned)
    doubtful = sum(item.fate == "eligible" and item.letter.verdict == UNKNOWN_OUTCOME for item in planned)
    if not doubtful and named:
        return
    if doubtful and as_json:
        raise click.UsageError(f"{_may_repeat(doubtful)}: look at the destination first, then say --yes")
    _tell_plan(planned, keys)
    if doubtful:
        note(f"{_may_repeat(doubtful)}: look at the destination first, and discard what is there.")
    confirm(f"Replay {going:,} letters{' all the same' if doubtful else ''}?")


def _may_repeat(doubtful: int) -> str:
    return f"{doubtful:,} of them may have been carried out already (unknown-outcome), and a replay does it again"


def _going(planned: Sequence[Planned]) -> tuple[list[Summary], set[str]]:
    going = [item.letter for item in planned if item.goes]
    return going, {letter.id for letter in going}


def _print_plan(planned: list[Planned], keys: Sequence[Closing], *, as_json: bool) -> int:
    if as_json:
        print_json({"items": [_told(item) for item in planned], "keys": [asdict(one) for one in keys]})
    else:
        rows = [{**_told(item), "id": item.letter.id[:12]} for item in planned if item.fate != "claimed"]
        if rows or not planned:
            print_listing(rows, as_json=False, columns=("id", "what", "fate", "why"), empty="No letter matches.")
        _tell_plan(planned, keys)
    return OK if all(item.goes for item in planned) else INCOMPLETE


def _none_goes(planned: list[Planned], keys: Sequence[Closing], *, as_json: bool) -> int:
    """A few are listed; of many the reasons are counted, and --dry-run lists them."""
    if as_json or len(planned) <= FEW:
        return _print_plan(planned, keys, as_json=as_json)
    _tell_outcome([], planned, keys, as_json=False)
    note("Nothing was sent; --dry-run lists them one by one.")
    return INCOMPLETE


def _told(item: Planned) -> dict[str, Any]:
    from dead_letter.cli.page import what  # noqa: PLC0415

    return {"id": item.letter.id, "what": what(item.letter), "fate": item.fate, "why": item.why}


def _tell_plan(planned: list[Planned], keys: Sequence[Closing]) -> None:
    counts = Counter(str(item.fate) for item in planned)
    if counts:
        note(", ".join(f"{count:,} {fate}" for fate, count in counts.items()))
    _tell_claims([item.why for item in planned if item.fate == "claimed"])
    tell_keys(keys)


def _tell_claims(whose: Sequence[str]) -> None:
    """Who has the letters that were passed over."""
    for who_has, count in Counter(whose).items():
        note(f"  {count:,} x {who_has}; when that ends, what it did not send is open to everybody")
