"""What a write gives back at once: the seed's ``{"status", "detail"}`` dict, filled in when somebody looks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from typing import Any, Protocol

from topics.errors import LogError
from topics.event.result import Result
from topics.log import Position

LONGEST_WAIT_S = 1_800.0
"""As in the seed system: it retries a 429 for up to 30 minutes before a script goes on."""
SHORT_WAIT_S = 30.0
"""With ``timeout=True``."""


class Waiting(Protocol):
    """What a receipt needs of its connection's channel."""

    def wait_for(self, receipt: Receipt, seconds: float) -> None:
        """Returns when the receipt is settled, or after ``seconds``."""

    def why_pending(self, receipt: Receipt) -> str: ...

    def sent(self, position: Position) -> None:
        """The log has it, there."""

    def not_sent(self, receipt: Receipt, error: BaseException) -> None:
        """The log refused it; the channel remembers, and says so at the end of the script."""


class _Nowhere:
    def wait_for(self, receipt: Receipt, seconds: float) -> None: ...

    def why_pending(self, receipt: Receipt) -> str:
        return f"nobody answers for {receipt.id}"

    def sent(self, position: Position) -> None: ...

    def not_sent(self, receipt: Receipt, error: BaseException) -> None: ...


_NOWHERE = _Nowhere()
_NEVER: Future[Position] = Future()


class Receipt(Mapping[str, Any]):
    """Reads like a dict with ``status`` and ``detail``; the first look inside waits for the outcome.

    ``status``: "success" (``detail``: what the vendor answered), "error" (``detail``: the vendor's words and the dead
    letter's id, or why the log did not take it), or "pending" when the time is up (``detail`` says what it waits for;
    a later look waits again). Never raises for an outcome. ``id`` and ``done`` do not wait.
    """

    __slots__ = ("_answer", "_channel", "_sent", "_wait_s", "id")

    def __init__(self, event_id: str, channel: Waiting, wait_s: float) -> None:
        self.id = event_id
        self._channel = channel
        self._wait_s = wait_s
        self._answer: dict[str, Any] | None = None
        self._sent: Future[Position] | Position = _NEVER

    @classmethod
    def answered(cls, event_id: str, answer: dict[str, Any]) -> Receipt:
        """One whose outcome is known from the start."""
        receipt = cls(event_id, _NOWHERE, 0.0)
        receipt._answer = answer
        return receipt

    @property
    def done(self) -> bool:
        """Is the outcome known here already? Does not wait, and does not ask."""
        return self._answer is not None

    @property
    def sent(self) -> Future[Position]:
        """Resolves when the log has the event, to its place there."""
        if isinstance(self._sent, Future):
            return self._sent
        known: Future[Position] = Future()
        known.set_result(self._sent)
        return known

    def wait(self, seconds: float | None = None) -> dict[str, Any]:
        """The outcome as a plain dict, or ``{"status": "pending", ...}`` after ``seconds``."""
        if self._answer is None:
            self._channel.wait_for(self, self._wait_s if seconds is None else seconds)
        return self._answer or {"status": "pending", "detail": self._channel.why_pending(self)}

    def track(self, sent: Future[Position]) -> None:
        """For the channel: the send whose failure is this receipt's answer."""
        self._sent = sent
        sent.add_done_callback(self._on_sent)

    def belongs_to(self, channel: Waiting) -> bool:
        return self._channel is channel

    def settle(self, result: Result) -> None:
        """For the channel: the outcome has come."""
        if result.outcome == "dead":
            letter = f" (dead letter {result.letter})" if result.letter else ""
            self._answer = {"status": "error", "detail": f"{result.reason or 'refused'}{letter}"}
        else:
            self._answer = {"status": "success", "detail": result.detail}

    def _on_sent(self, sent: Future[Position]) -> None:
        try:
            self._sent = position = (
                sent.result()
            )  # a future weighs ten times as much, and a script may keep a million receipts
        except LogError as error:
            self._answer = {"status": "error", "detail": f"the log did not take it: {error}"}
            self._channel.not_sent(self, error)
        else:
            self._channel.sent(position)

    def __getitem__(self, name: str) -> Any:
        return self.wait()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.wait())

    def __len__(self) -> int:
        return 2

    def __repr__(self) -> str:
        return repr(self.wait())

    def __reduce__(self) -> tuple[type[dict[str, Any]], tuple[dict[str, Any]]]:
        return dict, (self.wait(),)
