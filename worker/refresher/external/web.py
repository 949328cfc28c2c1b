"""One HTTP request to another tool. They are few and small: the standard library is enough."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import HTTPRedirectHandler, Request, build_opener

TIMEOUT_SECONDS = 60.0
MAX_SAID = 500


class Failed(Exception):
    """The refresh failed; the message says why, for people. ``retry``: another try may succeed."""

    def __init__(self, detail: str, *, retry: bool) -> None:
        super().__init__(detail)
        self.retry = retry


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    body: Any
    headers: Mapping[str, str] = field(default_factory=dict)


class _NoRedirects(HTTPRedirectHandler):
    """Credentials are sent only to the address in the settings."""

    def redirect_request(self, *_: Any) -> None:
        return None


_OPENER = build_opener(_NoRedirects)


def ask(
    method: str, url: str, headers: Mapping[str, str], body: Any = None, *, expected: tuple[int, ...] = ()
) -> Answer:
    """The answer, when its status is 2xx or ``expected``.

    Raises ``Failed``, without ``retry`` for a status of 400 to 499 other than 408 and 429.
    """
    data = None if body is None else json.dumps(body).encode()
    sent = Request(url, data, {"Content-Type": "application/json", **headers}, method=method)  # noqa: S310 - the model says http(s)
    try:
        with _OPENER.open(sent, timeout=TIMEOUT_SECONDS) as answer:
            return Answer(answer.status, _json(answer.read()), dict(answer.headers))
    except HTTPError as error:
        with error:
            said = error.read()
        if error.code in expected:
            return Answer(error.code, _json(said), dict(error.headers))
        retry = error.code >= 500 or error.code in {408, 429}
        text = said.decode(errors="replace")[:MAX_SAID]
        raise Failed(f"{method} {url}: HTTP {error.code}: {text}", retry=retry) from error
    except (URLError, OSError) as error:
        raise Failed(f"{method} {url}: {getattr(error, 'reason', error)}", retry=True) from error


def _json(said: bytes) -> Any:
    try:
        return json.loads(said or b"null")
    except ValueError:
        return None
