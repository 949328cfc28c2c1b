"""One request to the sandbox, and its answer, free of any web framework."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

from pydantic_core import from_json, to_json

JSON = "application/json;charset=utf-8"


@dataclass(slots=True)
class Call:
    """``now`` is monotonic, ``at`` seconds since the epoch, both of the moment of arrival."""

    number: int
    method: str
    path: str
    query: Mapping[str, list[str]]
    content_type: str
    token: str
    body: bytes
    now: float
    at: float
    authorization: str = ""
    """The whole header, for what is no bearer token."""
    headers: Mapping[str, str] = field(default_factory=dict)
    _json: dict[str, Any] | None = None

    def json(self) -> dict[str, Any]:
        """The body as a JSON object; raises ``ValueError`` for anything else."""
        if self._json is None:
            value = from_json(self.body) if self.body else {}
            if not isinstance(value, dict):
                raise ValueError("the body is not a JSON object")
            self._json = value
        return self._json

    def json_value(self) -> Any:
        """The body as any JSON value; raises ``ValueError`` for what is none."""
        return from_json(self.body) if self.body else None

    def form(self) -> dict[str, Any]:
        return {name: values[-1] for name, values in parse_qs(self.body.decode(), keep_blank_values=True).items()}

    def first(self, name: str, default: str = "") -> str:
        """The first value of a query parameter."""
        values = self.query.get(name)
        return values[0] if values else default


@dataclass(slots=True)
class Answer:
    status: int
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    content_type: str = JSON


def answer(status: int, value: Any, headers: dict[str, str] | None = None) -> Answer:
    return Answer(status, to_json(value), headers or {})
