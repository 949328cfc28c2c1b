"""The letters of one replay, held for as long as it lives: a thread of its own gives the signs of life."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

from dead_letter.store import claims
from dead_letter.store.store import LetterStore
from topics.errors import StoreUnavailable

RENEWALS = 3
"""Signs of life in the time to live: two may be late or fail."""
MARGIN = 0.8
"""The share of the time to live after which nothing is sent any more without a new sign of life."""


class Claim:
    """Enter it, and its letters are nobody else's until it is left. Told the time, in seconds that never jump."""

    def __init__(self, store: LetterStore, *, who: str, monotonic: Callable[[], float]) -> None:
        self.epoch = 0
        self._claims = store.claims
        self._who = who
        self._monotonic = monotonic
        self._since = 0.0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._stay_alive, name="claim", daemon=True)

    def __enter__(self) -> Self:
        self._since = self._monotonic()
        self.epoch = self._claims.begin(self._who, socket.gethostname(), os.getpid())
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()
        try:
            self._claims.end(self.epoch)
        except StoreUnavailable:
            return  # its time to live ends it

    def take(self, letters: Sequence[str]) -> dict[str, str]:
        """Hold these, as far as they are open and free; who has the others that somebody has."""
        self._claims.take(self.epoch, letters)
        holders = self._claims.holders(letters)
        return {letter: str(holder) for letter, holder in holders.items() if holder.epoch != self.epoch}

    def give_back(self, letters: Sequence[str]) -> None:
        self._claims.give_back(self.epoch, letters)

    @property
    def is_sure(self) -> bool:
        """The letters are still this replay's, as far as can be known without asking the store."""
        return self._monotonic() - self._since < claims.TTL_SECONDS * MARGIN

    def _stay_alive(self) -> None:
        while not self._ended.wait(claims.TTL_SECONDS / RENEWALS):
            now = self._monotonic()
            try:
                if not self._claims.renew(self.epoch):
                    return
                self._since = now
            except StoreUnavailable:
                continue
