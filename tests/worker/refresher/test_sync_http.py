"""Any HTTP API in the warehouse, its resources said by a setting; and what a run does when something is wrong."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.worker.refresher.json_server import Api, serving
from tests.worker.refresher.sync_rig import ROOT, Rig
from worker.refresher.job import Job

PAGED = {"path": "/partner", "params": {"offset": "$bookmark?", "limit": "2"}, "pages": "offset", "page_size": 2}
RESOURCES: dict[str, Any] = {
    "partner": {
        "all": {**PAGED, "records": "items"},
        "changed": {
            **PAGED,
            "params": {**PAGED["params"], "since": "$fields.since"},  # type: ignore[dict-item]
            "records": "items",
        },
        "cursor": {"path": "changed", "overlap": 0},
        "types": {"changed": "timestamp"},
    },
    "unit": {"key": ["code"], "all": {"path": "/unit", "records": "items"}},
}


@pytest.fixture
def api() -> Iterator[Api]:
    with serving() as one:
        one.lists = {
            "partner": [
                {
                    "id": str(number),
                    "changed": f"2026-01-0{number}T00:00:00.000Z",
                    "n": number,
                    "tags": ["a"],
                    "never": None,
                }
                for number in range(1, 6)
            ],
            "unit": [{"code": "kg", "name": "Kilogram"}],
        }
        yield one


@pytest.fixture
def rig(tmp_path: Path, api: Api) -> Rig:
    made = Rig(tmp_path, f"sqlite:///{tmp_path}/warehouse.db")
    made.connect("The ERP", "http", {"base_url": api.url, "resources": RESOURCES})
    return made


def test_pages_changes_and_new_columns(rig: Rig, api: Api) -> None:
    """Pages by offset; then only what has changed, with a new column; a list stays JSON in its column."""
    first = rig.sync("The ERP")

    assert (first.status, first.rows) == ("ok", {"partner": 5, "unit": 1}), first.detail
    assert len(api.asked) == 4
    assert rig.rows("the_erp", "unit") == [{"code": "kg", "name": "Kilogram"}]
    assert [row["tags"] for row in rig.rows("the_erp", "partner")] == [["a"]] * 5

    api.lists["partner"][0] |= {"changed": "2026-02-01T00:00:00.000Z", "vip": True}
    api.lists["unit"] = [{"code": "m", "name": "Metre"}]
    second = rig.sync("The ERP")

    assert (second.status, second.rows["unit"]) == ("ok", 1), second.detail
    assert api.asked[4]["since"] == "2026-01-05T00:00:00.000Z"
    changed = {row["id"]: row["vip"] for row in rig.rows("the_erp", "partner")}
    assert changed == {"1": True, "2": None, "3": None, "4": None, "5": None}
    assert rig.rows("the_erp", "unit") == [{"code": "m", "name": "Metre"}]


def test_a_column_that_changes_its_type(rig: Rig, api: Api) -> None:
    """Is an error that names it and leaves what is there; a full refresh makes the table anew."""
    assert rig.sync("The ERP").status == "ok"
    api.lists["partner"][0] |= {"changed": "2026-02-01T00:00:00.000Z", "n": "many"}

    refused = rig.sync("The ERP", "partner")

    assert (refused.status, refused.retry) == ("error", False)
    assert "the column n of the_erp.partner has changed its type: a value came that is text" in refused.detail
    assert "--full" in refused.detail
    assert [row["n"] for row in rig.rows("the_erp", "partner")] == [1, 2, 3, 4, 5]

    for partner in api.lists["partner"]:
        partner["n"] = str(partner["n"])
    rebuilt = rig.sync("The ERP", full=True)

    assert rebuilt.status == "ok", rebuilt.detail
    assert {row["n"] for row in rig.rows("the_erp", "partner")} == {"many", "2", "3", "4", "5"}


def test_a_table_altered_by_hand(rig: Rig, api: Api) -> None:
    """The column that is missing is named, before the vendor is asked; a full refresh makes the table anew."""
    assert rig.sync("The ERP").status == "ok"
    rig.ask(lambda database: database.execute("ALTER TABLE the_erp.partner DROP COLUMN n"))
    asked = len(api.asked)

    refused = rig.sync("The ERP", "partner")

    assert refused.detail.startswith("the_erp.partner was altered by hand: the column n is missing"), refused.detail
    assert (refused.retry, len(api.asked)) == (False, asked)
    assert rig.sync("The ERP", full=True).status == "ok"
    assert [row["n"] for row in rig.rows("the_erp", "partner")] == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("note", "a\0b", "partner with id 1: the field note is 'a\\x00b', which holds a NUL character"),
        ("n", 2**64, "partner with id 1: the field n is 18446744073709551616, which is more than 64 bits hold"),
        ("changed", "soon", "reading partner (all): a record's changed is 'soon', which is no time"),
    ],
)
def test_a_value_that_the_warehouse_cannot_hold(field: str, value: object, said: str, rig: Rig, api: Api) -> None:
    """Is named with its record and its field."""
    api.lists["partner"][0][field] = value

    refused = rig.sync("The ERP", "partner")

    assert (refused.status, refused.retry) == ("error", False)
    assert said in refused.detail


def test_a_fault_in_one_object_loads_none_of_the_run(rig: Rig, api: Api) -> None:
    """All of them keep the rows of before; the run after it brings the changes of all."""
    assert rig.sync("The ERP").status == "ok"
    api.lists["partner"][0] |= {"n": 100, "changed": "2026-02-01T00:00:00.000Z"}
    api.lists["unit"][0]["name"] = "Bad\0"

    refused = rig.sync("The ERP")
    kept = {row["id"]: row["n"] for row in rig.rows("the_erp", "partner")}
    api.lists["unit"][0]["name"] = "Kilo"
    assert rig.sync("The ERP").status == "ok"

    assert (refused.status, kept["1"]) == ("error", 1)
    assert {row["id"]: row["n"] for row in rig.rows("the_erp", "partner")} == {**kept, "1": 100}
    assert [row["name"] for row in rig.rows("the_erp", "unit")] == ["Kilo"]


def test_what_is_not_there(rig: Rig) -> None:
    """An object that nothing is said of is named with those that there are; so is a connection, or a connector."""
    assert "cannot refresh invoice: connector http 1.0 reads partner, unit" in rig.sync("The ERP", "invoice").detail
    assert "no connection 'CRM'; there are: The ERP" in rig.sync("CRM").detail

    rig.connect("Mail", "email", {"host": "smtp.x.example", "sender": "a@x.example"})
    assert "says nothing of how its records are read" in rig.sync("Mail").detail


def test_the_vendor_refuses(rig: Rig, api: Api) -> None:
    """Its words, and no other try."""
    del api.lists["unit"]

    refused = rig.sync("The ERP")

    assert (refused.status, refused.retry) == ("error", False)
    assert "reading unit (all): HTTP 404" in refused.detail
    assert "nothing here" in refused.detail


def test_a_stopped_run_leaves_nothing_half(rig: Rig, api: Api) -> None:
    """SIGTERM: the result says so, and what is in the warehouse is what was there."""
    api.lists["partner"] = api.lists["partner"] * 2_000
    process = rig.start(Job(connection="The ERP", objects=["partner"]))
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(signal.SIGTERM)

    stopped = rig.finish(process)

    assert (stopped.status, stopped.retry) == ("error", True)
    assert "stopped" in stopped.detail
    assert rig.ask(lambda database: database.list_tables()) == []


def test_nothing_else_is_contacted(rig: Rig, api: Api) -> None:
    """Not one name is looked up, and no address is connected to but the vendor's."""
    hook = rig.folder / "hook"
    hook.mkdir()
    (hook / "sitecustomize.py").write_text(
        f"""import sys
def told(event, arguments):
    if event in {{"socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto"}}:
        with open("{rig.folder}/contacted", "a") as file:
            print(event, arguments[-1] if event == "socket.connect" else arguments, file=file)
sys.addaudithook(told)
"""
    )
    rig.environment["PYTHONPATH"] = f"{hook}:{ROOT}"

    assert rig.sync("The ERP").status == "ok"
    time.sleep(0.1)
    port = int(api.url.rpartition(":")[2])
    contacted = {line for line in (rig.folder / "contacted").read_text().splitlines() if "getaddrinfo" not in line}
    assert contacted == {f"socket.connect ('127.0.0.1', {port})"}
