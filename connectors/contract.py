"""What a connector answers. It answers; it raises only for bugs.

Verdict     (one per event)
├── Delivered   the destination has it
├── Retry       transient, for this record; the only one that spends an attempt
├── Throttled   the destination's quota, for the connection or for one key; costs no attempt
├── Down        the destination or its credentials are out; costs no attempt, opens the breaker
├── Rejected    never going to work
└── Unknown     it may have happened: settled by ``find`` before any second try
Finding     (one per event that was asked about)
├── Found       it did happen
├── Absent      it did not: safe to try again
└── CannotTell  the vendor cannot be asked; the connection's policy decides
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from topics.event.event import Event, Operation

MAX_EXCERPT = 4_096
"""Characters of a vendor's answer that are kept as evidence."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the vendor said, redacted: ``excerpt`` holds at most ``MAX_EXCERPT`` characters and no secret."""

    status: int | None = None
    excerpt: str = ""
    request_id: str | None = None


NO_EVIDENCE = Evidence()

Scope = Literal["connection", "key"]
"""Whom a limit holds: the whole connection, or the events of one ordering key (Slack: the messages of one channel)."""

RetryKind = Literal["no_answer", "connection", "server"]
"""``no_answer``: nothing came in time; ``connection``: it broke; ``server``: an answer that asks to try again. Each
has its own line in the retry policy, as in the seed system."""


@dataclass(frozen=True, slots=True)
class Delivered:
    detail: Any = None
    id: str | None = None
    """The vendor's id of the record, for the ledger."""


@dataclass(frozen=True, slots=True)
class Retry:
    reason: str
    after: float | None = None
    """Seconds the vendor asked to wait; it wins over our own guess."""
    evidence: Evidence = NO_EVIDENCE
    kind: RetryKind = "server"


@dataclass(frozen=True, slots=True)
class Throttled:
    after: float
    reason: str = "throttled"
    evidence: Evidence = NO_EVIDENCE
    scope: Scope = "connection"


@dataclass(frozen=True, slots=True)
class Down:
    reason: str
    after: float | None = None
    evidence: Evidence = NO_EVIDENCE


@dataclass(frozen=True, slots=True)
class Rejected:
    reason: str
    evidence: Evidence = NO_EVIDENCE
    conflict: bool = False
    """The vendor says that the record exists already: after an Unknown it may be our own earlier call."""
    whole: bool = False
    """The batch was refused as a whole and nothing of it was done: the worker bisects it to find whom it was for."""


@dataclass(frozen=True, slots=True)
class Unknown:
    reason: str
    evidence: Evidence = NO_EVIDENCE


Verdict = Delivered | Retry | Throttled | Down | Rejected | Unknown


@dataclass(frozen=True, slots=True)
class Found:
    detail: Any = None
    id: str | None = None


@dataclass(frozen=True, slots=True)
class Absent:
    pass


@dataclass(frozen=True, slots=True)
class CannotTell:
    reason: str


Finding = Found | Absent | CannotTell

UnknownPolicy = Literal["retry", "dead_letter"]


@dataclass(frozen=True, slots=True)
class Function:
    """One object and operation of a connection, as the worker needs to know it.

    ``batch_max``: events per call (1: no batch endpoint). ``idempotent``: calling twice is the same as once (update,
    upsert, delete by id, or any call under a vendor idempotency key). ``findable``: ``find`` can settle an Unknown.
    ``settle_after``: seconds to wait before asking (vendors' searches lag behind their writes). ``on_unknown``: what
    to do when it cannot be settled. ``key_interval``: least seconds between two calls of one key, from the
    beginning of each (Slack: 1 a channel).
    ``aliases``: names of fields that stand for others, so that of two events one's field may be the other's alias.
    """

    object: str
    operation: Operation
    batch_max: int = 1
    idempotent: bool = False
    findable: bool = False
    settle_after: float = 2.0
    on_unknown: UnknownPolicy = "dead_letter"
    key_interval: float = 0.0
    aliases: frozenset[str] = frozenset()


READ_SHARE = 0.5
"""Of a connection's rate, for a refresh that reads it. While it does, the writes keep to the rest."""


@dataclass(frozen=True, slots=True)
class Limits:
    """``rate`` calls per ``per_seconds`` for the whole connection (None: unlimited); ``concurrency`` calls at once.

    ``daily``: calls in 24 hours at most (None: unlimited).
    """

    rate: float | None = None
    per_seconds: float = 1.0
    concurrency: int = 16
    daily: int | None = None


@dataclass(frozen=True, slots=True)
class Quota:
    """What the vendor's last rate headers said: ``remaining`` calls until ``reset_after`` seconds from then."""

    limit: int | None = None
    remaining: int | None = None
    reset_after: float | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """``detail``: the vendor's records; ``bookmark``: what to hand in for the next page, None after the last."""

    detail: list[dict[str, Any]]
    bookmark: str | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """A raw API call's answer: ``detail`` is the JSON body, or text where it is not JSON."""

    status: int
    detail: Any
    headers: Mapping[str, str]


class Connector(Protocol):
    """Speaks for one connection; made by ``connectors.registry.build``. One asyncio loop, many calls at once."""

    name: str
    """The SaaS: "hubspot"."""
    version: str
    """The manifest's version."""
    limits: Limits

    def function(self, object_name: str, operation: Operation) -> Function:
        """Raises ``connectors.errors.UnknownFunction``, whose message lists what there is."""

    def record_key(self, object_name: str, operation: Operation, fields: Mapping[str, Any]) -> str | None:
        """The ordering key a producer gives an event of this kind: the record's id, its upsert property, a channel."""

    def refuses(self, object_name: str, operation: Operation, fields: Mapping[str, Any]) -> str | None:
        """Why such an event is refused where it is written; None: it is not.

        It holds what must not be kept in a log and in letters, or it can surely not be delivered by this connection.
        """

    async def deliver(self, batch: Sequence[Event]) -> list[Verdict]:
        """Carry the events to the vendor; as many verdicts as events, in their order.

        All events of a batch are of one object and operation, at most ``Function.batch_max``, no key twice. At least
        once: the same event may be handed in again after a crash. A batch refused as a whole (and not done in part)
        comes back as ``Rejected(whole=True)`` for each; the worker bisects.
        """

    async def find(self, events: Sequence[Event]) -> list[Finding]:
        """Has the destination got these already?

        As many findings as events; raises nothing but bugs: when the vendor cannot be reached now, ``Retry`` is not a
        finding, so it raises ``connectors.errors.Unreachable``.
        """

    async def read(self, object_name: str, query: Mapping[str, Any], bookmark: str | None = None) -> Page:
        """``get`` / ``list`` / ``findone``. Raises ``connectors.errors.CallFailed``, ``UnknownFunction``."""

    async def call(
        self,
        path: str,
        *,
        method: str = "get",
        body: Any = None,
        params: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """A raw API call under this connection's credentials. Raises ``connectors.errors.CallFailed``."""

    async def probe(self) -> Delivered | Down | Throttled:
        """Is it up, are the credentials good?"""

    def quota(self) -> Quota | None:
        """What the last answer's rate headers said, once per answer (None when there is nothing new)."""

    async def close(self) -> None:
        """Safe to call twice."""
