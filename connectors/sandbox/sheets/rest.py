"""The API of the sandbox's spreadsheets, and the token endpoint of Google's accounts."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

from connectors.sandbox.assertions import JWT_BEARER, refused
from connectors.sandbox.call import Answer, Call, answer
from connectors.sandbox.faults import Fate, Faults
from connectors.sandbox.ledger import Entry
from connectors.sandbox.quota import Quota
from connectors.sandbox.sheets.book import Book
from connectors.sandbox.sheets.grid import Area, Grid, SheetsError, invalid, name

_PATH: Final = re.compile(
    r"/v4/spreadsheets/([^/:]+)(?::(batchUpdate)|/values:(\w+)|/values/(.+?)(?::(append|clear))?)?", re.DOTALL
)
_TOKEN: Final = "/token"  # noqa: S105 - a path
DEFAULT: Final = "sandbox"


class Sheets:
    """``tokens``: the good ones; None: any is. ``rate``: reads, and writes, a minute; 0: no limit.

    ``accounts``: the public keys of service accounts by their addresses; None: any assertion is good.
    """

    name = "google_sheets"

    def __init__(
        self,
        faults: Faults,
        *,
        tokens: frozenset[str] | None = None,
        rate: int = 0,
        accounts: Mapping[str, str] | None = None,
    ) -> None:
        self.books = {DEFAULT: Book(DEFAULT, [Grid("Sheet1", 0), Grid("Leads", 7)])}
        self.issued = 0
        self._faults = faults
        self._tokens = tokens
        self._accounts = accounts
        self._reads, self._writes = Quota(rate, 60.0), Quota(rate, 60.0)

    @staticmethod
    def claims(path: str) -> bool:
        return path.startswith("/v4/spreadsheets/") or path == _TOKEN

    def describe(self, call: Call) -> tuple[list[Entry], bool]:
        """One entry for a call, with its body. Never raises."""
        match = _PATH.fullmatch(call.path)
        operation = next((one for one in (match.groups()[1:] if match else ()) if one), call.method.lower())
        entry = Entry(call.number, self.name, operation, match[1] if match else "", received=call.now)
        with suppress(ValueError):
            entry.properties = call.json() if call.body else {name: list(given) for name, given in call.query.items()}
        return [entry], _asks(call) or call.path == _TOKEN

    def admit(self, call: Call) -> Answer | None:
        """Credentials, and the limits of a minute."""
        if call.path == _TOKEN:
            return None
        if not call.token or (self._tokens is not None and call.token not in self._tokens):
            return _failed(SheetsError(401, "UNAUTHENTICATED", "Request had invalid authentication credentials."))
        kind, quota = ("Read", self._reads) if _asks(call) else ("Write", self._writes)
        return _exceeded(kind) if quota.take(call.now) > 0 else None

    def perform(self, call: Call, entries: list[Entry]) -> Answer:
        """Carry it out, and say so in its entry."""
        if call.path == _TOKEN:
            return self._token(call)
        try:
            done = self._answer(call)
        except SheetsError as error:
            entries[0].outcome = error.status
            return _failed(error)
        except (ValueError, KeyError, TypeError) as error:
            return _failed(invalid(f"Invalid JSON payload received. {error}"))
        entries[0].performed, entries[0].outcome = True, "ok"
        return done

    def throttled(self, call: Call, fate: Fate) -> Answer:  # noqa: ARG002
        return _exceeded("Read" if _asks(call) else "Write")

    def unavailable(self, call: Call) -> Answer:  # noqa: ARG002
        return _failed(SheetsError(503, "UNAVAILABLE", "The service is currently unavailable."))

    def state(self) -> dict[str, Any]:
        return {
            book.id: {grid.title: grid.values(grid.area(""), formatted=False) for grid in book.grids}
            for book in self.books.values()
        }

    def expire(self) -> None:
        """Every token so far is no longer good."""
        self._tokens = frozenset()

    def set_faults(self, faults: Faults) -> None:
        self._faults = faults

    def _answer(self, call: Call) -> Answer:
        match = _PATH.fullmatch(call.path)
        book = self.books.get(match[1]) if match else None
        if match is None or book is None:
            raise SheetsError(404, "NOT_FOUND", "Requested entity was not found.")
        _, whole, values, where, verb = match.groups()
        if whole:
            self._refuse(call)
            return answer(200, {"spreadsheetId": book.id, "replies": book.update(call.json()["requests"])})
        if values:
            return self._many(call, book, values)
        if where:
            return self._range(call, book, where, verb)
        return answer(
            200, {"spreadsheetId": book.id, "properties": {"title": book.id}, "sheets": [g.shown() for g in book.grids]}
        )

    def _many(self, call: Call, book: Book, verb: str) -> Answer:
        if verb == "batchGet":
            ranges = [_values(call, book, where) for where in call.query.get("ranges", [])]
            return answer(200, {"spreadsheetId": book.id, "valueRanges": ranges})
        body = call.json()
        if verb == "batchGetByDataFilter":
            return answer(200, {"spreadsheetId": book.id, "valueRanges": _matched(book, body)})
        if verb == "batchClear":
            for where in body["ranges"]:
                grid, area = book.place(where)
                grid.clear(area)
            return answer(200, {"spreadsheetId": book.id, "clearedRanges": body["ranges"]})
        if verb != "batchUpdate":
            raise SheetsError(404, "NOT_FOUND", "Requested entity was not found.")
        entered = body["valueInputOption"] == "USER_ENTERED"
        done = [book.write(one["range"], one["values"], entered=entered) for one in body["data"]]
        return answer(200, {"spreadsheetId": book.id, "responses": done})

    def _range(self, call: Call, book: Book, where: str, verb: str | None) -> Answer:
        if verb == "clear":
            grid, area = book.place(where)
            grid.clear(area)
            return answer(200, {"spreadsheetId": book.id, "clearedRange": where})
        if call.method == "GET":
            return answer(200, _values(call, book, where))
        option = call.first("valueInputOption")
        if option not in {"RAW", "USER_ENTERED"}:
            raise invalid("'valueInputOption' is required but not specified")
        write = book.append if verb == "append" else book.write
        return answer(200, write(where, call.json()["values"], entered=option == "USER_ENTERED"))

    def _refuse(self, call: Call) -> None:
        """What somebody has protected: a text with the marker may not be written."""
        if self._faults.refused_marker.encode() in call.body:
            raise invalid("You are trying to edit a protected cell or object. Please contact the spreadsheet owner.")

    def _token(self, call: Call) -> Answer:
        form = call.form()
        grant = form.get("grant_type")
        if grant == JWT_BEARER:
            why = refused(form.get("assertion", ""), self._accounts, "/token", 3_600)
        else:
            why = None if grant == "refresh_token" and form.get("refresh_token") else "Bad Request"
        if why is not None:
            return answer(400, {"error": "invalid_grant", "error_description": why})
        self.issued += 1
        token = f"ya29.{self.issued}"
        if self._tokens is not None:
            self._tokens |= {token}
        return answer(200, {"access_token": token, "expires_in": 3_599, "token_type": "Bearer"})


def _asks(call: Call) -> bool:
    return call.method == "GET" or call.path.endswith(":batchGetByDataFilter")


def _matched(book: Book, asked: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The values of each GridRange, once for all filters that mean the same, in no order that anybody has promised."""
    found: dict[str, dict[str, Any]] = {}
    for one in reversed(asked["dataFilters"]):
        values = _filtered(book, one["gridRange"], asked)
        found.setdefault(values["range"], {"valueRange": values, "dataFilters": []})["dataFilters"].append(one)
    return list(found.values())


def _filtered(book: Book, where: Mapping[str, int], asked: Mapping[str, Any]) -> dict[str, Any]:
    grid = book.by_number(where.get("sheetId", 0))
    top, left = where.get("startRowIndex", 0), where.get("startColumnIndex", 0)
    bottom, right = where.get("endRowIndex", grid.rows), where.get("endColumnIndex", grid.columns)
    if top >= grid.rows or left >= grid.columns:
        raise invalid(f"Range ({grid.title}) exceeds grid limits. Max rows: {grid.rows}, max columns: {grid.columns}")
    formatted = asked.get("valueRenderOption", "FORMATTED_VALUE") == "FORMATTED_VALUE"
    found = grid.values(Area(top, left, bottom, right), formatted=formatted)
    title = grid.title if grid.title.isalnum() else "'" + grid.title.replace("'", "''") + "'"
    address = f"{title}!{name(left)}{top + 1}:{name(min(right, grid.columns) - 1)}{min(bottom, grid.rows)}"
    return {"range": address, "majorDimension": "ROWS", **({"values": found} if found else {})}


def _values(call: Call, book: Book, where: str) -> dict[str, Any]:
    grid, area = book.place(where)
    found = grid.values(area, formatted=call.first("valueRenderOption", "FORMATTED_VALUE") == "FORMATTED_VALUE")
    return {"range": where, "majorDimension": "ROWS", **({"values": found} if found else {})}


def _exceeded(kind: str) -> Answer:
    words = (
        f"Quota exceeded for quota metric '{kind} requests' and limit '{kind} requests per minute per user' of service "
        "'sheets.googleapis.com' for consumer 'project_number:1'."
    )
    reason = {
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": "RATE_LIMIT_EXCEEDED",
        "domain": "googleapis.com",
    }
    return _failed(SheetsError(429, "RESOURCE_EXHAUSTED", words), reason)


def _failed(error: SheetsError, *details: dict[str, str]) -> Answer:
    told: dict[str, Any] = {"code": error.code, "message": error.message, "status": error.status}
    return Answer(error.code, json.dumps({"error": {**told, **({"details": details} if details else {})}}).encode())
