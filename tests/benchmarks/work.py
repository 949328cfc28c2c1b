"""The events of the benchmarks: the same for everybody."""

from __future__ import annotations

from typing import Any

from topics.event.event import Event, Operation

HOT = "hot"


def key_of(n: int, keys: int, *, hot: bool = False) -> str:
    """``hot``: every second event is the hot key's."""
    return HOT if hot and n % 2 else f"k{n % keys}"


def fields_of(n: int, keys: int, *, hot: bool = False, **body: Any) -> dict[str, Any]:
    """What the record's value holds as JSON: a path, and the body to send there with PATCH."""
    key = key_of(n, keys, hot=hot)
    return {"path": f"records/{key}", "body": {"n": n, "key": key, "firstname": f"name {n}", **body}}


def single(
    slug: str,
    n: int,
    keys: int,
    *,
    hot: bool = False,
    base: str = "",
    operation: Operation = Operation.UPDATE,
    **body: Any,
) -> Event:
    """One call of its own. An ``add`` goes by PATCH all the same: only what may be repeated differs.

    ``base``: another address, before the path.
    """
    fields = fields_of(n, keys, hot=hot, **body)
    fields["path"] = base + fields["path"]
    if operation is Operation.ADD:
        fields["method"] = "PATCH"
    return Event(operation=operation, connection=slug, object="record", key=fields["body"]["key"], fields=fields)


def batched(slug: str, n: int, keys: int, *, operation: Operation = Operation.UPSERT) -> Event:
    """A contact for HubSpot's batch upsert, or create."""
    email = f"u{n % keys}@x.example"
    fields = {"email": email, "firstname": f"name {n}", "n": n}
    return Event(operation=operation, connection=slug, object="contact", key=email, fields=fields)
