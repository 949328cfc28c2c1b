"""A run whose vendor or whose warehouse fails: what is there stays readable, and the next run goes on."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import make_url

from tests.worker.refresher.json_server import Api, serving
from tests.worker.refresher.sync_rig import Rig

RESOURCES: dict[str, Any] = {
    "partner": {
        "all": {
            "path": "/partner",
            "params": {"offset": "$bookmark?", "limit": "100"},
            "pages": "offset",
            "records": "items",
        }
    }
}


@pytest.fixture
def api() -> Iterator[Api]:
    with serving() as one:
        one.lists = {"partner": [{"id": str(number), "text": "x" * 50} for number in range(450)]}
        yield one


def rig_on(warehouse: str, folder: Path, api: Api) -> Rig:
    made = Rig(folder, warehouse)
    made.connect("ERP", "http", {"base_url": api.url, "resources": RESOURCES})
    return made


def test_the_vendor_fails_half_way(tmp_path: Path, api: Api) -> None:
    """After five tries the run ends; the old rows are there; the next run reads only the pages that are missing."""
    rig = rig_on(f"sqlite:///{tmp_path}/warehouse.db", tmp_path, api)
    assert rig.sync("ERP").rows == {"partner": 450}
    api.lists["partner"] = [{**row, "text": "new"} for row in api.lists["partner"]]
    api.refuse = lambda query: 503 if int(query.get("offset", 0)) >= 300 else 200
    api.asked.clear()

    broken = rig.sync("ERP")

    assert (broken.status, broken.retry) == ("error", True)
    assert "reading partner (all): HTTP 503: not now (5 times)" in broken.detail
    assert [query["offset"] for query in api.asked] == ["0", "100", "200", *["300"] * 5]
    assert {row["text"] for row in rig.rows("erp", "partner")} == {"x" * 50}

    api.refuse = lambda _query: 200
    api.asked.clear()
    healed = rig.sync("ERP")

    assert (healed.status, healed.rows) == ("ok", {"partner": 450})
    assert [query["offset"] for query in api.asked] == ["300", "400"]
    assert [row["text"] for row in rig.rows("erp", "partner")] == ["new"] * 450


def test_the_vendor_throttles(tmp_path: Path, api: Api) -> None:
    """A 429 costs no try: the read waits as long as it was asked to, and goes on."""
    rig = rig_on(f"sqlite:///{tmp_path}/warehouse.db", tmp_path, api)
    api.refuse = lambda _query: 429 if len(api.asked) <= 7 else 200

    result = rig.sync("ERP")

    assert (result.status, result.rows) == ("ok", {"partner": 450}), result.detail
    assert result.seconds >= 7


def test_the_warehouse_is_down(tmp_path: Path, api: Api) -> None:
    """It is named without its password, before the vendor is asked for anything."""
    rig = rig_on("postgresql://u:hunter2@127.0.0.1:9/dw", tmp_path, api)

    result = rig.sync("ERP")

    assert (result.status, result.retry, api.asked) == ("error", True, [])
    assert "the warehouse postgresql+psycopg://u:***@127.0.0.1:9/dw does not answer" in result.detail


@pytest.mark.postgres
def test_the_warehouse_is_read_only(postgres_url: str, tmp_path: Path, api: Api) -> None:
    """Says so; no other try would help."""
    url = make_url(postgres_url).update_query_dict({"options": "-c default_transaction_read_only=on"})
    rig = rig_on(url.render_as_string(hide_password=False), tmp_path, api)

    result = rig.sync("ERP")

    assert (result.status, result.retry) == ("error", False)
    assert "cannot be written to by this user: cannot execute CREATE SCHEMA in a read-only transaction" in result.detail


def test_the_warehouse_is_full(tmp_path: Path, api: Api) -> None:
    """Says so, and the rows of before are still there."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", disk], check=False).returncode:
        pytest.skip("no small disk can be mounted here: that takes root")
    try:
        rig = rig_on(f"sqlite:///{disk}/warehouse.db", tmp_path, api)
        api.lists["partner"] = api.lists["partner"][:10]
        assert rig.sync("ERP").status == "ok"
        api.lists["partner"] = [{"id": str(number), "text": "y" * 4_000} for number in range(1_000)]

        result = rig.sync("ERP")

        assert (result.status, result.retry) == ("error", True)
        assert "warehouse.db is full" in result.detail
        (disk / "warehouse__erp_staging.db").unlink(missing_ok=True)
        assert {row["text"] for row in rig.rows("erp", "partner")} == {"x" * 50}
    finally:
        subprocess.run(["umount", "-l", disk], check=True)
