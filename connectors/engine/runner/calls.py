"""A request of a manifest, compiled once, and filled in for an event."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any, NamedTuple, Protocol
from urllib.parse import quote

from yarl import URL

from connectors.engine.manifest.requests import Request
from connectors.engine.runner.expected import ANY_MEDIA_TYPE, PAGE, Expected, as_list, compile_says
from connectors.engine.template.paths import Look, compile_path
from connectors.engine.template.placeholders import fields_named
from connectors.engine.template.template import (
    ABSENT,
    Missing,
    Render,
    Scope,
    Static,
    compile_text,
    compile_value,
    literal,
)
from connectors.engine.template.text import as_text
from topics.event import exact_json
from topics.event.event import Event


class Prepared(NamedTuple):
    """A request that is ready to be sent, except for the credentials."""

    method: str
    url: str | URL
    headers: dict[str, str]
    body: bytes | None


class Call(Protocol):
    """Makes requests from events, and knows what their answers look like."""

    @property
    def expected(self) -> Expected: ...
    @property
    def id_at(self) -> Look | None: ...
    @property
    def detail_at(self) -> Look: ...

    def prepare(self, scope: Scope) -> Prepared:
        """Fill the request in. Raises ``Missing``, and ``ValueError`` for what cannot be put into a request."""


@dataclass(frozen=True, slots=True)
class ManifestCall:
    """A call as the manifest describes it."""

    method: str
    url: URL | Callable[[Scope], str]
    params: tuple[tuple[str, Render], ...]
    headers: dict[str, str]
    templated_headers: tuple[tuple[str, Callable[[Scope], str]], ...]
    idempotency_header: str | None
    body: Render | None
    expected: Expected
    id_at: Look | None
    detail_at: Look

    def prepare(self, scope: Scope) -> Prepared:
        url = self.url if isinstance(self.url, URL) else self.url(scope)
        if self.params:
            url = with_params(str(url), {name: render(scope) for name, render in self.params})
        headers = self.headers
        if self.templated_headers or self.idempotency_header:
            headers = {**headers, **{name: render(scope) for name, render in self.templated_headers}}
            if self.idempotency_header and scope.event is not None:
                headers[self.idempotency_header] = idempotency_key(scope.event)
        return Prepared(self.method, url, headers, None if self.body is None else exact_json.dumps(self.body(scope)))


class Base(NamedTuple):
    """What all requests of a connection have in common."""

    url: str
    headers: Mapping[str, str]
    params: Mapping[str, str]
    expected: Expected = Expected()


def compile_call(
    request: Request, base: Base, static: Static, *, idempotency_header: str | None = None, more: Any = None
) -> ManifestCall:
    """``more``: another template that names fields, such as a batch's item."""
    named = fields_named(request.params, request.body, more, paths=(request.path, *request.headers.values()))
    path = compile_text(request.path, static, in_path=True)
    texts = {name: compile_text(text, static, in_path=False) for name, text in request.headers.items()}
    fixed = {**base.headers, **{name: text for name, text in texts.items() if isinstance(text, str)}}
    if request.body is None:
        fixed = {name: text for name, text in fixed.items() if name.lower() != "content-type"}
    params = [(name, compile_value(shape, static, named)) for name, shape in request.params.items()]
    params += [(name, compile_value(literal(text), static)) for name, text in base.params.items()]
    return ManifestCall(
        method=request.method,
        url=URL(base.url + path, encoded=True) if isinstance(path, str) else _behind(base.url, path),
        params=tuple(params),
        headers=fixed,
        templated_headers=tuple((name, text) for name, text in texts.items() if not isinstance(text, str)),
        idempotency_header=idempotency_header,
        body=None if request.body is None else compile_value(request.body, static, named),
        expected=_expected(request, base.expected),
        id_at=compile_path(request.id) if request.id else None,
        detail_at=compile_path(request.detail),
    )


def _expected(request: Request, every: Expected) -> Expected:
    """What is expected of this request's answer: the manifest's general expectations, with the request's own."""
    kinds = every.media_types if request.media_type is None else frozenset(as_list(request.media_type))
    return replace(
        every,
        statuses=None if request.success is None else frozenset(request.success),
        media_types=kinds,
        says=every.says + compile_says(as_list(request.succeeds_when)),
        pages=PAGE in kinds or ANY_MEDIA_TYPE in kinds,
    )


def _behind(base: str, path: Callable[[Scope], str]) -> Callable[[Scope], str]:
    return lambda scope: base + path(scope)


def with_params(url: str, params: Mapping[str, Any]) -> str:
    """The URL with query parameters; lists are joined with commas, and absent values are left out."""
    pairs = [
        f"{quote(name, safe='')}={quote(_param(value), safe='')}"
        for name, value in params.items()
        if value is not ABSENT
    ]
    if not pairs:
        return url
    return url + ("&" if "?" in url else "?") + "&".join(pairs)


def _param(value: Any) -> str:
    return ",".join(as_text(item) for item in value) if isinstance(value, list | tuple) else str(as_text(value))


def idempotency_key(*events: Event) -> str:
    """The key of an event, or of a batch, as a header can carry it: always the same for the same events."""
    key = " ".join(event.options.idempotency_key or event.id for event in events)
    if len(key) <= 128 and key.isascii() and key.isprintable():
        return key
    return sha256(key.encode("utf-8", errors="surrogatepass")).hexdigest()


def needs(event: Event, missing: Missing) -> str:
    return f"{event.operation} {event.object} needs the field {missing}, and the event does not have it"
