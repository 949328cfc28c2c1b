"""Credentials in an event. It is kept, in the log and in dead letters, so it is no place for them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

_HEADER: Final = re.compile(
    r"(?:^|[-_])(?:authorization|cookie|api[-_]?key|(?:access|auth)[-_]?token|secret|password|credentials?)(?:$|[-_])",
    re.IGNORECASE,
)
_PARAMETERS: Final = frozenset(
    {"accesstoken", "apikey", "apitoken", "authtoken", "clientsecret", "password", "passwd", "secret", "token"}
)


def credential(fields: Mapping[str, Any], header: str, parameter: str) -> str | None:
    """Why a call must not be kept: what of it is a credential, and where that belongs. None: nothing is.

    ``header``, ``parameter``: those in which this connection sends its own key.
    """
    for name in _names(fields.get("headers")):
        if _HEADER.search(name) or name.lower() == header.lower():
            own = "access_token" if name.lower() == "authorization" else f"api_key, and --set api_key_header={name}"
            return f"the header {name} {_ADVICE} (--secret {own})"
    path = str(fields.get("path") or "")
    parameters = _names(fields.get("params"))
    if "@" in path or "?" in path:  # few have either, and this is asked for every event
        parts = urlsplit(path)
        if "@" in parts.netloc:
            return f"the user in the path {_ADVICE} (--set username=..., --secret password)"
        parameters += [name for name, _ in parse_qsl(parts.query, keep_blank_values=True)]
    for name in parameters:
        if name.lower().replace("_", "").replace("-", "") in _PARAMETERS or name == parameter:
            return f"the parameter {name} {_ADVICE} (--secret query_api_key, and --set query_api_key_name={name})"
    return None


_ADVICE: Final = "looks like a credential: events are kept, so it belongs to the connection"


def _names(given: Any) -> list[str]:
    return [str(name) for name in given] if isinstance(given, Mapping) else []
