"""Slack's Web API: HTTP 200 with ``ok: false`` for what is wrong, 429 with Retry-After above one message a second."""

from __future__ import annotations

import math
from base64 import b64decode, b64encode
from collections.abc import Callable
from typing import Any

from pydantic_core import from_json

from connectors.sandbox.call import Answer, Call, answer
from connectors.sandbox.faults import Fate, Faults
from connectors.sandbox.ledger import Entry
from connectors.sandbox.workspace import DEFAULT_CHANNELS, Channel, Workspace

MAX_TEXT = 40_000
_BOT = {"user": "U00000001", "bot_id": "B00000001", "app_id": "A00000001", "team": "T00000001"}
_READS = frozenset(
    {"auth.test", "api.test", "conversations.list", "conversations.history", "conversations.info",
     "conversations.replies"}
)  # fmt: skip
_OPERATIONS = {"chat.postMessage": "message", "chat.update": "update", "chat.delete": "delete"}
_UPLOADS, _HOOKS = "/upload/v1/", "/services/"
HOOK = "/services/T00000001/B00000001/sandbox"
"""An incoming webhook that posts to ``alerts``."""
HOOK_CHANNEL = "alerts"
LISTS_A_MINUTE = 20
"""Tier 2."""
MAX_BLOCKS = 50


class SlackError(Exception):
    """The word that Slack says no with."""


class MissingScope(SlackError):
    def __init__(self, scope: str) -> None:
        super().__init__("missing_scope")
        self.scope = scope


class Slack:
    """``per_second``: messages per second and channel, after a ``burst`` (0: no limit). ``tokens``: as for HubSpot.

    ``without``: scopes that the app was not given, of ``channels:read``, ``groups:read`` and ``files:write``.
    """

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
        without: frozenset[str] = frozenset(),
    ) -> None:
        self.workspace = Workspace(channels, open_channels=open_channels)
        self.refused = 0
        self._faults = faults
        self._per_second = per_second
        self._burst = burst
        self._tokens = tokens
        self._free_at: dict[str, float] = {}
        self._listed: list[float] = []
        self._without = without
        self._methods: dict[str, Callable[[Call, dict[str, Any], Entry], dict[str, Any]]] = {
            "api.test": lambda _call, args, _entry: {"args": args},
            "auth.test": self._auth_test,
            "chat.postMessage": self._post,
            "chat.update": self._update,
            "chat.delete": self._delete,
            "conversations.list": self._list,
            "conversations.info": self._info,
            "conversations.history": self._history,
            "conversations.replies": self._replies,
            "files.getUploadURLExternal": self._upload_url,
            "files.completeUploadExternal": self._complete,
            "files.delete": self._delete_file,
        }

    @staticmethod
    def claims(path: str) -> bool:
        return path.startswith(("/api/", _UPLOADS, _HOOKS))

    def describe(self, call: Call) -> tuple[list[Entry], bool]:
        """What is asked, and whether it only reads. Never raises."""
        method = call.path.removeprefix("/api/")
        if not call.path.startswith("/api/"):
            what = ("upload", "file") if call.path.startswith(_UPLOADS) else ("message", "message")
            entry = Entry(call.number, self.name, *what, received=call.now)
            return [entry], False
        entry = Entry(call.number, self.name, _OPERATIONS.get(method, method), "message", received=call.now)
        try:
            entry.properties = {name: value for name, value in _arguments(call).items() if name != "token"}
        except ValueError:
            return [entry], method in _READS
        entry.unique = str(entry.properties.get("channel") or "") or None
        entry.record_id = str(entry.properties.get("ts") or "") or None
        return [entry], method in _READS

    def admit(self, call: Call) -> Answer | None:
        """Credentials and the limits of the method and the channel; None lets the request through."""
        if not call.path.startswith("/api/"):
            return None  # the address is the credential
        try:
            arguments = _arguments(call)
        except ValueError:
            return answer(200, {"ok": False, "error": "invalid_json"})
        token = call.token or str(arguments.get("token") or "")
        if call.path != "/api/api.test" and not token:
            return answer(200, {"ok": False, "error": "not_authed"})
        if self._tokens is not None and token not in self._tokens:
            return answer(200, {"ok": False, "error": "invalid_auth"})
        wait = self._limit(call, arguments)
        if wait > 0:
            self.refused += 1
            return self.throttled(call, Fate("throttled", retry_after=math.ceil(wait)))
        return None

    def perform(self, call: Call, entries: list[Entry]) -> Answer:
        """Carry it out, and say so in its entry."""
        entry = entries[0]
        if call.path.startswith(_UPLOADS):
            return self._upload(call, entry)
        if call.path.startswith(_HOOKS):
            return self._hook(call, entry)
        method = self._methods.get(call.path.removeprefix("/api/"), _unknown_method)
        try:
            body = {"ok": True, **method(call, _arguments(call), entry)}
            entry.performed, entry.outcome = True, "ok"
        except SlackError as error:
            body = {"ok": False, "error": str(error)}
            if isinstance(error, MissingScope):
                body |= {"needed": error.scope, "provided": "chat:write"}
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
        files = [{**file.shown(), "channel": file.shared_in} for file in self.workspace.files.values()]
        shown = {c.name: list(c.messages.values()) for c in channels}
        return {"channels": shown, "files": files, "refused": self.refused}

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

    def _limit(self, call: Call, arguments: dict[str, Any]) -> float:
        """Seconds to wait: one message a second and channel, twenty listings a minute."""
        if call.path == "/api/chat.postMessage":
            return self._wait(str(arguments.get("channel")), call.now)
        if call.path != "/api/conversations.list":
            return 0.0
        self._listed = [each for each in self._listed if each > call.now - 60]
        if len(self._listed) >= LISTS_A_MINUTE:
            return self._listed[0] + 60 - call.now
        self._listed.append(call.now)
        return 0.0

    def _post(self, call: Call, arguments: dict[str, Any], entry: Entry) -> dict[str, Any]:
        channel = self.workspace.find(str(arguments.get("channel") or ""))
        if channel is None:
            raise SlackError("channel_not_found")
        if channel.archived:
            raise SlackError("is_archived")
        content = self._content(arguments)
        for name in ("thread_ts", "reply_broadcast", "metadata", "username"):
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
        types = str(arguments.get("types") or "public_channel").split(",")
        for kind, scope in (("public_channel", "channels:read"), ("private_channel", "groups:read")):
            if kind in types and scope in self._without:
                raise MissingScope(scope)
        channels = [
            c.shown()
            for c in self.workspace.channels.values()
            if not (c.archived and without_archived) and ("private_channel" if c.private else "public_channel") in types
        ]
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
            if message.get("thread_ts", ts) == ts or message.get("reply_broadcast")
            if oldest < float(ts) < latest or (inclusive and float(ts) in {oldest, latest})
        ]
        page, cursor = _page(messages, arguments, default=100)
        return {"messages": page, "has_more": bool(cursor), "response_metadata": {"next_cursor": cursor}}

    def _replies(self, _call: Call, arguments: dict[str, Any], _entry: Entry) -> dict[str, Any]:
        """A message and what answers it, the oldest first."""
        channel, parent = self._channel(arguments), str(arguments.get("ts") or "")
        if parent not in channel.messages:
            raise SlackError("thread_not_found")
        found = [one for ts, one in channel.messages.items() if parent in {ts, one.get("thread_ts")}]
        page, cursor = _page(found, arguments, default=1_000)
        return {"messages": page, "has_more": bool(cursor), "response_metadata": {"next_cursor": cursor}}

    def _upload_url(self, call: Call, arguments: dict[str, Any], _entry: Entry) -> dict[str, Any]:
        if "files:write" in self._without:
            raise MissingScope("files:write")
        if not arguments.get("filename") or not int(arguments.get("length") or 0):
            raise SlackError("missing_argument")
        file = self.workspace.file(str(arguments["filename"]), int(arguments["length"]))
        return {"file_id": file.id, "upload_url": f"http://{call.headers.get('Host')}{_UPLOADS}{file.id}"}

    def _upload(self, call: Call, entry: Entry) -> Answer:
        file = self.workspace.files.get(call.path.removeprefix(_UPLOADS))
        if file is None or len(call.body) != file.length:
            return Answer(400, b"invalid upload", content_type="text/plain")
        file.content = call.body
        entry.performed, entry.record_id, entry.outcome = True, file.id, "200"
        return Answer(200, f"OK - {file.length}".encode(), content_type="text/plain; charset=utf-8")

    def _complete(self, call: Call, arguments: dict[str, Any], entry: Entry) -> dict[str, Any]:
        given = arguments.get("files")
        named: list[dict[str, Any]] = (from_json(given) if isinstance(given, str) else given) or []
        files = [self.workspace.files.get(str(one["id"])) for one in named]
        if not files or any(file is None or file.content is None for file in files):
            raise SlackError("file_not_found")
        channel = None if arguments.get("channel_id") is None else self._channel(arguments, "channel_id")
        if channel is not None and channel.archived:
            raise SlackError("is_archived")
        shared = [file for file in files if file is not None]
        for file, one in zip(shared, named, strict=True):
            file.title = str(one.get("title") or "")
            file.shared_in = channel.id if channel is not None else None
        if channel is not None:
            message = {**_BOT, "text": arguments.get("initial_comment", ""), "files": [each.shown() for each in shared]}
            if thread := arguments.get("thread_ts"):
                message["thread_ts"] = thread
            self.workspace.post(channel, message, call.at)
        entry.record_id = shared[0].id
        return {"files": [file.shown() for file in shared]}

    def _delete_file(self, _call: Call, arguments: dict[str, Any], entry: Entry) -> dict[str, Any]:
        file = self.workspace.files.get(str(arguments.get("file") or ""))
        if file is None:
            raise SlackError("file_not_found")
        if file.deleted:
            raise SlackError("file_deleted")
        file.deleted = True
        entry.record_id = file.id
        return {}

    def _hook(self, call: Call, entry: Entry) -> Answer:
        """An incoming webhook: a word and a status, and one channel."""
        if call.path != HOOK:
            entry.outcome = "no_service"
            return Answer(404, b"no_service", content_type="text/plain")
        try:
            body = call.json() if "json" in call.content_type else from_json(call.form().get("payload", "{}"))
            channel = self.workspace.find(HOOK_CHANNEL)
            assert channel is not None  # the first channels are always there
            if self._wait(channel.id, call.now) > 0:
                return Answer(429, b"rate_limited", {"Retry-After": "1"}, "text/plain")
            message = self.workspace.post(channel, {**_BOT, **self._content(body)}, call.at)
        except (ValueError, SlackError) as error:
            word = str(error) if isinstance(error, SlackError) else "invalid_payload"
            entry.outcome = word
            return Answer(403 if word == "restricted_action" else 400, word.encode(), content_type="text/plain")
        entry.performed, entry.record_id, entry.outcome = True, message["ts"], "ok"
        return Answer(200, b"ok", content_type="text/html")

    def _channel(self, arguments: dict[str, Any], name: str = "channel") -> Channel:
        channel = self.workspace.by_id(str(arguments.get(name) or ""))
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
        blocks = content.get("blocks")
        if blocks is not None and not _are_blocks(from_json(blocks) if isinstance(blocks, str) else blocks):
            raise SlackError("invalid_blocks")
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


def _are_blocks(blocks: Any) -> bool:
    return (
        isinstance(blocks, list)
        and len(blocks) <= MAX_BLOCKS
        and all(isinstance(one, dict) and one.get("type") for one in blocks)
    )


def _is_true(value: Any) -> bool:
    return str(value).lower() in {"true", "1"}
