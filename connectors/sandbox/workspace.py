"""Slack's channels and their messages."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

DEFAULT_CHANNELS = ("general", "random", "qa", "alerts", "ops", "sales")
ARCHIVED = "old-news"
PRIVATE = "board"


@dataclass(slots=True)
class File:
    """``content``: None until it was sent; ``shared_in``: None until somebody may see it."""

    id: str
    name: str
    length: int
    content: bytes | None = None
    title: str = ""
    shared_in: str | None = None
    deleted: bool = False

    def shown(self) -> dict[str, Any]:
        return {"id": self.id, "name": self.name, "title": self.title or self.name, "size": self.length}


@dataclass(slots=True)
class Channel:
    id: str
    name: str
    archived: bool = False
    private: bool = False
    messages: dict[str, dict[str, Any]] = field(default_factory=dict)
    """By ``ts``, in the order they were posted."""

    def shown(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "name": self.name,
            "is_channel": True,
            "is_archived": self.archived,
            "is_member": not self.archived,
            "is_private": self.private,
            "num_members": 3,
        }


class Workspace:
    """``open_channels``: any name is a channel; else only the given ones are (and one that is archived)."""

    def __init__(self, names: tuple[str, ...] = DEFAULT_CHANNELS, *, open_channels: bool = False) -> None:
        self.channels: dict[str, Channel] = {}
        self._by_name: dict[str, Channel] = {}
        self._open = open_channels
        self._last_ts = 0
        self.files: dict[str, File] = {}
        for name in names:
            self._add(name)
        self._add(ARCHIVED).archived = True
        self._add(PRIVATE).private = True

    def find(self, reference: str) -> Channel | None:
        """By id, or by name with or without ``#``, in any case."""
        if channel := self.channels.get(reference):
            return channel
        name = reference.removeprefix("#").lower()
        channel = self._by_name.get(name)
        return self._add(name) if channel is None and self._open and name else channel

    def by_id(self, reference: str) -> Channel | None:
        """By id alone: what most methods take."""
        return self.channels.get(reference)

    def file(self, name: str, length: int) -> File:
        made = File(f"F{len(self.files) + 1:08d}", name, length)
        self.files[made.id] = made
        return made

    def post(self, channel: Channel, message: dict[str, Any], at: float) -> dict[str, Any]:
        """Adds the message under a ``ts`` that no other message of the workspace has."""
        self._last_ts = max(int(at * 1_000_000), self._last_ts + 1)
        ts = f"{self._last_ts // 1_000_000}.{self._last_ts % 1_000_000:06d}"
        channel.messages[ts] = {"type": "message", "ts": ts, **message}
        return channel.messages[ts]

    def _add(self, name: str) -> Channel:
        channel = Channel(f"C{len(self.channels) + 1:08d}", name)
        self.channels[channel.id] = self._by_name[name] = channel
        return channel
