"""Reads one kind of record for the warehouse, page by page, at the connection's pace; failed pages are tried again."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final, Literal

from connectors.contract import Down, Rejected, Retry, Throttled
from connectors.engine.auth.endpoint import NoToken
from connectors.engine.manifest.read import ColumnType, PagedRequest, Related, Sync
from connectors.engine.runner.calls import ManifestCall, Prepared, compile_call
from connectors.engine.runner.pace import Pace
from connectors.engine.runner.sender import Sender
from connectors.engine.runner.verdicts import Rules, after_failure, refusal
from connectors.engine.template.paths import Look, compile_path
from connectors.engine.template.template import Missing, Scope, Static, compile_value
from connectors.engine.transport.failures import TransportFailure
from connectors.engine.transport.reply import MAX_READ, Reply
from connectors.errors import CallFailed, Unreachable

Kind = Literal["all", "changed", "deleted"]
Row = dict[str, Any]

TRIES: Final = 5
"""How often a page is tried, 1, 2, 4 and 8 seconds apart; a 429 does not count."""
LONGEST_THROTTLE_S: Final = 900.0
DOTNET: Final = re.compile(r"/Date\((-?\d+)(?:[+-]\d{4})?\)/")


@dataclass(frozen=True, slots=True)
class SourcePage:
    """``rows``: by column name. ``since``, ``bookmark``: where the next page begins; both None after the last.

    ``at``: the vendor's time of the answer, if it says so. ``latest``: the latest change in this page.
    """

    rows: list[Row]
    since: datetime | None = None
    bookmark: str | None = None
    at: datetime | None = None
    latest: datetime | None = None


@dataclass(slots=True)
class Asking:
    """Sends a request until there is an answer.

    Raises ``CallFailed`` when more tries are useless, ``Unreachable`` when a later try may succeed.
    """

    sender: Sender
    rules: Rules
    pace: Pace
    throttled_s: float = field(default=0.0)

    async def ask(self, prepared: Prepared, call: ManifestCall, what: str) -> tuple[Reply, Any]:
        tries = 0
        while True:
            await self.pace.turn()
            answer = await self._once(prepared, call)
            match answer:
                case (reply, body):
                    return reply, body
                case Throttled(after=after, reason=reason):
                    self.throttled_s += after
                    if self.throttled_s > LONGEST_THROTTLE_S:
                        raise Unreachable(f"{what}: {reason}, for more than {LONGEST_THROTTLE_S / 60:.0f} minutes")
                    await self.pace.sleep(after)
                case Retry(reason=reason, after=asked) | Down(reason=reason, after=asked):
                    tries += 1
                    if tries >= TRIES:
                        raise Unreachable(f"{what}: {reason} ({TRIES} times)")
                    await self.pace.sleep(asked if asked is not None else 2.0 ** (tries - 1))
                case Rejected(reason=reason, evidence=evidence):
                    raise CallFailed(f"{what}: {reason}", status=evidence.status, excerpt=evidence.excerpt)
                case _:
                    raise CallFailed(f"{what}: an answer that means nothing to a read")

    async def _once(self, prepared: Prepared, call: ManifestCall) -> Any:
        try:
            reply = await self.sender.send(prepared, limit=MAX_READ)
        except TransportFailure as failure:
            return after_failure(failure, self.rules)
        except NoToken as none:
            return none.verdict
        if reply.truncated and call.expected.takes(reply.status):
            return Retry(f"HTTP {reply.status}, but the answer is too large to read or broke off")
        body = call.expected.body_of(reply)
        refused = refusal(reply, body, self.rules, call.expected, self.sender.now())
        return (reply, body) if refused is None else refused


class Source:
    """One kind of record of one connection; made by ``HttpConnector.source``."""

    def __init__(self, name: str, spec: Sync, static: Static, asking: Asking) -> None:
        self.name = name
        self.spec = spec
        self._static = static
        self._asking = asking
        self._spread = compile_path(spec.spread)
        self._columns = {column: compile_path(path) for column, path in spec.columns.items()}
        self._changed_at = compile_path(spec.cursor.path) if spec.cursor else None

    @property
    def throttled_s(self) -> float:
        """How many seconds the vendor has asked to wait so far."""
        return self._asking.throttled_s

    async def properties(self) -> dict[str, ColumnType]:
        """The properties that the vendor lists, and the type of each as a column."""
        spec = self.spec.properties
        if spec is None:
            return {}
        name_at, type_at = compile_path(spec.name), compile_path(spec.type)
        found: dict[str, ColumnType] = {}
        async for records, _, _ in self._pages(spec, {}, None, f"the properties of {self.name}"):
            for record in records:
                found[str(name_at(record))] = spec.types.get(str(type_at(record)), "text")
        return found

    async def settle(self) -> None:
        """Wait until the vendor's index has what was written a moment ago."""
        if self.spec.cursor is not None:
            await self._asking.pace.sleep(self.spec.cursor.settle)

    async def pages(
        self, kind: Kind, names: Sequence[str], *, since: datetime | None = None, bookmark: str | None = None
    ) -> AsyncIterator[SourcePage]:
        """All pages from ``bookmark`` on. Raises ``CallFailed``, ``Unreachable``."""
        request: PagedRequest | None = getattr(self.spec, kind)
        assert request is not None, kind
        cursor = self.spec.cursor
        while True:
            fields = self.asked(kind, names, since)
            async for records, following, at in self._pages(request, fields, bookmark, f"reading {self.name} ({kind})"):
                times = [self._time(record, kind) for record in records] if kind != "deleted" else []
                latest = max(filter(None, times), default=None)
                moved = kind == "changed" and cursor is not None and cursor.ordered and following is not None
                if moved and latest is not None and (since is None or latest > since):
                    since, bookmark = latest, None
                    yield SourcePage(self._rows(records), since, None, at, latest)
                    break
                yield SourcePage(self._rows(records), since, following, at, latest)
            else:
                return

    def asked(self, kind: Kind, names: Sequence[str], since: datetime | None) -> Mapping[str, Any]:  # noqa: ARG002
        """The ``$fields`` of a request."""
        cursor = self.spec.cursor
        return {"names": list(names), "since": _written(since, cursor.write) if cursor and since else None}

    async def related(self, name: str, keys: Sequence[str]) -> AsyncIterator[list[Row]]:
        """The related records of these keys, in lists of one call each."""
        spec = self.spec.related[name]
        call = compile_call(spec, self._asking.sender.base, self._static, more=spec.input)
        item = compile_value(spec.input, self._static)
        for start in range(0, len(keys), spec.maximum):
            asked: list[Row] = [{"key": key} for key in keys[start : start + spec.maximum]]
            while asked:
                scope = Scope({}, items=[item(Scope(each)) for each in asked])
                _, body = await self._asking.ask(call.prepare(scope), call, f"reading {self.name} ({name})")
                rows, asked = _related_rows(spec, self.name, body)
                yield rows

    async def _pages(
        self, request: PagedRequest, fields: Mapping[str, Any], bookmark: str | None, what: str
    ) -> AsyncIterator[tuple[list[Any], str | None, datetime | None]]:
        call = compile_call(request, self._asking.sender.base, self._static)
        turn = Turning(request)
        if bookmark is None:
            bookmark = turn.first()
        while True:
            try:
                prepared = call.prepare(Scope(fields, bookmark=turn.said(bookmark)))
                if turn.is_address(bookmark):
                    prepared = prepared._replace(url=self._asking.sender.absolute(str(bookmark)))
            except (Missing, ValueError) as error:
                raise CallFailed(f"{what}: the request cannot be made: {error}") from error
            reply, body = await self._asking.ask(prepared, call, what)
            records = _records(turn.records(body), request.records, what)
            bookmark = turn.following(bookmark, reply, body, len(records))
            yield records, bookmark, _vendor_time(reply)
            if bookmark is None:
                return

    def _time(self, record: Any, kind: Kind) -> datetime | None:
        value = self._changed_at(record) if self._changed_at else None
        try:
            return None if value in (None, "") else parse_time(value)
        except (ValueError, OverflowError, OSError):
            assert self.spec.cursor is not None
            raise CallFailed(
                f"reading {self.name} ({kind}): a record's {self.spec.cursor.path} is {value!r}, which is no time"
            ) from None

    def _rows(self, records: Sequence[Any]) -> list[Row]:
        rows = []
        for record in records:
            members = self._spread(record)
            row = dict(members) if isinstance(members, Mapping) else {"value": members}
            row.update({column: look(record) for column, look in self._columns.items()})
            rows.append(row)
        return rows


@dataclass(slots=True)
class Turning:
    """Finds the next page, as the request describes it."""

    request: PagedRequest
    records: Look = field(init=False)
    _bookmark: Look | None = field(init=False)

    def __post_init__(self) -> None:
        self.records = compile_path(self.request.records)
        self._bookmark = compile_path(self.request.bookmark) if self.request.bookmark else None

    def first(self) -> str | None:
        return {"offset": "0", "number": str(self.request.first)}.get(self.request.pages)

    def said(self, bookmark: str | None) -> str | None:
        """The value of ``$bookmark``."""
        return None if self.is_address(bookmark) else bookmark

    def is_address(self, bookmark: str | None) -> bool:
        return bookmark is not None and self.request.pages in {"url", "link"}

    def following(self, bookmark: str | None, reply: Reply, body: Any, count: int) -> str | None:
        match self.request.pages:
            case "offset" | "number" if count < self.request.page_size:
                return None
            case "offset":
                return str(int(bookmark or 0) + count)
            case "number":
                return str(int(bookmark or self.request.first) + 1)
            case "link":
                return _link(reply.headers.get("Link", ""))
        found = self._bookmark(body) if self._bookmark else None
        return None if found in (None, "", False) else str(found)


def parse_time(value: Any) -> datetime:
    """A time as vendors write it. Raises ``ValueError``.

    ISO 8601, a number of seconds or milliseconds, or ``/Date(1596585600000+0000)/``: milliseconds, as .NET writes them.
    """
    if isinstance(value, str) and value.startswith("/") and (dotnet := DOTNET.fullmatch(value)):
        return datetime.fromtimestamp(int(dotnet[1]) / 1_000, UTC)
    if isinstance(value, int | float) or (isinstance(value, str) and value.isdigit()):
        number = float(value)
        return datetime.fromtimestamp(number / 1_000 if number > 1e11 else number, UTC)
    parsed = datetime.fromisoformat(str(value))
    return parsed.astimezone(UTC) if parsed.tzinfo else parsed.replace(tzinfo=UTC)


def _written(moment: datetime, how: str) -> str | int:
    if how == "iso":
        return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return int(moment.timestamp() * (1_000 if how == "milliseconds" else 1))


def _vendor_time(reply: Reply) -> datetime | None:
    try:
        return parsedate_to_datetime(reply.headers["Date"]).replace(tzinfo=UTC)
    except (KeyError, ValueError):
        return None


def _records(found: Any, path: str, what: str) -> list[Any]:
    """The records of an answer. If they are missing, that is an error and no empty list, which would empty a table."""
    if not isinstance(found, list):
        there = "nothing" if found is None else type(found).__name__
        raise CallFailed(f"{what}: the answer has {there} at `{path}`, where a list of records should be")
    return found


def _related_rows(spec: Related, name: str, body: Any) -> tuple[list[Row], list[Row]]:
    """The rows of an answer, and the next requests for records with more rows than fit into it."""
    rows_at, of_at = compile_path(spec.rows), compile_path(spec.of)
    columns = {column: compile_path(path) for column, path in spec.columns.items()}
    more_at = compile_path(spec.more) if spec.more else None
    rows, again = [], []
    for entry in compile_path(spec.records)(body) or []:
        key = str(of_at(entry))
        rows += [
            {f"{name}_id": key, **{column: look(each) for column, look in columns.items()}}
            for each in rows_at(entry) or []
        ]
        after = more_at(entry) if more_at else None
        if after not in (None, ""):
            again.append({"key": key, "after": after})
    return rows, again


def _link(header: str) -> str | None:
    """The ``next`` of a Link header (RFC 8288)."""
    for part in header.split(","):
        address, _, rest = part.partition(";")
        if 'rel="next"' in rest.replace(" ", "") or "rel=next" in rest.replace(" ", ""):
            return address.strip().strip("<>")
    return None
