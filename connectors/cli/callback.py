"""Where the browser comes back to when a person has said yes or no: one page, on this machine alone."""

from __future__ import annotations

import secrets
from html import escape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from time import monotonic
from urllib.parse import parse_qs, urlsplit

import click

PATH = "/callback"


class Callback(ThreadingHTTPServer):
    """A context manager that listens on ``port`` of this machine alone. ``code`` is the vendor's, once it has come.

    A request whose state is not ours is not the answer, whoever made it: it is refused, and the waiting goes on.
    """

    allow_reuse_address = True
    timeout = 0.2

    def __init__(self, port: int, state: str, title: str) -> None:
        try:
            super().__init__(("127.0.0.1", port), _Page)
        except OSError as error:
            raise click.ClickException(
                f"port {port} of this machine is taken ({error.strerror}): --port names another, which the vendor must "
                "know as a redirect address of the app"
            ) from error
        self.state = state
        self.title = title
        self.code = ""
        self.refusal = ""

    def wait(self, seconds: float) -> str:
        """The code. Raises ``click.ClickException`` when the answer is no, or does not come in time."""
        ends = monotonic() + seconds
        while not self.code and not self.refusal:
            if monotonic() > ends:
                raise click.ClickException(f"nobody has answered in {seconds:g} s: run it again")
            self.handle_request()
        if self.refusal:
            raise click.ClickException(f"{self.title} says no: {self.refusal}")
        return self.code

    def take(self, query: dict[str, list[str]]) -> tuple[int, str]:
        """The answer in a query; the status and the words for the person."""
        given = {name: values[0] for name, values in query.items()}
        if not secrets.compare_digest(given.get("state", ""), self.state):
            return 400, "This is not the answer that is waited for. Open the address that the command printed."
        if "code" in given:
            self.code = given["code"]
            return 200, f"{self.title} has said yes. Close this window and go back to the terminal."
        self.refusal = given.get("error_description") or given.get("error") or "there is no code in the answer"
        return 200, f"{self.title} says no: {self.refusal}. Close this window and go back to the terminal."


class _Page(BaseHTTPRequestHandler):
    server: Callback
    timeout = 2  # a browser opens connections that it may need, and sends nothing on them

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        status, words = (404, "There is nothing here.")
        if parts.path == PATH:
            status, words = self.server.take(parse_qs(parts.query))
        content = f"<!doctype html><title>Writeback</title><p>{escape(words)}</p>".encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the signature is the library's
        """The address holds the code: it is not logged."""
