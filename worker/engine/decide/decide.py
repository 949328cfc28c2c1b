"""What to do with an answer. Pure: the same verdict, attempt, policy and dice give the same decision.

First delivery and redelivery take the same path, and so does an event that a dead owner may have sent: it arrives
here as an ``Unknown``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, assert_never

from connectors.contract import (
    Absent,
    CannotTell,
    Delivered,
    Down,
    Finding,
    Found,
    Function,
    Rejected,
    Retry,
    Scope,
    Throttled,
    Unknown,
    Verdict,
)
from worker.engine.decide.retry import RetryPolicy
from worker.engine.progress.metadata import LetterCause


@dataclass(frozen=True, slots=True)
class Done:
    detail: Any = None
    id: str | None = None


@dataclass(frozen=True, slots=True)
class Again:
    """Call again in ``delay`` seconds; ``doubtful``: the call before may have happened and nobody can be asked."""

    delay: float
    reason: str
    doubtful: bool = False


@dataclass(frozen=True, slots=True)
class Find:
    """Ask the vendor in ``delay`` seconds whether it happened."""

    delay: float
    reason: str


@dataclass(frozen=True, slots=True)
class Bury:
    cause: LetterCause
    reason: str


LOST_EVIDENCE = "; the worker that found this out died before its letter was safe, and what the vendor said with it"
FOUND_OUT: Mapping[str, str] = {
    "rejected": "it was refused",
    "exhausted": "every attempt failed",
    "unknown-outcome": "it may have happened, and the vendor cannot be asked",
    "blocked": "an earlier event of this record died",
    "malformed": "it could not be read",
    "unknown-function": "the connector did not have such a function",
    "unknown-connection": "there was no such connection",
}


def announced_letter(letter_cause: LetterCause) -> Bury:
    """An earlier owner announced the letter, which may be written already: the event is dead-lettered, not called."""
    return Bury(letter_cause, FOUND_OUT[letter_cause] + LOST_EVIDENCE)


def may_have_happened(began: float | None) -> Bury:
    """The letter of a call that cannot be repeated, and that an owner which is gone may have made.

    ``began``: seconds since the epoch; 0: it was announced, and nobody knows whether it began.
    """
    if began:
        moment = datetime.fromtimestamp(began, UTC)
        what = f"a worker was lost while this call was under way: it began at {moment:%Y-%m-%d %H:%M:%S} UTC"
    else:
        what = "a worker was lost when this call was about to begin: it may not have begun"
    return Bury("unknown-outcome", f"{what}; it may have happened, and the vendor cannot be asked")


@dataclass(frozen=True, slots=True)
class Hold:
    """The destination is out: open the breaker; the event stays as it was."""

    reason: str
    after: float | None = None


@dataclass(frozen=True, slots=True)
class Wait:
    """The destination's quota: the event stays as it was; the connection, or only its key, waits ``delay`` seconds."""

    delay: float
    reason: str
    scope: Scope = "connection"


Decision = Done | Again | Find | Bury | Hold | Wait


@dataclass(frozen=True, slots=True)
class Case:
    """What is known of the event beside the answer.

    ``attempt``: calls that counted, this one included. ``suspect``: an earlier call may have happened. ``half_open``:
    this call was the breaker's trial, whose failure is the destination's and not the record's.
    """

    function: Function
    attempt: int
    short: bool = False
    suspect: bool = False
    half_open: bool = False


def decide(verdict: Verdict, case: Case, policy: RetryPolicy, roll: float) -> Decision:  # noqa: PLR0911 - one per verdict
    match verdict:
        case Delivered():
            return Done(verdict.detail, verdict.id)
        case Retry():
            if case.half_open:
                return Hold(verdict.reason, verdict.after)
            delay = policy.delay(verdict.kind, case.attempt, roll, after=verdict.after, short=case.short)
            if delay is None:
                return Bury("exhausted", f"{verdict.reason} (gave up after {case.attempt} attempts)")
            return Again(delay, verdict.reason)
        case Throttled():
            return Wait(verdict.after, verdict.reason, verdict.scope)
        case Down():
            return Hold(verdict.reason, verdict.after)
        case Rejected():
            return _rejected(verdict, case, policy)
        case Unknown():
            return _unknown(verdict.reason, case, policy, roll)
        case _:
            assert_never(verdict)


def decide_finding(finding: Finding, case: Case, policy: RetryPolicy, roll: float) -> Decision:
    match finding:
        case Found():
            return Done(finding.detail, finding.id)
        case Absent():
            delay = policy.delay("no_answer", case.attempt, roll, after=0.0, short=False)
            if delay is None:
                return Bury("exhausted", f"no answer and not there either (gave up after {case.attempt} attempts)")
            return Again(delay, "not there: the earlier call did not happen")
        case CannotTell():
            return _policy(finding.reason, case, policy, roll)
        case _:
            assert_never(finding)


def _rejected(verdict: Rejected, case: Case, policy: RetryPolicy) -> Decision:
    """The record exists already. It may be ours, so ask; not for ever: ``find`` may never see another's."""
    ours = verdict.conflict and case.suspect and case.function.findable
    if ours and policy.delay("no_answer", case.attempt, 0.0, after=0.0, short=False) is not None:
        return Find(case.function.settle_after, verdict.reason)
    return Bury("rejected", verdict.reason)


def _unknown(reason: str, case: Case, policy: RetryPolicy, roll: float) -> Decision:
    if case.function.idempotent:
        return _again("no_answer", reason, case, policy, roll, doubtful=False)
    if case.function.findable:
        return Find(case.function.settle_after, reason)
    return _policy(reason, case, policy, roll)


def _policy(reason: str, case: Case, policy: RetryPolicy, roll: float) -> Decision:
    if case.function.on_unknown == "dead_letter":
        return Bury("unknown-outcome", f"{reason}; it may have happened, and the vendor cannot be asked")
    return _again("no_answer", reason, case, policy, roll, doubtful=True)


def _again(
    kind: Literal["no_answer"], reason: str, case: Case, policy: RetryPolicy, roll: float, *, doubtful: bool
) -> Decision:
    if case.attempt == 0:  # a dead owner's call: nothing of ours is spent yet, and nothing is gained by waiting
        return Again(0.0, reason, doubtful=doubtful)
    delay = policy.delay(kind, case.attempt, roll, after=None, short=case.short)
    if delay is None:
        return Bury("exhausted", f"{reason} (gave up after {case.attempt} attempts)")
    return Again(delay, reason, doubtful=doubtful)
