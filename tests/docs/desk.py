"""Acme Desk, the vendor of docs/how-to/add-a-connector.md: a small real server that keeps people in SQLite."""

from __future__ import annotations

import json
import re
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

PAGE = 2
TOKEN = "desk-token"


class Desk:
    """Its people, and the requests that came: ``(method, path)``."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, str]] = []
        self._lock = threading.Lock()
        self._database = sqlite3.connect(":memory:", check_same_thread=False)
        self._database.execute(
            "create table people (id integer primary key, email text unique, first_name text, last_name text)"
        )

    def people(self, where: str = "true", *values: Any, most: int = -1) -> list[dict[str, Any]]:
        with self._lock:
            rows = self._database.execute(f"select * from people where {where} order by id limit {most}", values)
            return [dict(zip([column[0] for column in rows.description], row, strict=True)) for row in rows]

    def answer(self, method: str, path: str, body: Any) -> tuple[int, Any]:  # noqa: PLR0911 - one for each route
        route, _, query = path.removeprefix("/v2").partition("?")
        self.requests.append((method, route))
        match method, route.split("/")[1:]:
            case "GET", ["me"]:
                return 200, {"id": 1}
            case "GET", ["people"]:
                first = int((re.search(r"page=(\d+)", query) or [0, 0])[1])
                found = self.people("id > ?", first, most=PAGE)
                return 200, {"people": found, "next_page": found[-1]["id"] if len(found) == PAGE else None}
            case "POST", ["people"]:
                return self._add(body)
            case "POST", ["people", "batch"]:
                done = [one for each in body["people"] for one in self._change(each["id"], each["changes"])]
                failed = [each["id"] for each in body["people"] if each["id"] not in {one["id"] for one in done}]
                return 207, {"done": done, "failed": [{"id": one, "code": "gone"} for one in failed]}
            case "GET", ["people", number]:
                return self._one(self.people("id = ?", number))
            case "PATCH", ["people", number]:
                return self._one(self._change(int(number), body))
            case "DELETE", ["people", number]:
                with self._lock:
                    self._database.execute("delete from people where id = ?", (number,))
                return 204, None
        return 404, {"code": "no_such_route"}

    def _one(self, found: list[dict[str, Any]]) -> tuple[int, Any]:
        return (200, found[0]) if found else (404, {"code": "gone", "message": "there is no such person"})

    def _add(self, body: dict[str, Any]) -> tuple[int, Any]:
        names, marks = ", ".join(body), ", ".join("?" * len(body))
        try:
            with self._lock:
                made = self._database.execute(f"insert into people ({names}) values ({marks})", [*body.values()])
        except sqlite3.IntegrityError:
            return 422, {"code": "email_taken", "message": "somebody has this address"}
        return 201, self.people("id = ?", made.lastrowid)[0]

    def _change(self, number: int, changes: dict[str, Any]) -> list[dict[str, Any]]:
        if changes:
            pairs = ", ".join(f"{name} = ?" for name in changes)
            with self._lock:
                self._database.execute(f"update people set {pairs} where id = ?", [*changes.values(), number])
        return self.people("id = ?", number)


@contextmanager
def serving() -> Iterator[tuple[Desk, str]]:
    """A desk and its base URL, while it listens."""
    desk = Desk()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _handle(self) -> None:
            content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if self.headers.get("Authorization") != f"Bearer {TOKEN}":
                status, said = 401, {"code": "bad_token", "message": "the token is not ours"}
            else:
                status, said = desk.answer(self.command, self.path, json.loads(content) if content else None)
            body = b"" if said is None else json.dumps(said).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_PATCH = do_DELETE = _handle  # noqa: N815 - the names are http.server's

        def log_message(self, *_: Any) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield desk, f"http://127.0.0.1:{server.server_port}/v2"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
