"""A file, in Slack's three steps: an address to send it to, the file, and the word that shares it in its channel.

https://docs.slack.dev/messaging/working-with-files: only the third is seen by anybody, so the others may be repeated.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from connectors.contract import Delivered, Rejected, Throttled, Verdict
from connectors.engine.attachments import Attachment, read_attachment
from connectors.engine.runner.calls import Prepared
from connectors.engine.runner.expected import ANY_MEDIA_TYPE, Expected
from connectors.engine.runner.plan import Plan
from connectors.engine.runner.sender import Sender
from connectors.engine.runner.verdicts import Rules, after_failure, refusal
from connectors.engine.transport.failures import TransportFailure
from connectors.engine.transport.reply import MIB
from connectors.saas.slack.asking import ask
from topics.event.event import Event

MAX_FILE: Final = 50 * MIB
"""Slack takes a gigabyte; a worker has to hold each of them in memory, several at once."""
OF_THE_MESSAGE: Final = frozenset({"channel", "initial_comment", "thread_ts", "title", "alt_txt", "snippet_type"})
TAKEN: Final = Expected(media_types=frozenset({ANY_MEDIA_TYPE}))
"""The answer to the file itself is a word or two."""


@dataclass(frozen=True, slots=True)
class Upload:
    """``folder``: where an event may take files of the worker from; None: nowhere. ``rules``: for what only asks."""

    sender: Sender
    rules: Rules
    folder: str | None

    async def carry(self, event: Event, plan: Plan, fields: Mapping[str, Any], channel: str) -> Verdict:
        given = {name: value for name, value in fields.items() if name not in OF_THE_MESSAGE}
        try:
            file = await asyncio.to_thread(read_attachment, given, self.folder, MAX_FILE, MAX_FILE)
        except (ValueError, OSError) as error:
            return Rejected(f"it is no file: {error}")
        if not file.content:
            return Rejected(f"{file.filename} is empty, and Slack takes no empty file")
        seconds = event.options.timeout_s
        about = {name: fields.get(name) for name in ("alt_txt", "snippet_type")}
        wanted = {"filename": file.filename, "length": len(file.content), **about}
        place, refused = await ask(self.sender, self.rules, "files.getUploadURLExternal", wanted, seconds)
        if refused is None:
            refused = await self._put(file, str(place.get("upload_url")), seconds)
        if refused is not None:
            # the limit is that of uploads: messages to other channels go on
            return replace(refused, scope="key") if isinstance(refused, Throttled) else refused
        shared = {
            "files": json.dumps([{"id": place.get("file_id"), "title": fields.get("title") or file.filename}]),
            "channel_id": channel,
            **{name: fields.get(name) for name in ("initial_comment", "thread_ts")},
        }
        body, refused = await ask(self.sender, plan.rules, "files.completeUploadExternal", shared, seconds)
        return Delivered(body, str(place.get("file_id"))) if refused is None else refused

    async def _put(self, file: Attachment, url: str, seconds: float | None) -> Verdict | None:
        headers = {"Content-Type": "application/octet-stream", "Accept": "*/*"}
        try:
            reply = await self.sender.send_bare(Prepared("POST", url, headers, file.content), seconds)
        except TransportFailure as failure:
            return after_failure(failure, self.rules)
        return refusal(reply, TAKEN.body_of(reply), self.rules, TAKEN, self.sender.now())
