"""Checks that an answer really comes from the vendor: its status, its media type, and its content.

A status 2xx alone proves nothing: a proxy's page, a captive portal and an empty list of results have it as well.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from email.message import Message
from typing import Any, Final

from pydantic_core import from_json

from connectors.engine.template.paths import Look, compile_path
from connectors.engine.transport.reply import Reply

NO_CONTENT: Final = 204
JSON_MEDIA_TYPE: Final = "application/json"
ANY_MEDIA_TYPE: Final = "*/*"
PAGE: Final = "text/html"


class Unreadable:
    """Stands for a body that is not JSON, or not complete."""

    __slots__ = ()


UNREADABLE: Final = Unreadable()


def body_of(reply: Reply) -> Any:
    """The JSON of an answer; None for an empty one, ``UNREADABLE`` for anything else. It is parsed once."""
    if not reply.parsed:
        reply.parsed.append(_parsed(reply))
    return reply.parsed[0]


def _parsed(reply: Reply) -> Any:
    if reply.truncated:
        return UNREADABLE
    if not reply.body:
        return None
    try:
        return from_json(reply.body)
    except (ValueError, RecursionError):
        return _in_its_charset(reply)


def _in_its_charset(reply: Reply) -> Any:
    """JSON is UTF-8 without a byte order mark; older APIs send one, or name another encoding beside the media type."""
    content_type = Message()
    content_type["Content-Type"] = reply.headers.get("Content-Type", "")
    try:
        text = reply.body.decode(content_type.get_content_charset("utf-8"))
        return from_json(text.removeprefix("\ufeff"))
    except (ValueError, LookupError, RecursionError):
        return UNREADABLE


@dataclass(frozen=True, slots=True)
class Expected:
    """``statuses``: those that mean success; None: every 2xx. ``media_types``: those of a body, ``*/*`` for any.

    ``says``: expressions that must be true of the body, each with its text. ``pages``: a web page may be an answer.
    Where a body may be text, it is read as text unless its media type is JSON: ``ok``, or ``1``.
    """

    statuses: frozenset[int] | None = None
    media_types: frozenset[str] = frozenset({JSON_MEDIA_TYPE})
    says: tuple[tuple[str, Look], ...] = ()
    pages: bool = False

    def takes(self, status: int) -> bool:
        """Whether this status means success."""
        return 200 <= status < 300 if self.statuses is None else status in self.statuses

    def body_of(self, reply: Reply) -> Any:
        """The JSON, or the text if the vendor may answer with text; None when empty, else ``UNREADABLE``."""
        body = body_of(reply)
        if not self._text or reply.truncated or not reply.body:
            return body
        if isinstance(body, dict | list) or (body is not UNREADABLE and _is_json(_media_type(reply))):
            return body
        return reply.body.decode("utf-8", errors="replace")

    def foreign(self, reply: Reply) -> str | None:
        """Why the body cannot come from this vendor, whatever the status; None when it can."""
        if not reply.body:
            return None
        if not self.pages and is_page(reply):
            return "it is a web page"
        kind = _media_type(reply)
        if not kind or self.anything or kind in self.media_types:
            return None
        if _is_json(kind) and JSON_MEDIA_TYPE in self.media_types:
            return None
        return f"it is {kind}, not {' or '.join(sorted(self.media_types))}"

    def lacks(self, reply: Reply, body: Any) -> str | None:
        """Why an answer with a good status does not prove that the call succeeded; None when it does."""
        if reply.status == NO_CONTENT and self.statuses is not None:
            return None  # the manifest lists this status, which has no body
        if (foreign := self.foreign(reply)) is not None:
            return foreign
        if body is UNREADABLE and (self.says or not self._text):
            return "it cannot be read"
        return next((f"{text} is not true of it" for text, look in self.says if not _true(look, body)), None)

    @property
    def anything(self) -> bool:
        """Whether any body is accepted."""
        return ANY_MEDIA_TYPE in self.media_types

    @property
    def _text(self) -> bool:
        return self.anything or any(kind.startswith("text/") for kind in self.media_types)


def compile_says(expressions: Iterable[str]) -> tuple[tuple[str, Look], ...]:
    """Compile JMESPath expressions, each with its text. Raises ``ValueError`` for what is not JMESPath."""
    return tuple((text, compile_path(text)) for text in expressions)


def as_list(one_or_more: str | Sequence[str] | None) -> list[str]:
    """One value or a list of them, as a list."""
    if one_or_more is None:
        return []
    return [one_or_more] if isinstance(one_or_more, str) else list(one_or_more)


def is_page(reply: Reply) -> bool:
    """Whether it is a web page, by its first words. Media types mislead: Slack's webhooks send ``ok`` as text/html."""
    start = reply.body[:512].removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    return start.startswith((b"<!doctype html", b"<html")) or (
        _media_type(reply) in {PAGE, "application/xhtml+xml"} and start.startswith(b"<")
    )


def _true(look: Look, body: Any) -> bool:
    return body is not UNREADABLE and bool(look(body))


def _media_type(reply: Reply) -> str:
    return str(reply.headers.get("Content-Type", "")).partition(";")[0].strip().lower()


def _is_json(kind: str) -> bool:
    return kind in {JSON_MEDIA_TYPE, "text/json"} or (kind.startswith("application/") and kind.endswith("+json"))
