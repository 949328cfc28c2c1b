"""The benchmarks once, in a tiny size: they must not rot. No figure is judged here."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.benchmarks.__main__ import main
from tests.kafka_broker import Broker


@pytest.mark.acceptance
@pytest.mark.kafka
@pytest.mark.timeout(600)
def test_benchmarks_run(kafka: Broker, tmp_path: Path) -> None:
    """Every case completes, nothing is lost, doubled or out of order, and the figures are kept."""
    out = tmp_path / "figures.json"

    done = CliRunner().invoke(main, ["--tiny", "--out", str(out)], env={"KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap})

    assert done.exit_code == 0, done.output
    kept = json.loads(out.read_text())
    wrong = {f"{each['case']}: {each['what']}": each["value"] for each in kept["figures"] if each["at_most"] == 0}
    assert kept["machine"]["cores"]
    assert len(wrong) >= 15
    assert {what: value for what, value in wrong.items() if value} == {}
