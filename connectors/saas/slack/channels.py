"""Channels by their names. Most of Slack's methods want an id; ``chat.postMessage`` takes a name, and says the id.

So a name costs nothing where a message was posted to it. Where none was, all channels are listed once: 20 such calls a
minute are allowed (tier 2), a name that nobody knows comes again and again, and a workspace may have thousands.
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import replace
from typing import Any, Final

from connectors.contract import Rejected, Throttled, Verdict
from connectors.engine.runner.sender import Sender
from connectors.engine.runner.verdicts import Rules
from connectors.saas.slack.asking import ask

ID: Final = re.compile(r"[CDGUWZ][A-Z0-9]{6,}")
"""Of a channel, a conversation, or a person."""
REMEMBERED_S: Final = 3_600.0
"""A name may be given to another channel one day."""
AGAIN_S: Final = 60.0
"""Least seconds between two listings."""
PAGE: Final = 999
SCOPES: Final = (
    ("public_channel,private_channel", "channels:read and groups:read"),
    ("public_channel", "channels:read"),
)
"""What is listed, and what the app needs for it: the second where the first is not granted."""


def plain(name: Any) -> str:
    """A name as it is looked up; an id as it is."""
    text = str(name).strip()
    return text if ID.fullmatch(text) or text.startswith("@") else text.removeprefix("#").casefold()


def is_id(name: Any) -> bool:
    return isinstance(name, str) and ID.fullmatch(name) is not None


class Channels:
    """Of one workspace. ``rules``: those for calls that only ask."""

    def __init__(self, sender: Sender, rules: Rules) -> None:
        self._sender, self._rules = sender, rules
        self._ids: dict[str, tuple[float, str]] = {}
        self._listed_at = float("-inf")
        self._lacks = ""
        self._listing = asyncio.Lock()

    def known(self, name: str) -> str | None:
        """The id, where it is known already."""
        until, found = self._ids.get(plain(name), (0.0, ""))
        return found if self._sender.now() < until else None

    def learn(self, name: str, channel: Any) -> None:
        """Slack has said which channel a name means."""
        if is_id(channel) and not is_id(name):
            self._ids[plain(name)] = (self._sender.now() + REMEMBERED_S, channel)

    async def find(self, name: str) -> str | Verdict:
        """The id; ``Rejected`` where no channel of this name is seen."""
        async with self._listing:  # whoever comes second finds what the first has listed
            known = self.known(name)
            if known is None and self._sender.now() - self._listed_at > AGAIN_S:
                refused = await self._list()
                if refused is not None:
                    return refused
                known = self.known(name)
        if known is not None:
            return known
        why = f"to look for it the app needs the scope {self._lacks}" if self._lacks else "the app sees none"
        return Rejected(f"there is no channel {name!r}: {why}; invite the app, or give the channel's id")

    async def _list(self) -> Verdict | None:
        self._lacks = ""
        for types, scope in SCOPES:
            refused = await self._pages(types)
            if not isinstance(refused, Rejected) or "missing_scope" not in refused.reason:
                break
            self._lacks, refused = scope, None
        if refused is None:
            self._listed_at = self._sender.now()
        # the limit is that of this method: messages to channels that are known go on
        return replace(refused, scope="key") if isinstance(refused, Throttled) else refused

    async def _pages(self, types: str) -> Verdict | None:
        cursor = ""
        while True:
            arguments = {"types": types, "exclude_archived": "true", "limit": PAGE, "cursor": cursor}
            body, refused = await ask(self._sender, self._rules, "conversations.list", arguments)
            if refused is not None:
                return refused
            for one in body.get("channels") or ():
                self.learn(str(one.get("name")), one.get("id"))
            cursor = str((body.get("response_metadata") or {}).get("next_cursor") or "")
            if not cursor:
                return None
