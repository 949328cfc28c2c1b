"""What Slack might answer to what is asked before a message is changed, or a file shared: for ``connectors try``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from connectors.saas.slack.channels import plain
from topics.event.event import Event

A_CHANNEL: Final = "C0000000000"
UPLOAD: Final = "https://files.slack.com/upload/v1/[upload]"


def answer(url: str, events: Sequence[Event]) -> dict[str, Any] | None:
    """None: the request is not one of those."""
    if url == UPLOAD:
        return {"ok": True}
    match url.rpartition("/")[2]:
        case "conversations.list":
            names = {plain(event.fields["channel"]) for event in events if event.fields.get("channel")}
            return {"ok": True, "channels": [{"id": A_CHANNEL, "name": name} for name in sorted(names)]}
        case "files.getUploadURLExternal":
            return {"ok": True, "upload_url": UPLOAD, "file_id": "[file_id]"}
    return None
