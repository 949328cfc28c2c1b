"""Messages by SMTP. What became of a message is known for each of its recipients, and each is sent it once.

A recipient that the server puts off (4xx) is tried again without the others; what a worker remembers of that is lost
when it dies, and the message, with the same Message-ID, then goes to all again. One that it refuses (5xx) makes the
event a dead letter, whose reason says who has the message and how to send it to the others.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from connectors.contract import Delivered, Down, Evidence, Rejected, Retry, Throttled, Unknown, UnknownPolicy, Verdict
from connectors.engine.attachments import read_attachments
from connectors.engine.manifest.model import Manifest
from connectors.engine.native import NativeConnector
from connectors.errors import BadConnection
from connectors.saas.email.message import Message, compose
from connectors.saas.email.smtp import PORTS, CannotConnect, Mailer, MaybeTaken, NotTaken, Refused, Server, Taken, told
from topics.event.event import Event

PUT_OFF_S = 60.0
"""Before a recipient that was put off is tried again: servers that greylist want minutes (RFC 6647, 2.3)."""
REMEMBERED = 10_000
"""Messages whose recipients are remembered while some of them are put off."""


@dataclass(slots=True)
class _Progress:
    accepted: list[str] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)

    def open(self, recipients: Sequence[str]) -> list[str]:
        return [one for one in recipients if one not in self.accepted and one not in self.refused]


class EmailConnector(NativeConnector):
    """One mail server, with one sender."""

    def __init__(
        self,
        manifest: Manifest,
        settings: Mapping[str, Any],
        secrets: Mapping[str, str],
        limits: Mapping[str, Any] | None = None,
        *,
        on_unknown: Mapping[str, UnknownPolicy] | None = None,
        newest: Manifest | None = None,
    ) -> None:
        super().__init__(manifest, settings, secrets, limits, on_unknown=on_unknown, newest=newest)
        values = self.values
        login = (values["username"], values["password"]) if "password" in values else None
        if login is not None and values["security"] == "none":
            raise BadConnection("an email connection: security is none, and a password would go out in the clear")
        self._mailer = Mailer(
            Server(
                host=values["host"],
                port=values.get("port", PORTS[values["security"]]),
                security=values["security"],
                guard=self.guard,
                login=login,
                ca_file=values.get("ca_file"),
            )
        )
        self._progress: OrderedDict[str, _Progress] = OrderedDict()

    async def deliver(self, batch: Sequence[Event]) -> list[Verdict]:
        return [await self._deliver(event) for event in batch]

    async def _deliver(self, event: Event) -> Verdict:
        try:
            message = await asyncio.to_thread(self._composed, event)
        except ValueError as error:
            return Rejected(f"it is no message: {error}")
        progress = self._progress.get(event.id, _Progress())
        try:
            taken = await self._mailer.send(
                message, progress.open(message.recipients), event.options.timeout_s or self.timeout_seconds
            )
        except CannotConnect as error:
            return Down(self.redact(str(error)))
        except NotTaken as error:
            return Retry(self.redact(f"the server ended it before it had the message: {error}"), kind="connection")
        except MaybeTaken as error:
            return Unknown(self.redact(f"the server may have the message: {error}"))
        except Refused as error:
            said = self.redact(str(error))
            return Rejected(said) if error.code >= 500 else Retry(said, after=PUT_OFF_S)
        return self._verdict(event, message, progress, taken)

    def _composed(self, event: Event) -> Message:
        attachments = read_attachments(event.fields.get("attachments", []), self.values.get("attachments"))
        return compose(event, self.values["sender"], attachments)

    def _verdict(self, event: Event, message: Message, progress: _Progress, taken: Taken) -> Verdict:
        progress.accepted += taken.accepted
        put_off = {one: told(response) for one, response in taken.refused.items() if response.code < 500}
        progress.refused |= {one: told(response) for one, response in taken.refused.items() if response.code >= 500}
        if put_off:
            self._remember(event.id, progress)
            return Retry(
                self.redact(_said("put off", put_off, progress)), PUT_OFF_S, _evidence(self.redact(_lines(put_off)))
            )
        self._progress.pop(event.id, None)
        if progress.refused:
            advice = "; to send it to some of them, set `only` to their addresses" if progress.accepted else ""
            said = _said("refused", progress.refused, progress) + advice
            return Rejected(self.redact(said), _evidence(self.redact(_lines(progress.refused))))
        return Delivered({"message_id": message.id, "recipients": progress.accepted}, message.id)

    def _remember(self, event_id: str, progress: _Progress) -> None:
        self._progress[event_id] = progress
        self._progress.move_to_end(event_id)
        while len(self._progress) > REMEMBERED:
            self._progress.popitem(last=False)

    async def probe(self) -> Delivered | Down | Throttled:
        try:
            return Delivered({"said": self.redact(await self._mailer.probe(self.timeout_seconds))})
        except CannotConnect as error:
            return Down(self.redact(str(error)))

    async def close(self) -> None:
        await self._mailer.close()


def _said(what: str, answers: Mapping[str, str], progress: _Progress) -> str:
    sent = (
        f"; {', '.join(progress.accepted)} {'has' if len(progress.accepted) == 1 else 'have'} it"
        if progress.accepted
        else ""
    )
    return f"{what} by the server: {', '.join(f'{one} ({words})' for one, words in answers.items())}{sent}"


def _lines(answers: Mapping[str, str]) -> str:
    return "\n".join(f"{one}: {words}" for one, words in answers.items())


def _evidence(text: str) -> Evidence:
    return Evidence(excerpt=text)
