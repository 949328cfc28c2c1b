"""What a real answer of the vendor has: a status, a media type, and words that only the vendor says.

A 2xx alone proves nothing: a proxy's page, a captive portal and an empty list of results come with 200 as well.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pydantic_core import from_json

from connectors.engine.template.paths import Look, compile_path
from connectors.engine.transport.reply import Reply

NO_CONTENT: Final = 204
JSON_MEDIA_TYPE: Final = "application/json"
ANY_MEDIA_TYPE: Final = "*/*"
PAGE: Final = "text/html"


class Unreadable:
    """The body is not JSON, or not whole."""

    __slots__ = ()


UNREADABLE: Final = Unreadable()


def body_of(reply: Reply) -> Any:
    """The JSON of an answer; None for an empty one, ``UNREADABLE`` for anything else. It is read once."""
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
        return UNREADABLE


@dataclass(frozen=True, slots=True)
class Expected:
    """``statuses``: those that mean done; None: every 2xx. ``media_types``: what a body may be, ``*/*`` for anything.

    ``says``: expressions that must be true of the body, each with its text. ``pages``: a web page may be an answer.
    A body that may be text is text unless it is JSON: ``ok``, and ``1`` where the media type is not JSON.
    """

    statuses: frozenset[int] | None = None
    media_types: frozenset[str] = frozenset({JSON_MEDIA_TYPE})
    says: tuple[tuple[str, Look], ...] = ()
    pages: bool = False

    def takes(self, status: int) -> bool:
        """Does this status mean that it was done?"""
        return 200 <= status < 300 if self.statuses is None else status in self.statuses

    def body_of(self, reply: Reply) -> Any:
        """JSON, or text where the vendor may answer with it; None for nothing, ``UNREADABLE`` for what is neither."""
        body = body_of(reply)
        if not self._text or reply.truncated or not reply.body:
            return body
        if isinstance(body, dict | list) or (body is not UNREADABLE and _is_json(_media_type(reply))):
            return body
        return reply.body.decode("utf-8", errors="replace")

    def foreign(self, reply: Reply) -> str | None:
        """Why the body is none of this vendor's, whatever the status; None when it may be."""
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
        """Why an answer with a good status does not account for the call; None when it does."""
        if reply.status == NO_CONTENT and self.statuses is not None:
            return None  # the status is the whole answer, and the manifest says that it is one
        if (foreign := self.foreign(reply)) is not None:
            return foreign
        if body is UNREADABLE and (self.says or not self._text):
            return "it cannot be read"
        return next((f"{text} is not true of it" for text, look in self.says if not _true(look, body)), None)

    @property
    def anything(self) -> bool:
        """Nothing is known of this API's bodies."""
        return ANY_MEDIA_TYPE in self.media_types

    @property
    def _text(self) -> bool:
        return self.anything or any(kind.startswith("text/") for kind in self.media_types)


def compile_says(expressions: Iterable[str]) -> tuple[tuple[str, Look], ...]:
    """Raises ``ValueError`` for what is not JMESPath."""
    return tuple((text, compile_path(text)) for text in expressions)


def as_list(one_or_more: str | Sequence[str] | None) -> list[str]:
    """A manifest's "one or a list of them"."""
    if one_or_more is None:
        return []
    return [one_or_more] if isinstance(one_or_more, str) else list(one_or_more)


def is_page(reply: Reply) -> bool:
    """A web page, by its first words: Slack's hooks answer the bare word ``ok`` as text/html."""
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
