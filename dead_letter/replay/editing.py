"""Edits a letter's event: what a replay will send instead. The original stays as it came."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from dead_letter.errors import BadEdit
from dead_letter.replay.outgoing import edited_event
from dead_letter.store.rows import Edit, Stored
from topics.errors import MalformedEvent
from topics.event import codec, exact_json
from topics.names import MAX_EVENT_BYTES, is_refresh


def edit_of(
    stored: Stored,
    *,
    put: Mapping[str, Any],
    drop: Sequence[str] = (),
    fields: dict[str, Any] | None = None,
    operation: str | None = None,
    object_name: str | None = None,
    key: str | None = None,
) -> Edit:
    """The edit after these changes, on top of an earlier one. Raises ``BadEdit`` when it makes no event."""
    if is_refresh(stored.summary.topic):
        raise BadEdit(
            f"letter {stored.summary.id} is a request for a refresh: replay it as it is, or ask anew with "
            "`writeback refresh` and discard it"
        )
    base = current(stored)
    said_fields = dict(fields if fields is not None else base.fields if base else {})
    for name in drop:
        if name not in said_fields:
            raise BadEdit(f"there is no field {name!r} to take out; there is {', '.join(said_fields) or 'none'}")
        del said_fields[name]
    operation = operation or (base.operation if base else None)
    object_name = object_name or (base.object if base else None)
    if base is None and (operation is None or object_name is None or (fields is None and not put)):
        raise BadEdit(
            f"letter {stored.summary.id} holds no event ({stored.letter.reason}): "
            "give it one with --operation, --object, --fields and, where it has one, --key"
        )
    edit = Edit(operation or "", object_name or "", key or (base.key if base else None), {**said_fields, **put})
    _check(stored, edit)
    return edit


def current(stored: Stored) -> Edit | None:
    """What a replay would send now; None when that is no event."""
    return stored.summary.edited or original(stored)


def original(stored: Stored) -> Edit | None:
    try:
        event = codec.decode(stored.letter.record)
    except MalformedEvent:
        return None
    return Edit(str(event.operation), event.object, event.key, event.fields)


def diff(before: Edit | None, after: Edit | None) -> str:
    """The lines that change, as ``diff -u`` shows them."""
    lines = difflib.unified_diff(_lines(before), _lines(after), "before", "after", lineterm="", n=1)
    return "\n".join(lines)


def _lines(edit: Edit | None) -> list[str]:
    if edit is None:
        return []
    told = {"operation": edit.operation, "object": edit.object, "key": edit.key, "fields": edit.fields}
    return exact_json.shown(told, indent=2).splitlines()


def _check(stored: Stored, edit: Edit) -> None:
    try:
        event = edited_event(replace(stored, summary=replace(stored.summary, edited=edit)))
    except ValueError as error:
        raise BadEdit(f"that makes no event: {error}") from error
    encoded = codec.encode(event)
    size = len(encoded.key) + len(encoded.value) + sum(len(name) + len(value) for name, value in encoded.headers)
    if size > MAX_EVENT_BYTES:
        raise BadEdit(f"the event would have {size:,} bytes; the largest has {MAX_EVENT_BYTES:,}")
