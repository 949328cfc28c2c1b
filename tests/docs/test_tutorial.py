from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from tests.docs.transcript import Step, Terminal, steps
from tests.kafka_broker import Broker

DOCS = Path(__file__).parents[2] / "docs"


def _follow(name: str, home: Path, **settings: str) -> None:
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("WRITEBACK_")}
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    terminal = Terminal(home, {**inherited, "HOME": str(home), "PATH": path, **settings})
    try:
        wrong = next(filter(None, map(terminal.follow, steps((DOCS / name).read_text(encoding="utf-8")))), None)
    finally:
        codes = terminal.close()

    assert wrong is None, wrong
    assert set(codes) <= {0}


@pytest.mark.acceptance
@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "name",
    [
        "tutorial.md",
        "how-to/connect-hubspot.md",
        "how-to/connect-slack.md",
        "how-to/connect-odoo.md",
        "how-to/emit-from-the-warehouse.md",
        "how-to/keep-the-order-of-a-record.md",
    ],
)
def test_the_page_does_what_it_says(name: str, tmp_path: Path) -> None:
    """A person who types what the page says, on a fresh machine, sees what the page shows."""
    _follow(name, tmp_path)


@pytest.mark.acceptance
@pytest.mark.kafka
@pytest.mark.timeout(180)
def test_the_kafka_page_does_what_it_says(kafka: Broker, tmp_path: Path) -> None:
    """The commands of the page work on a real broker."""
    _follow(
        "how-to/run-on-kafka.md",
        tmp_path,
        WRITEBACK_LOG=f"kafka://{kafka.bootstrap}",
        WRITEBACK_SINGLE_HOST="true",
    )


def test_a_page_is_read_as_people_read_it() -> None:
    """Commands over several lines stay whole, what they print belongs to them, and marked blocks are left out."""
    page = "<!-- not run -->\n```console\n$ no\n```\n\n```console\n$ a \\\n    b\nout\n$ c\n```\n<!-- $ d -->\n"

    assert steps(page) == [Step("a \\\n    b", "out"), Step("c", ""), Step("d", "")]
