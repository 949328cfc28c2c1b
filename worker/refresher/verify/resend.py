"""The events to send again so that a record gets what was delivered, or the reason not to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from connectors.engine.functions import IDEMPOTENT
from connectors.engine.runner.runner import HttpConnector
from connectors.engine.runner.written import addresses
from connectors.errors import UnknownFunction
from topics.event.event import Event, Operation
from worker.refresher.verify.judge import DIFFERENCES, Finding
from worker.refresher.verify.scratch import Delivery, Scratch

SOURCE = "writeback verify"
MAKES = frozenset({Operation.ADD, Operation.UPSERT})


class NotResent(Exception):
    """Nothing is sent for this record; the message says why."""


@dataclass(frozen=True, slots=True)
class Resend:
    """``overwrite``: also what somebody else has changed since."""

    slug: str
    connector: HttpConnector
    scratch: Scratch
    overwrite: bool = False

    def events(self, finding: Finding) -> list[Event]:
        """New events for a record that differs, in their order. Raises ``NotResent``.

        For a record that exists, that is one update of exactly the fields that differ, with the values that were sent
        last: other people's changes of other fields stay.
        """
        assert finding.verdict in DIFFERENCES
        if finding.verdict == "changed" and not self.overwrite:
            raise NotResent("changed since by somebody else: --overwrite sends it all the same")
        if self.connector.writes_requests:
            return self._requests(finding)
        identity = {self.connector.identified(finding.expected.kind).field: finding.expected.record}
        if finding.expected.is_gone:
            return [self._event(finding.expected.kind, Operation.DELETE, identity)]
        if finding.verdict == "missing":
            return [self._made_anew(finding)]
        fields = identity | {name: one.sent for name, one in finding.fields.items()}
        return [self._event(finding.expected.kind, Operation.UPDATE, fields)]

    def _made_anew(self, finding: Finding) -> Event:
        """The add or upsert that created the record, with the values of later updates."""
        expected = finding.expected
        made = next((one for one in reversed(self._since_deleted(finding)) if one.operation in MAKES), None)
        if made is None:
            raise NotResent("the record is gone, and an update brings none back")
        if made.fields is None or expected.unread > expected.deleted:
            raise NotResent("the log has not all of its events any more")
        operation = Operation(made.operation)
        event = Event(operation=operation, connection=self.slug, object=made.object, fields=dict(made.fields))
        written = self.connector.written(event)
        own = written.values if written else {}
        later = {name: sent.value for name, sent in expected.fields.items() if sent.turn > made.turn}
        control = addresses(self.connector.kind(self.connector.manifest, expected.kind)) - own.keys()
        return self._event(
            made.object, operation, {**own, **{name: value for name, value in later.items() if name not in control}}
        )

    def _requests(self, finding: Finding) -> list[Event]:
        """The original requests again: those that wrote the fields that differ, and all that followed."""
        first = min((one.turn for one in finding.fields.values()), default=None)
        if finding.expected.is_gone:
            first = finding.expected.deleted
        of_record = self._since_deleted(finding)
        chosen = [one for one in of_record if first is None or one.turn >= first]
        if any(one.fields is None for one in chosen):
            raise NotResent("the log has not all of its events any more")
        if finding.verdict != "missing" and any(one.operation not in IDEMPOTENT for one in chosen):
            raise NotResent("the request that wrote it would make the record twice: send a change of it instead")
        if finding.verdict == "missing" and not any(one.operation in MAKES for one in chosen):
            raise NotResent("the record is gone, and an update brings none back")
        return [self._event(one.object, Operation(one.operation), dict(one.fields or {})) for one in chosen]

    def _since_deleted(self, finding: Finding) -> Sequence[Delivery]:
        expected = finding.expected
        return self.scratch.of_record(expected.kind, expected.record, expected.deleted)

    def _event(self, kind: str, operation: Operation, fields: dict[str, Any]) -> Event:
        try:
            key = self.connector.record_key(kind, operation, fields)
        except UnknownFunction as error:
            raise NotResent(str(error)) from error
        return Event(operation=operation, connection=self.slug, object=kind, key=key, fields=fields, source=SOURCE)
