"""How pages follow one another, and how fast they are asked for."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import ValidationError

from connectors.contract import Limits
from connectors.engine.manifest.read import PagedRequest, Sync
from connectors.engine.runner.pace import Pace
from connectors.engine.runner.source import Turning, parse_time
from connectors.engine.transport.reply import Reply

MOMENT = datetime(2026, 11, 29, 8, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "moment"),
    [
        ("2026-11-29T08:00:00Z", MOMENT),
        ("2026-11-29T09:00:00+01:00", MOMENT),
        ("2026-11-29 08:00:00", MOMENT),
        (MOMENT.timestamp(), MOMENT),
        (int(MOMENT.timestamp() * 1_000), MOMENT),
        (str(int(MOMENT.timestamp())), MOMENT),
    ],
)
def test_times_as_vendors_write_them(value: Any, moment: datetime) -> None:
    """ISO 8601, seconds and milliseconds, as numbers or as text; without an offset it is UTC."""
    assert parse_time(value) == moment


@pytest.mark.parametrize(
    ("request_", "headers", "body", "count", "following"),
    [
        ({"bookmark": "next"}, {}, {"next": "abc"}, 3, "abc"),
        ({"bookmark": "next"}, {}, {"next": ""}, 3, None),
        ({"pages": "offset", "page_size": 3}, {}, {}, 3, "3"),
        ({"pages": "offset", "page_size": 3}, {}, {}, 2, None),
        ({"pages": "number", "page_size": 3}, {}, {}, 3, "2"),
        ({"pages": "number", "page_size": 3, "first": 0}, {}, {}, 0, None),
        ({"pages": "url", "bookmark": "links.next"}, {}, {"links": {"next": "/b"}}, 3, "/b"),
        ({"pages": "link"}, {"Link": '<https://x/a?page=1>; rel="prev", <https://x/a?page=3>; rel="next"'}, {}, 3,
         "https://x/a?page=3"),
        ({"pages": "link"}, {}, {}, 3, None),
    ],
)  # fmt: skip
def test_what_leads_to_the_next_page(
    request_: dict[str, Any], headers: dict[str, str], body: Any, count: int, following: str | None
) -> None:
    """A token, an offset, a number, or an address; the last page has none."""
    turn = Turning(PagedRequest.model_validate({"path": "/a", **request_}))

    assert turn.following(turn.first(), Reply(200, headers), body, count) == following


async def test_reads_keep_to_their_share_of_the_rate() -> None:
    """Of ten calls a second a read makes four, and none before its time."""
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    pace = Pace(Limits(rate=10), sleep, begins=asyncio.get_running_loop().time() + 1.5)
    for _ in range(3):
        await pace.turn()

    assert waits == pytest.approx([1.5, 1.75, 2.0], abs=0.1)


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"all": {"path": "/a"}, "changed": {"path": "/a"}}, "changed and cursor belong together"),
        ({"all": {"path": "/a"}, "deleted": {"path": "/a"}}, "deleted belongs to changed"),
        ({"all": {"path": "/a"}, "key": []}, "at least 1"),
        ({}, "all"),
    ],
)
def test_what_a_manifest_cannot_say(spec: dict[str, Any], said: str) -> None:
    """Is an error where it is written."""
    with pytest.raises(ValidationError, match=said):
        Sync.model_validate(spec)
