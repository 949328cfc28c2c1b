"""From an answer to a decision: every verdict, and every circumstance that may matter."""

from __future__ import annotations

import itertools
from typing import Any, Literal, cast, get_args

import pytest

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
    Throttled,
    Unknown,
    UnknownPolicy,
    Verdict,
)
from topics.event.event import Operation
from worker.engine.decide.decide import (
    Again,
    Bury,
    Case,
    Decision,
    Done,
    Find,
    Hold,
    Wait,
    announced_letter,
    decide,
    decide_finding,
)
from worker.engine.decide.retry import RetryPolicy
from worker.engine.progress.metadata import LetterCause

POLICY = RetryPolicy()
ROLL = 0.5
SETTLE = 3.0

VERDICTS: dict[str, Verdict] = {
    "delivered": Delivered({"ok": True}, id="v1"),
    "retry": Retry("busy"),
    "retry-after": Retry("busy", after=7.0),
    "throttled": Throttled(2.0),
    "throttled-key": Throttled(2.0, scope="key"),
    "down": Down("refused", after=4.0),
    "rejected": Rejected("bad"),
    "conflict": Rejected("exists", conflict=True),
    "whole": Rejected("one of these", whole=True),
    "unknown": Unknown("no answer"),
}
FINDINGS: dict[str, Finding] = {
    "found": Found({"id": 1}, id="v1"),
    "absent": Absent(),
    "cannot-tell": CannotTell("no search"),
}
POLICIES: tuple[UnknownPolicy, ...] = get_args(UnknownPolicy)
BOTH = (False, True)


def case(
    *,
    idempotent: bool = False,
    findable: bool = False,
    on_unknown: UnknownPolicy = "dead_letter",
    attempt: int = 1,
    short: bool = False,
    suspect: bool = False,
    half_open: bool = False,
) -> Case:
    function = Function(
        "contact", Operation.ADD, idempotent=idempotent, findable=findable, settle_after=SETTLE, on_unknown=on_unknown
    )
    return Case(function, attempt, short, suspect, half_open)


CASES = [
    case(idempotent=i, findable=f, on_unknown=policy, attempt=attempt, short=short, suspect=suspect, half_open=half)
    for i, f, policy, attempt, short, suspect, half in itertools.product(
        BOTH, BOTH, POLICIES, (0, 1, 5, 6, 8, 9), BOTH, BOTH, BOTH
    )
]


def told(case: Case) -> str:
    names = ("idempotent", "findable", "on_unknown")
    return f"{[getattr(case.function, name) for name in names]} {case.attempt} {case.short} {case.suspect}"


def more(attempt: int, limit: int, *, short: bool) -> bool:
    return attempt <= (0 if short else limit)


def by_policy(case: Case) -> type[Decision]:
    """Written out again, from the design: it may have happened and nobody can be asked."""
    if case.function.on_unknown == "dead_letter":
        return Bury
    return Again if case.attempt == 0 or more(case.attempt, 5, short=case.short) else Bury


def expected(name: str, case: Case) -> type[Decision]:  # noqa: PLR0911 - one per row of the table
    function = case.function
    match name:
        case "delivered":
            return Done
        case "throttled" | "throttled-key":
            return Wait
        case "down":
            return Hold
        case "rejected" | "whole":
            return Bury
        case "conflict":
            asked = case.suspect and function.findable and more(case.attempt, 5, short=False)
            return Find if asked else Bury
        case "retry" | "retry-after":
            if case.half_open:
                return Hold
            return Again if more(case.attempt, 8, short=case.short) else Bury
        case "unknown":
            if function.idempotent:
                return Again if case.attempt == 0 or more(case.attempt, 5, short=case.short) else Bury
            return Find if function.findable else by_policy(case)
    raise AssertionError(name)


@pytest.mark.parametrize("name", VERDICTS)
def test_every_verdict_in_every_case(name: str) -> None:
    """The whole table: what the design says is what is decided."""
    for one in CASES:
        decision = decide(VERDICTS[name], one, POLICY, ROLL)

        assert type(decision) is expected(name, one), told(one)


@pytest.mark.parametrize("name", FINDINGS)
def test_every_finding_in_every_case(name: str) -> None:
    """The whole table of what is decided once the vendor was asked."""
    for one in CASES:
        decision = decide_finding(FINDINGS[name], one, POLICY, ROLL)

        if name == "found":
            wanted: type[Decision] = Done
        elif name == "absent":
            wanted = Again if more(one.attempt, 5, short=False) else Bury
        else:
            wanted = by_policy(one)
        assert type(decision) is wanted, told(one)


def test_the_tables_name_every_verdict_and_finding() -> None:
    """A verdict that is added to the contract has to be added here."""
    assert {type(verdict) for verdict in VERDICTS.values()} == set(get_args(Verdict))
    assert {type(finding) for finding in FINDINGS.values()} == set(get_args(Finding))


def test_what_is_no_verdict_is_a_bug() -> None:
    """The match is closed: nothing falls through in silence."""
    with pytest.raises(AssertionError, match="unreachable"):
        decide(cast("Any", "yes"), case(), POLICY, ROLL)
    with pytest.raises(AssertionError, match="unreachable"):
        decide_finding(cast("Any", "yes"), case(), POLICY, ROLL)


def test_the_vendors_words_travel_with_the_decision() -> None:
    """Detail and id of what was delivered or found; wait and reason of what was not."""
    assert decide(VERDICTS["delivered"], case(), POLICY, ROLL) == Done({"ok": True}, "v1")
    assert decide_finding(FINDINGS["found"], case(), POLICY, ROLL) == Done({"id": 1}, "v1")
    assert decide(VERDICTS["down"], case(), POLICY, ROLL) == Hold("refused", 4.0)
    assert decide(VERDICTS["throttled"], case(), POLICY, ROLL) == Wait(2.0, "throttled")
    assert decide(VERDICTS["rejected"], case(), POLICY, ROLL) == Bury("rejected", "bad")
    assert decide(VERDICTS["retry-after"], case(), POLICY, ROLL) == Again(7.0, "busy")
    assert decide(VERDICTS["unknown"], case(findable=True), POLICY, ROLL) == Find(SETTLE, "no answer")


@pytest.mark.parametrize(("kind", "gave_up_after"), [("no_answer", 6), ("connection", 3), ("server", 9)])
def test_retries_end_in_a_letter(kind: Literal["no_answer", "connection", "server"], gave_up_after: int) -> None:
    """The letter says how many attempts were made."""
    decision = decide(Retry("busy", kind=kind), case(attempt=gave_up_after), POLICY, ROLL)

    assert decision == Bury("exhausted", f"busy (gave up after {gave_up_after} attempts)")


def test_a_doubled_call_is_told() -> None:
    """Where the policy is to try again, the second call is marked as doubtful; where twice is once, it is not."""
    told = decide(Unknown("no answer"), case(on_unknown="retry"), POLICY, ROLL)
    harmless = decide(Unknown("no answer"), case(idempotent=True), POLICY, ROLL)

    assert isinstance(told, Again)
    assert told.doubtful
    assert isinstance(harmless, Again)
    assert not harmless.doubtful


def test_an_unknown_outcome_says_that_it_may_have_happened() -> None:
    """An operator who reads the letter knows what a replay may do."""
    decision = decide(Unknown("no answer"), case(), POLICY, ROLL)

    assert decision == Bury("unknown-outcome", "no answer; it may have happened, and the vendor cannot be asked")


def test_a_dead_owners_call_goes_again_at_once() -> None:
    """Nothing of ours is spent yet, and nothing is gained by waiting."""
    assert decide_finding(Absent(), case(attempt=0), POLICY, ROLL) == Again(
        0.0, "not there: the earlier call did not happen"
    )
    assert decide_finding(CannotTell("no"), case(attempt=0, on_unknown="retry"), POLICY, ROLL) == Again(
        0.0, "no", doubtful=True
    )


def test_a_conflict_that_find_does_not_explain_ends() -> None:
    """A record of somebody else's: add, conflict, find, absent, add, ... stops when the attempts are used up."""
    verdicts = [
        decide(Rejected("exists", conflict=True), case(findable=True, suspect=True, attempt=attempt), POLICY, ROLL)
        for attempt in range(1, 8)
    ]

    assert [type(verdict) for verdict in verdicts] == [Find] * 5 + [Bury] * 2
    assert verdicts[-1] == Bury("rejected", "exists")


@pytest.mark.parametrize("letter_cause", get_args(LetterCause)[1:])
def test_a_letter_without_its_evidence_says_so(letter_cause: LetterCause) -> None:
    """The verdict of whoever announced it is kept; what the vendor said is not to be found any more."""
    bury = announced_letter(letter_cause)

    assert bury.cause == letter_cause
    assert "died before its letter was safe" in bury.reason
