"""Google Sheets: rows by the names of the first row, keys, turns, and what Google's codes mean."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from decimal import Decimal
from typing import Any, ClassVar

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from connectors.contract import (
    Absent,
    CannotTell,
    Connector,
    Delivered,
    Down,
    Found,
    Rejected,
    Retry,
    Throttled,
    Unknown,
    Verdict,
)
from connectors.errors import BadConnection, CallFailed, UnknownFunction
from connectors.registry import manifest
from connectors.saas.google_sheets.cells import cell
from connectors.saas.google_sheets.connector import GoogleSheetsConnector
from connectors.saas.google_sheets.layout import Layout, Sheet, title_in
from connectors.sandbox.faults import Fate, Faults
from connectors.sandbox.server import Sandbox
from connectors.sandbox.sheets.grid import Grid
from connectors.sandbox.sheets.rest import Sheets
from tests.conformance.connectors import NOW, SECRET, ConnectorContract
from tests.conformance.vendor import Told, Vendor
from topics.event.event import Event, Operation

KEYED = Layout(Sheet("Leads", 7, 1_000, 26), ("email", "name"), {"email": ["email", "john@acme.com"]})


def made(url: str, *, secrets: dict[str, str] | None = None, **settings: Any) -> GoogleSheetsConnector:
    settings = {"base_url": url, "spreadsheet_id": "sandbox", "allow_private_addresses": True, **settings}
    secrets = secrets or {"access_token": "good"}
    return GoogleSheetsConnector(manifest("google_sheets"), settings, secrets, {"rate": 1_000}, now=lambda: NOW)


def event(operation: str, sheet: str = "Leads", **fields: Any) -> Event:
    return Event(operation=Operation(operation), connection="sheets", object=sheet, fields=fields)


def refusal(status: int, code: str, words: str) -> Told:
    return Told(status, json.dumps({"error": {"code": status, "message": words, "status": code}}).encode())


class TestContract(ConnectorContract):
    """Where the rows are is known already: the suite counts requests."""

    name = "google_sheets"
    object = "Leads"
    add: ClassVar = {"email": "j@acme.com", "name": "John"}
    update: ClassVar = {"searchfield": "email", "searchterm": "john@acme.com", "name": "John"}
    delete: ClassVar = {"searchfield": "email", "searchterm": "john@acme.com"}
    done: ClassVar = b'{"spreadsheetId": "sandbox", "replies": [{}]}'

    def made(self, url: str, **settings: Any) -> Connector:
        async def layout(_title: str, _keys: frozenset[str]) -> Layout:
            return KEYED

        connector = made(url, secrets={"access_token": SECRET}, **settings)
        connector.book.layout = layout  # type: ignore[assignment, method-assign]
        return connector

    @pytest.mark.parametrize("status", [404, 410])
    async def test_deleting_what_is_gone(self, vendor: Vendor, connector: Connector, status: int) -> None:
        """A key that no row has is gone; a 404 is about the whole spreadsheet, and proves nothing."""
        (gone,) = await connector.deliver([event("delete", searchfield="email", searchterm="x@acme.com")])
        lost = await self.verdict(vendor, connector, "delete", Told(status))

        assert (type(gone), type(lost)) == (Delivered, Rejected)

    @pytest.mark.parametrize(
        ("status", "code", "words", "added", "updated"),
        [
            (429, "RESOURCE_EXHAUSTED", "Quota exceeded for quota metric 'Write requests'", Throttled, Throttled),
            (401, "UNAUTHENTICATED", "Request had invalid authentication credentials.", Down, Down),
            (403, "PERMISSION_DENIED", "The caller does not have permission", Down, Down),
            (404, "NOT_FOUND", "Requested entity was not found.", Down, Down),
            (400, "INVALID_ARGUMENT", "You are trying to edit a protected cell or object.", Rejected, Rejected),
            (400, "INVALID_ARGUMENT", "the number of cells above the limit of 10000000 cells", Down, Down),
            (409, "ABORTED", "The operation was aborted.", Retry, Retry),
            (503, "UNAVAILABLE", "The service is currently unavailable.", Unknown, Retry),
            (500, "INTERNAL", "Internal error encountered.", Unknown, Retry),
        ],
    )
    async def test_errors(  # noqa: PLR0917 - a row of the table
        self, vendor: Vendor, connector: Connector, status: int, code: str, words: str, added: type, updated: type
    ) -> None:
        """Google's own code decides, and the reason has its words."""
        told = refusal(status, code, words)
        verdicts = [await self.verdict(vendor, connector, operation, told) for operation in ("add", "update")]

        assert [type(verdict) for verdict in verdicts] == [added, updated]
        assert all(code in verdict.reason and words in verdict.reason for verdict in verdicts)  # type: ignore[union-attr]


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    async with Sandbox(latency=0, sheets=Sheets(Faults(), tokens=frozenset({"good"}))) as sandbox:
        yield sandbox


@pytest.fixture
async def sheets(sandbox: Sandbox) -> AsyncIterator[GoogleSheetsConnector]:
    connector = made(sandbox.url, unique={"Leads": "email"})
    yield connector
    await connector.close()


def grid(sandbox: Sandbox, title: str = "Leads") -> Grid:
    return next(one for one in sandbox.google_sheets.books["sandbox"].grids if one.title == title)


def filled(sandbox: Sandbox, *rows: list[Any], title: str = "Leads") -> None:
    sandbox.google_sheets.books["sandbox"].write(f"{title}!A1", list(rows), entered=False)


def rows_of(sandbox: Sandbox, title: str = "Leads") -> list[list[Any]]:
    one = grid(sandbox, title)
    return one.values(one.area(""), formatted=False)


def kinds(verdicts: list[Any]) -> list[type]:
    return [type(verdict) for verdict in verdicts]


def calls(sandbox: Sandbox) -> list[str]:
    return [entry.operation for entry in sandbox.ledger.entries]


async def test_the_way_of_a_row(sandbox: Sandbox, sheets: GoogleSheetsConnector) -> None:
    """An empty sheet gets its first row from the first event; rows are added, changed, upserted and deleted by key."""
    verdicts: list[Verdict] = []
    for operation, fields in (
        ("add", {"email": "a@x.com", "name": "A", "amount": 1.5}),
        ("upsert", {"Email": "b@x.com", "name": "B"}),
        ("upsert", {"email": "a@x.com", "amount": None, "name": "A2"}),
        ("add", {"email": "c@x.com", "amount": Decimal("2.50")}),
        ("update", {"searchfield": "name", "searchterm": "B", "amount": 7}),
        ("delete", {"email": "a@x.com"}),
        ("delete", {"email": "a@x.com"}),
    ):
        verdicts += await sheets.deliver([event(operation, **fields)])

    assert kinds(verdicts) == [Delivered] * 7
    assert rows_of(sandbox) == [["email", "name", "amount"], ["b@x.com", "B", 7], ["c@x.com", "", 2.5]]


async def test_one_write_a_turn(sandbox: Sandbox, sheets: GoogleSheetsConnector) -> None:
    """A batch is one read and one batchUpdate: changes, new rows, each event with its own verdict."""
    filled(sandbox, ["email", "name", "phone", "city"], ["a@x.com", "A", "1", "Gent"], ["b@x.com", "B", "2", "Mons"])
    await sheets.deliver([event("upsert", email="a@x.com", name="A1")])
    sandbox.ledger.clear()
    verdicts = await sheets.deliver(
        [
            event("upsert", email="b@x.com", name="B1", city="Bree"),
            event("upsert", email="c@x.com", name="C"),
            event("upsert", email="d@x.com", colour="red"),
            event("upsert", name="nobody"),
            event("upsert", email="e@x.com", name="x" * 50_001),
            event("upsert", email="f@x.com", city="Fosses"),
        ]
    )

    assert calls(sandbox) == ["batchGetByDataFilter", "batchUpdate"]
    assert kinds(verdicts) == [Delivered, Delivered, Rejected, Rejected, Rejected, Delivered]
    assert "no column 'colour': its first row names email, name, phone, city" in verdicts[2].reason  # type: ignore[union-attr]
    assert rows_of(sandbox)[1:] == [
        ["a@x.com", "A1", "1", "Gent"],
        ["b@x.com", "B1", "2", "Bree"],
        ["c@x.com", "C"],
        ["f@x.com", "", "", "Fosses"],
    ]


async def test_deletions_of_one_turn(sandbox: Sandbox, sheets: GoogleSheetsConnector) -> None:
    """Rows go from below, so that each is still where it was read."""
    filled(sandbox, ["email"], *([f"{name}@x.com"] for name in "abcde"))
    verdicts = await sheets.deliver([event("delete", email=f"{name}@x.com") for name in "bzda"])

    assert kinds(verdicts) == [Delivered] * 4
    assert rows_of(sandbox) == [["email"], ["c@x.com"], ["e@x.com"]]


async def test_emptying_a_sheet(sandbox: Sandbox, sheets: GoogleSheetsConnector) -> None:
    """``rows="all"`` leaves the first row, and nothing else."""
    filled(sandbox, ["email", "name"], ["a@x.com", "A"], ["b@x.com", "B"])
    verdicts = await sheets.deliver([event("delete", rows="all")])

    assert kinds(verdicts) == [Delivered]
    assert rows_of(sandbox) == [["email", "name"]]


async def test_a_grid_that_is_full(sandbox: Sandbox, sheets: GoogleSheetsConnector) -> None:
    """It grows by the rows and the columns that are needed."""
    one = grid(sandbox)
    one.rows, one.columns = 2, 1
    names: dict[str, Any] = {f"c{number}": number for number in range(30)}
    verdicts = await sheets.deliver([event("add", email=f"{number}@x.com", **names) for number in range(5)])

    assert kinds(verdicts) == [Delivered] * 5
    assert (one.rows, one.columns, len(rows_of(sandbox))) == (6, 31, 6)


async def test_texts_stay_what_they_are(sandbox: Sandbox) -> None:
    """No formula, no date, no number is made of a text, unless the connection wants formulas."""
    sheets, formulas = made(sandbox.url), made(sandbox.url, formulas=True)
    texts: dict[str, Any] = {"a": "=1+1", "b": "2026-01-31", "c": "007", "d": "true", "e": True, "f": 12}
    await sheets.deliver([event("add", **texts)])
    await formulas.deliver([event("add", **texts)])
    await sheets.close()
    await formulas.close()

    assert rows_of(sandbox)[1:] == [list(texts.values())] * 2
    assert [grid(sandbox).cells[row, 0] for row in (1, 2)] == [{"stringValue": "=1+1"}, {"formulaValue": "=1+1"}]


@pytest.mark.parametrize(
    ("value", "entered"),
    [
        (2**53, {"numberValue": 2**53}),
        (2**53 + 1, {"stringValue": "9007199254740993"}),
        (Decimal("0.1"), {"numberValue": 0.1}),
        (Decimal("1234567890.123456789012"), {"stringValue": "1234567890.123456789012"}),
        (["a", 1], {"stringValue": '["a",1]'}),
        ("", None),
    ],
)
def test_cells(value: Any, entered: Any) -> None:
    """A number that a cell cannot hold exactly goes in as text: no digit is lost."""
    assert cell("x", value, formulas=False).get("userEnteredValue") == entered


async def test_keys_that_are_not_of_one_row(sandbox: Sandbox, sheets: GoogleSheetsConnector) -> None:
    """Two rows with a key are named, a key that is there is a conflict, and a change of nothing is refused."""
    filled(sandbox, ["email", "name", "name"], ["a@x.com"], ["b@x.com"], ["a@x.com"])
    verdicts = [
        *await sheets.deliver([event("upsert", email="a@x.com")]),
        *await sheets.deliver([event("add", email="b@x.com")]),
        *await sheets.deliver([event("update", email="z@x.com")]),
        *await sheets.deliver([event("upsert", email="b@x.com", name="x")]),
        *await sheets.deliver([event("update", "Sheet1", name="x")]),
        *await sheets.deliver([event("add", "Sheet1", name=None)]),
        *await sheets.deliver([event("add", "Laeds", name="x")]),
    ]
    reasons = [verdict.reason for verdict in verdicts if isinstance(verdict, Rejected)]

    assert len(reasons) == 7
    assert verdicts[1].conflict  # type: ignore[union-attr]
    for words, reason in zip(
        (
            "rows 2, 4",
            "row 3 has email",
            "upsert adds it",
            "2 columns named 'name'",
            "setting unique",
            "nothing",
            "Leads",
        ),
        reasons,
        strict=True,
    ):
        assert words in reason


async def test_a_batch_that_is_refused(sandbox: Sandbox, sheets: GoogleSheetsConnector) -> None:
    """Nothing of it is done, and the worker is told to look for the culprit."""
    filled(sandbox, ["email", "name"])
    verdicts = await sheets.deliver([event("add", email="a@x.com"), event("add", email="b@x.com", name="!refused!")])

    assert [isinstance(verdict, Rejected) and verdict.whole for verdict in verdicts] == [True, True]
    assert rows_of(sandbox) == [["email", "name"]]


async def test_a_first_row_that_changes(sandbox: Sandbox, sheets: GoogleSheetsConnector) -> None:
    """It is read with every turn: a column that somebody puts in moves the values with it."""
    filled(sandbox, ["email", "name"])
    await sheets.deliver([event("add", email="a@x.com", name="A")])
    filled(sandbox, ["new", "email", "name"], ["", "a@x.com", "A"])
    verdicts = await sheets.deliver([event("upsert", email="a@x.com", name="A2")])

    assert kinds(verdicts) == [Delivered]
    assert rows_of(sandbox)[1] == ["", "a@x.com", "A2"]


async def test_a_sheet_that_is_renamed(sandbox: Sandbox, sheets: GoogleSheetsConnector) -> None:
    """What was Leads is Old, and another sheet is Leads now: rows are found and written in the one of that name."""
    filled(sandbox, ["email", "name"], ["a@x.com", "A"], ["b@x.com", "B"])
    await sheets.deliver([event("upsert", email="a@x.com", name="A1")])
    read = await sheets.read("Leads", {"id": "b@x.com"})
    grid(sandbox).title = "Old"
    none = await sheets.deliver([event("upsert", email="b@x.com", name="B1")])
    grid(sandbox, "Sheet1").title = "Leads"
    filled(sandbox, ["email", "name"], ["b@x.com", "mine"], ["a@x.com", "theirs"])
    verdicts = await sheets.deliver([event("upsert", email="b@x.com", name="B2")])
    verdicts += await sheets.deliver([event("delete", email="a@x.com")])
    again = await sheets.read("Leads", {"id": "b@x.com"})

    assert isinstance(none[0], Rejected)
    assert "no sheet 'Leads'; there are Sheet1, Old" in none[0].reason
    assert kinds(verdicts) == [Delivered] * 2
    assert rows_of(sandbox, "Old") == [["email", "name"], ["a@x.com", "A1"], ["b@x.com", "B"]]
    assert rows_of(sandbox, "Leads") == [["email", "name"], ["b@x.com", "B2"]]
    assert [read.detail, again.detail] == [[{"email": "b@x.com", "name": name}] for name in ("B", "B2")]


async def test_one_cell(sandbox: Sandbox, sheets: GoogleSheetsConnector) -> None:
    """In the smallest sheet there is the first row is the key column too: Google answers once for both."""
    one = grid(sandbox)
    one.rows = one.columns = 1
    filled(sandbox, ["email"])
    verdicts = [await sheets.deliver([event("upsert", email=f"{name}@x.com")]) for name in "ab"]

    assert kinds([*verdicts[0], *verdicts[1]]) == [Delivered] * 2
    assert rows_of(sandbox) == [["email"], ["a@x.com"], ["b@x.com"]]


async def test_a_sheet_that_is_made_anew(sandbox: Sandbox, sheets: GoogleSheetsConnector) -> None:
    """One that was deleted and made again under its name has another number: it is looked for once more."""
    filled(sandbox, ["email"])
    await sheets.deliver([event("add", email="a@x.com")])
    sandbox.google_sheets.books["sandbox"].grids[1:] = [Grid("Leads", 99)]
    verdicts = await sheets.deliver([event("add", email="b@x.com")])

    assert kinds(verdicts) == [Delivered]
    assert rows_of(sandbox) == [["email"], ["b@x.com"]]


async def test_reads_keep_to_the_pace(sandbox: Sandbox, sheets: GoogleSheetsConnector) -> None:
    """Each call of a script's read waits for its turn, and one that is throttled is made again when Google has time."""
    turns: list[float] = []

    async def sleep(seconds: float) -> None:
        turns.append(seconds)

    filled(sandbox, ["email"], ["a@x.com"])
    assert sheets.sender.pace is not None
    sheets.sender.pace.sleep = sleep
    sheets.sender.pace.limits = replace(sheets.sender.pace.limits, rate=0.001, per_seconds=1.0)
    sandbox.dice["google_sheets"].forced.append(Fate("throttled"))
    page = await sheets.read("Leads", {})
    await sheets.deliver([event("add", email="b@x.com")])

    assert page.detail == [{"email": "a@x.com"}]
    assert 30 in turns
    assert len([one for one in turns if one > 100]) == 2


async def test_an_answer_that_was_lost(sandbox: Sandbox, sheets: GoogleSheetsConnector) -> None:
    """A read that fails did nothing; after a write without an answer the key tells whether the row is there."""
    filled(sandbox, ["email"])
    sandbox.dice["google_sheets"].forced.append(Fate("unavailable"))
    (read,) = await sheets.deliver([event("add", email="a@x.com")])
    sandbox.dice["google_sheets"].forced.append(Fate("dropped", performed=True, path=":batchUpdate"))
    (written,) = await sheets.deliver([event("add", email="a@x.com")])
    findings = await sheets.find([event("add", email="a@x.com"), event("add", email="b@x.com"), event("add", x=1)])

    assert kinds([read, written]) == [Retry, Unknown]
    assert kinds(findings) == [Found, Absent, CannotTell]
    assert sheets.function("Leads", Operation.ADD).findable
    assert not sheets.function("Sheet1", Operation.ADD).findable


async def test_the_limit_of_a_minute(sandbox: Sandbox) -> None:
    """Throttled, and nothing is lost."""
    sandbox.google_sheets._writes.rate = 1
    sheets = made(sandbox.url)
    verdicts = [(await sheets.deliver([event("add", name=name)]))[0] for name in "ab"]
    await sheets.close()

    assert kinds(verdicts) == [Delivered, Throttled]
    assert verdicts[1].after == 30  # type: ignore[union-attr]


async def test_reads(sandbox: Sandbox, sheets: GoogleSheetsConnector) -> None:
    """By key, by a value, and page by page over rows that are empty."""
    grid(sandbox).rows = 9
    filled(sandbox, ["email", "name"], ["a@x.com", "A"], ["b@x.com", "A"], ["", ""], ["c@x.com"])
    one = await sheets.read("Leads", {"id": "b@x.com"})
    found = await sheets.read("Leads", {"searchfield": "name", "searchterm": "A"})
    absent = await sheets.read("Leads", {"id": "z@x.com"})
    seen: list[dict[str, Any]] = []
    bookmark = None
    while True:
        page = await sheets.read("Leads", {"limit": 3}, bookmark)
        seen += page.detail
        bookmark = page.bookmark
        if bookmark is None:
            break

    assert one.detail == [{"email": "b@x.com", "name": "A"}]
    assert [record["email"] for record in found.detail] == ["a@x.com", "b@x.com"]
    assert absent.detail == []
    assert seen == [*found.detail, {"email": "c@x.com", "name": None}]


@pytest.mark.parametrize(
    ("sheet", "query", "words"),
    [
        ("Leads", {"colour": "red"}, "does not take colour"),
        ("Leads", {"limit": 0}, "limit is 0"),
        ("Leads", {"searchfield": "email"}, "needs a searchterm"),
        ("Leads", {"searchfield": "emial", "searchterm": "x"}, "did you mean 'email'"),
        ("Sheet1", {"id": "x"}, "no key column"),
        ("Laeds", {}, "there are Sheet1, Leads"),
    ],
)
async def test_reads_that_fail(
    sandbox: Sandbox, sheets: GoogleSheetsConnector, sheet: str, query: dict[str, Any], words: str
) -> None:
    """A question that cannot be asked is no empty answer."""
    filled(sandbox, ["email", "name"])
    with pytest.raises(CallFailed, match=words):
        await sheets.read(sheet, query)


async def test_what_a_refresh_reads(sandbox: Sandbox) -> None:
    """Every row that holds anything, as texts, with its number, page by page; a sheet that is not named is not read."""
    sheets = made(sandbox.url, refresh_sheets=["Leads", "Laeds"])
    grid(sandbox).rows = 5_100
    filled(sandbox, ["email", "", "amount", "amount"], ["a@x.com", "?", 1.5, True], [], ["b@x.com"])
    grid(sandbox).put(5_050, 0, {"stringValue": "last"})
    source = sheets.source("Leads")
    types = await source.properties()
    pages = [page.rows async for page in source.pages("all", [])]
    with pytest.raises(CallFailed, match="no sheet 'Laeds'"):
        await sheets.source("Laeds").properties()
    with pytest.raises(UnknownFunction, match="refresh_sheets"):
        sheets.source("Sheet1")
    await sheets.close()

    assert types == {"email": "text", "amount": "text", "amount 4": "text"}
    assert [len(rows) for rows in pages] == [2, 1]
    assert pages[0][0] == {"row_number": 2, "email": "a@x.com", "amount": "1.5", "amount 4": "true"}
    assert pages[1][0]["row_number"] == 5_051


async def test_credentials(sandbox: Sandbox) -> None:
    """A refresh token is exchanged, and again when its token has ended; a refused token holds the connection."""
    sheets = made(
        sandbox.url,
        secrets={"client_secret": "s", "refresh_token": "r"},
        client_id="c",
        token_url=sandbox.url + "/token",
    )
    first = await sheets.probe()
    sandbox.google_sheets.expire()
    second = await sheets.deliver([event("add", name="a")])
    wrong = made(sandbox.url, secrets={"access_token": "bad"})
    third = await wrong.deliver([event("add", name="a")])
    await sheets.close()
    await wrong.close()

    assert kinds([first, *second, *third]) == [Delivered, Delivered, Down]
    assert sandbox.google_sheets.issued == 2


async def test_a_service_account() -> None:
    """Its key signs the request for a token; the key of somebody else is refused."""
    ours, others = (rsa.generate_private_key(65_537, 2_048) for _ in range(2))
    public = ours.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    accounts = {"bot@acme.iam.gserviceaccount.com": public.decode()}
    answers = []
    async with Sandbox(latency=0, sheets=Sheets(Faults(), tokens=frozenset(), accounts=accounts)) as sandbox:
        for key in (ours, others):
            pem = key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
            account = {
                "client_email": "bot@acme.iam.gserviceaccount.com",
                "private_key": pem.decode(),
                "token_uri": sandbox.url + "/token",
            }
            sheets = made(sandbox.url, secrets={"service_account": json.dumps(account)})
            answers += await sheets.deliver([event("add", name="a")])
            await sheets.close()

    assert kinds(answers) == [Delivered, Down]


def test_the_address_of_a_spreadsheet() -> None:
    """What people copy from the browser is taken for its id; anything else is refused."""
    url = "https://docs.google.com/spreadsheets/d/1AbC-d_E/edit#gid=0"

    assert made("http://x.test", spreadsheet_id=url).values["spreadsheet_id"] == "1AbC-d_E"
    with pytest.raises(BadConnection, match="behind /d/"):
        made("http://x.test", spreadsheet_id="My sheet")


def test_names_in_addresses() -> None:
    """A quote in a title is doubled, and a title may have what separates it from the cells."""
    addresses = {"'It''s'!A1:B9": "It's", "Leads!A1": "Leads", "'a!b'!C1:C9": "a!b"}

    assert Sheet("It's", 0, 1, 1).at("A:A") == "'It''s'!A:A"
    assert [title_in(address) for address in addresses] == list(addresses.values())


def test_keys(sheets: GoogleSheetsConnector) -> None:
    """Events of one row are told by its key; a sheet without a key column has no order."""
    key = sheets.record_key

    assert key("Leads", Operation.ADD, {"email": "A@x.com"}) == key("Leads", Operation.DELETE, {"email": "a@x.com "})
    assert key("Sheet1", Operation.ADD, {"email": "a"}) is None
