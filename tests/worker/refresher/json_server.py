"""An API of lists, as many have one: GET /<name>?offset=&limit=&since= answers {"items": [...]}."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit


class Api:
    """``lists``: the records, by name; ``asked``: the queries that came.

    ``refuse(query)`` gives the status that this one is refused with, or 200. A 429 asks to wait for a second.
    """

    def __init__(self) -> None:
        self.lists: dict[str, list[dict[str, Any]]] = {}
        self.asked: list[dict[str, str]] = []
        self.url = ""
        self.refuse: Callable[[dict[str, str]], int] = lambda _query: 200

    def answer(self, target: str) -> tuple[int, Any]:
        parts = urlsplit(target)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        self.asked.append(query)
        if (refused := self.refuse(query)) != 200:
            return refused, {"message": "not now"}
        records = self.lists.get(parts.path.strip("/"))
        if records is None:
            return 404, {"message": "nothing here"}
        since = query.get("since")
        chosen = [one for one in records if since is None or one["changed"] >= since]
        start = int(query.get("offset", 0))
        return 200, {"items": chosen[start : start + int(query.get("limit", 100))]}


@contextmanager
def serving() -> Iterator[Api]:
    api = Api()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = api.answer(self.path)
            content = json.dumps(body).encode()
            self.send_response(status)
            if status == 429:
                self.send_header("Retry-After", "1")
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: Any) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    api.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield api
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
