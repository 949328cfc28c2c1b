"""What Odoo might answer to what is asked before a record is sent: for ``connectors try``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from connectors.engine.runner.calls import Prepared
from topics.event import exact_json
from topics.event.event import Event

USER: Final = 2


def answer(asked: Prepared, events: Sequence[Event]) -> Any:
    """None: the request is not one of those."""
    url = str(asked.url)
    if url.endswith("/web/version"):
        return {"version_info": [19, 0]}
    if url.endswith("/fields_get"):
        return _fields(url.split("/")[-2], events)
    if not url.endswith("/jsonrpc") or asked.body is None:
        return None
    params = exact_json.loads(asked.body)["params"]
    if params["method"] == "authenticate":
        return {"jsonrpc": "2.0", "id": 1, "result": USER}
    if "fields_get" in params["args"]:
        model = params["args"][params["args"].index("fields_get") - 1]
        return {"jsonrpc": "2.0", "id": 1, "result": _fields(model, events)}
    return None


def _fields(model: str, events: Sequence[Event]) -> dict[str, dict[str, str]]:
    """Every field that is named in the events, or in their lines, of a type that its value may have."""
    return {name: _kind(model, value) for event in events for name, value in _named(event.fields)}


def _named(fields: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in fields.items():
        yield name, value
        for line in value if isinstance(value, list) else ():
            if isinstance(line, Mapping):
                yield from _named(line)


def _kind(model: str, value: Any) -> dict[str, str]:
    if isinstance(value, list) and any(isinstance(line, Mapping) for line in value):
        return {"type": "one2many", "relation": f"{model}.line"}
    if isinstance(value, bool):
        return {"type": "boolean"}
    return {"type": "float" if isinstance(value, int | float) else "char"}
