"""Slack's Web API: HTTP 200 with ``ok: false`` for what is wrong, 429 with Retry-After above one message a second."""

from __future__ import annotations

import math
from base64 import b64decode, b64encode
from collections.abc import Callable
from typing import Any

from connectors.sandbox.call import Answer, Call, answer
from connectors.sandbox.faults import Fate, Faults
from connectors.sandbox.ledger import Entry
from connectors.sandbox.workspace import DEFAULT_CHANNELS, Channel, Workspace

MAX_TEXT = 40_000
_BOT = {"user": "U00000001", "bot_id": "B00000001", "app_id": "A00000001", "team": "T00000001"}
_READS = frozenset({"auth.test", "api.test", "conversations.list", "conversations.history", "conversations.info"})
_OPERATIONS = {"chat.postMessage": "message", "chat.update": "update", "chat.delete": "delete"}


class SlackError(Exception):
    """The word that Slack says no with."""


class Slack:
    """``per_second``: messages per second and channel, after a ``burst`` (0: no limit). ``tokens``: as for HubSpot."""

    name = "slack"

    def __init__(
        self,
        faults: Faults,
        *,
        per_second: float = 1.0,
        burst: int = 3,
        tokens: frozenset[str] | None = None,
        channels: tuple[str, ...] = DEFAULT_CHANNELS,
        open_channels: bool = False,
    ) -> None:
        self.workspace = Workspace(channels, open_channels=open_channels)
        self.refused = 0
        self._faults = faults
        self._per_second = per_second
        self._burst = burst
        self._tokens = tokens
        self._free_at: dict[str, float] = {}
        self._methods: dict[str, Callable[[Call, dict[str, Any], Entry], dict[str, Any]]] = {
            "api.test": lambda _call, args, _entry: {"args": args},
            "auth.test": self._auth_test,
            "chat.postMessage": self._post,
            "chat.update": self._update,
            "chat.delete": self._delete,
            "conversations.list": self._list,
            "conversations.info": self._info,
            "conversations.history": self._history,
        }

    @staticmethod
    def claims(path: str) -> bool:
        return path.startswith("/api/")

    def describe(self, call: Call) -> tuple[list[Entry], bool]:
        """What is asked, and whether it only reads. Never raises."""
        method = call.path.removeprefix("/api/")
        entry = Entry(call.number, self.name, _OPERATIONS.get(method, method), "message", received=call.now)
        try:
            entry.properties = {name: value for name, value in _arguments(call).items() if name != "token"}
        except ValueError:
            return [entry], method in _READS
        entry.unique = str(entry.properties.get("channel") or "") or None
        entry.record_id = str(entry.properties.get("ts") or "") or None
        return [entry], method in _READS

    def admit(self, call: Call) -> Answer | None:
        """Credentials and the limit of the channel; None lets the request through."""
        try:
            arguments = _arguments(call)
        except ValueError:
            return answer(200, {"ok": False, "error": "invalid_json"})
        token = call.token or str(arguments.get("token") or "")
        if call.path != "/api/api.test" and not token:
            return answer(200, {"ok": False, "error": "not_authed"})
        if self._tokens is not None and token not in self._tokens:
            return answer(200, {"ok": False, "error": "invalid_auth"})
        wait = self._wait(str(arguments.get("channel")), call.now) if call.path == "/api/chat.postMessage" else 0.0
        if wait > 0:
            self.refused += 1
            return self.throttled(call, Fate("throttled", retry_after=math.ceil(wait)))
        return None

    def perform(self, call: Call, entries: list[Entry]) -> Answer:
        """Carry it out, and say so in its entry."""
        entry = entries[0]
        method = self._methods.get(call.path.removeprefix("/api/"), _unknown_method)
        try:
            body = {"ok": True, **method(call, _arguments(call), entry)}
            entry.performed, entry.outcome = True, "ok"
        except SlackError as error:
            body = {"ok": False, "error": str(error)}
            entry.outcome = str(error)
        except ValueError:
            body = {"ok": False, "error": "invalid_arguments"}
            entry.outcome = "invalid_arguments"
        return answer(200, body)

    def throttled(self, call: Call, fate: Fate) -> Answer:  # noqa: ARG002 - the vendors share one shape
        headers = {} if fate.retry_after is None else {"Retry-After": str(math.ceil(fate.retry_after))}
        return answer(429, {"ok": False, "error": "ratelimited"}, headers)

    def unavailable(self, call: Call) -> Answer:  # noqa: ARG002
        return Answer(503, b"<html><body>upstream connect error</body></html>", content_type="text/html")

    def state(self) -> dict[str, Any]:
        channels = self.workspace.channels.values()
        return {"channels": {c.name: list(c.messages.values()) for c in channels}, "refused": self.refused}

    def set_faults(self, faults: Faults) -> None:
        self._faults = faults

    def _wait(self, reference: str, now: float) -> float:
        """A bucket per channel that fills at ``per_second`` and holds ``burst`` messages."""
        channel = self.workspace.find(reference)
        if not self._per_second or channel is None:
            return 0.0
        interval = 1 / self._per_second
        free_at = max(self._free_at.get(channel.id, 0.0), now - (self._burst - 1) * interval)
        if free_at > now:
            return free_at - now
        self._free_at[channel.id] = free_at + interval
        return 0.0

    def _post(self, call: Call, arguments: dict[str, Any], entry: Entry) -> dict[str, Any]:
        channel = self._channel(arguments)
        if channel.archived:
            raise SlackError("is_archived")
        content = self._content(arguments)
        for name in ("thread_ts", "metadata", "username"):
            if name in arguments:
                content[name] = arguments[name]
        message = self.workspace.post(channel, {**_BOT, **content}, call.at)
        entry.record_id = message["ts"]
        return {"channel": channel.id, "ts": message["ts"], "message": message}

    def _update(self, call: Call, arguments: dict[str, Any], entry: Entry) -> dict[str, Any]:
        channel = self._channel(arguments)
        message = self._message(channel, arguments)
        message |= self._content(arguments)
        message["edited"] = {"user": _BOT["user"], "ts": f"{call.at:.6f}"}
        entry.record_id = message["ts"]
        return {"channel": channel.id, "ts": message["ts"], "text": message.get("text", ""), "message": message}

    def _delete(self, _call: Call, arguments: dict[str, Any], entry: Entry) -> dict[str, Any]:
        channel = self._channel(arguments)
        message = self._message(channel, arguments)
        del channel.messages[message["ts"]]
        entry.record_id = message["ts"]
        return {"channel": channel.id, "ts": message["ts"]}

    def _auth_test(self, _call: Call, _arguments: dict[str, Any], _entry: Entry) -> dict[str, Any]:
        return {
            "url": "https://sandbox.slack.com/",
            "team": "Sandbox",
            "user": "writeback",
            "team_id": _BOT["team"],
            "user_id": _BOT["user"],
            "bot_id": _BOT["bot_id"],
        }

    def _info(self, _call: Call, arguments: dict[str, Any], _entry: Entry) -> dict[str, Any]:
        return {"channel": self._channel(arguments).shown()}

    def _list(self, _call: Call, arguments: dict[str, Any], _entry: Entry) -> dict[str, Any]:
        without_archived = _is_true(arguments.get("exclude_archived"))
        channels = [c.shown() for c in self.workspace.channels.values() if not (c.archived and without_archived)]
        page, cursor = _page(channels, arguments, default=100)
        return {"channels": page, "response_metadata": {"next_cursor": cursor}}

    def _history(self, _call: Call, arguments: dict[str, Any], _entry: Entry) -> dict[str, Any]:
        channel = self._channel(arguments)
        oldest, latest = float(arguments.get("oldest") or 0), float(arguments.get("latest") or "inf")
        inclusive = _is_true(arguments.get("inclusive"))
        with_metadata = _is_true(arguments.get("include_all_metadata"))
        messages = [
            message if with_metadata else {name: value for name, value in message.items() if name != "metadata"}
            for ts, message in reversed(channel.messages.items())
            if oldest < float(ts) < latest or (inclusive and float(ts) in {oldest, latest})
        ]
        page, cursor = _page(messages, arguments, default=100)
        return {"messages": page, "has_more": bool(cursor), "response_metadata": {"next_cursor": cursor}}

    def _channel(self, arguments: dict[str, Any]) -> Channel:
        channel = self.workspace.find(str(arguments.get("channel") or ""))
        if channel is None:
            raise SlackError("channel_not_found")
        return channel

    def _message(self, channel: Channel, arguments: dict[str, Any]) -> dict[str, Any]:
        message = channel.messages.get(str(arguments.get("ts") or ""))
        if message is None:
            raise SlackError("message_not_found")
        return message

    def _content(self, arguments: dict[str, Any]) -> dict[str, Any]:
        content = {name: arguments[name] for name in ("text", "blocks", "attachments") if arguments.get(name)}
        if not content:
            raise SlackError("no_text")
        if len(str(content.get("text", ""))) > MAX_TEXT:
            raise SlackError("msg_too_long")
        if self._faults.refused_marker and self._faults.refused_marker in str(content):
            raise SlackError("restricted_action")
        return content


def _unknown_method(_call: Call, _arguments: dict[str, Any], _entry: Entry) -> dict[str, Any]:
    raise SlackError("unknown_method")


def _arguments(call: Call) -> dict[str, Any]:
    """The arguments of a method: JSON or form in the body, or in the query. Raises ``ValueError``."""
    query = {name: values[-1] for name, values in call.query.items()}
    if not call.body:
        return query
    return query | (call.json() if "json" in call.content_type else call.form())


def _page(items: list[dict[str, Any]], arguments: dict[str, Any], default: int) -> tuple[list[dict[str, Any]], str]:
    limit = min(max(int(arguments.get("limit") or default), 1), 1_000)
    cursor = str(arguments.get("cursor") or "")
    start = int(b64decode(cursor)) if cursor else 0
    more = start + limit < len(items)
    return items[start : start + limit], b64encode(str(start + limit).encode()).decode() if more else ""


def _is_true(value: Any) -> bool:
    return str(value).lower() in {"true", "1"}
