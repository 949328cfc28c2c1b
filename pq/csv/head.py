"""The first bytes of a stream, looked at without taking them away: a pipe cannot be read twice."""

from __future__ import annotations

import io
from typing import IO, Any

HEAD_BYTES = 64 * 1024
ENOUGH_BYTES = 4
"""The longest byte order mark. More is waited for only as long as the stream gives nothing at all."""


class Head(io.RawIOBase):
    """``bytes``: what came first; reading gives them, and then the rest."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._read1 = getattr(file, "read1", file.read)
        self.bytes = b""
        while len(self.bytes) < ENOUGH_BYTES and (more := self._read1(HEAD_BYTES)):
            self.bytes += more
        self._left = self.bytes

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self._left:
            self._left = self._read1(len(buffer))
        size = min(len(buffer), len(self._left))
        buffer[:size] = self._left[:size]
        self._left = self._left[size:]
        return size
