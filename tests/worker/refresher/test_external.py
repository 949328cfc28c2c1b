"""Refreshes that another tool makes, each against a small stand-in of its documented API."""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from connectors.connections.store import Connection
from worker.refresher.child import ChildRun, command_for
from worker.refresher.job import Job, Result

JOB = Job(connection="odoo", objects=["contact", "deal"], run="r1")
Reply = tuple[int, Any, dict[str, str]]


class Standin(HTTPServer):
    """Answers by a function of method, path and body; keeps what it was asked."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[tuple[str, str, Any, dict[str, str]]] = []
        self.answer: Callable[[str, str, Any], Reply] = lambda *_: (404, None, {})

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def calls(self) -> list[str]:
        return [f"{method} {path}" for method, path, _, _ in self.asked]


class Handler(BaseHTTPRequestHandler):
    server: Standin

    def do_GET(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length) or b"null")
        self.server.asked.append((self.command, self.path, body, dict(self.headers)))
        status, said, headers = self.server.answer(self.command, self.path, body)
        data = json.dumps(said).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(data)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    do_POST = do_GET  # noqa: N815 - the name is the library's

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def standin() -> Iterator[Standin]:
    server = Standin()
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


async def refreshed(call: dict[str, Any], job: Job = JOB, **environment: str) -> Result:
    policy = {"refresh": {"call": {"poll_seconds": 0.05, **call}}}
    connection = Connection(1, "odoo", "Odoo", "http", "1.0", {}, {}, policy, 1, "active", "", 1)
    run = ChildRun(command_for(connection), {**os.environ, **environment})
    return await run.run(job, lambda _: None)


def airbyte(standin: Standin, *states: str, busy: int = 0) -> dict[str, Any]:
    """``POST /jobs`` and ``GET /jobs/{jobId}``; the first ``busy`` submissions find a job that runs already."""
    left, refused = list(states), [409] * busy

    def answer(method: str, path: str, body: Any) -> Reply:
        if method == "POST":
            return (refused.pop(), {"detail": "a sync is running"}, {}) if refused else (200, {"jobId": 17}, {})
        state = left.pop(0) if len(left) > 1 else left[0]
        return 200, {"jobId": 17, "status": state, "rowsSynced": 321}, {}

    standin.answer = answer
    return {"tool": "airbyte", "url": standin.url, "connection_id": "c-1", "token": "env:AIRBYTE"}


async def test_airbyte(standin: Standin) -> None:
    """A job of the connection is submitted, and asked about until it has succeeded; its rows are ours."""
    result = await refreshed(airbyte(standin, "pending", "running", "succeeded"), AIRBYTE="t0ken")
    assert (result.status, result.rows) == ("ok", {"records": 321})
    assert standin.calls() == ["POST /jobs", "GET /jobs/17", "GET /jobs/17", "GET /jobs/17"]
    _, _, body, headers = standin.asked[0]
    assert body == {"connectionId": "c-1", "jobType": "sync"}
    assert headers["Authorization"] == "Bearer t0ken"


async def test_airbyte_is_busy(standin: Standin) -> None:
    """A job that runs already may have read before we were asked: it is waited for, and then ours is submitted."""
    result = await refreshed(airbyte(standin, "succeeded", busy=2), AIRBYTE="t")
    assert result.status == "ok"
    assert standin.calls() == ["POST /jobs"] * 3 + ["GET /jobs/17"]


async def test_airbyte_full(standin: Standin) -> None:
    """A full refresh is Airbyte's refresh."""
    await refreshed(airbyte(standin, "succeeded"), JOB.model_copy(update={"full": True}), AIRBYTE="t")
    assert standin.asked[0][2]["jobType"] == "refresh"


@pytest.mark.parametrize(("state", "retry"), [("failed", True), ("cancelled", False)])
async def test_airbyte_fails(standin: Standin, state: str, retry: bool) -> None:
    """The job's end is the refresh's end; one that somebody cancelled is not tried again."""
    result = await refreshed(airbyte(standin, state), AIRBYTE="t")
    assert (result.status, result.retry, result.detail) == ("error", retry, f"Airbyte job 17 {state}")


async def test_a_secret_that_is_not_there(standin: Standin) -> None:
    """Named, and nothing is called."""
    result = await refreshed(airbyte(standin, "succeeded"))
    assert (result.status, result.retry) == ("error", False)
    assert "AIRBYTE is not set" in result.detail
    assert standin.calls() == []


@pytest.mark.parametrize(("status", "retry"), [(401, False), (404, False), (429, True), (503, True)])
async def test_refused(standin: Standin, status: int, retry: bool) -> None:
    """Refusals that a retry may help are retried, others are not; the tool's words are the reason."""
    call = airbyte(standin, "succeeded")
    standin.answer = lambda *_: (status, {"message": "not you"}, {})
    result = await refreshed(call, AIRBYTE="t")
    assert (result.status, result.retry) == ("error", retry)
    assert f"HTTP {status}" in result.detail
    assert "not you" in result.detail


async def test_nobody_there() -> None:
    """A tool that is down is tried again."""
    call = {"tool": "http", "url": "http://127.0.0.1:9/refresh"}
    result = await refreshed(call)
    assert (result.status, result.retry) == ("error", True)


def fivetran(standin: Standin, *states: dict[str, Any]) -> dict[str, Any]:
    """``GET`` of the connection says these in turn; ``POST .../sync`` is taken."""
    left = list(states)

    def answer(method: str, path: str, body: Any) -> Reply:
        if method == "POST":
            return 200, {"code": "Success"}, {}
        state = left.pop(0) if len(left) > 1 else left[0]
        data = {"succeeded_at": "1", "failed_at": None, **state}
        return 200, {"code": "Success", "data": data}, {}

    standin.answer = answer
    return {
        "tool": "fivetran", "url": standin.url, "connection_id": "my conn", "key": "env:KEY", "secret": "env:SECRET"
    }  # fmt: skip


IDLE = {"status": {"sync_state": "scheduled"}}
BUSY = {"status": {"sync_state": "syncing"}}


async def test_fivetran(standin: Standin) -> None:
    """A sync that runs already is waited for; ours has gone well when the time of the last success has moved."""
    call = fivetran(standin, BUSY, IDLE, BUSY, BUSY, {**IDLE, "succeeded_at": "2"})
    result = await refreshed(call, KEY="k", SECRET="s")
    assert result.status == "ok"
    path = "/v1/connections/my%20conn"
    assert standin.calls() == [*[f"GET {path}"] * 2, f"POST {path}/sync", *[f"GET {path}"] * 3]
    headers = standin.asked[2][3]
    assert (headers["Authorization"], standin.asked[2][2]) == ("Basic azpz", {"force": False})


async def test_fivetran_fails(standin: Standin) -> None:
    """A newer time of failure is ours."""
    result = await refreshed(fivetran(standin, IDLE, BUSY, {**IDLE, "failed_at": "3"}), KEY="k", SECRET="s")
    assert (result.status, result.retry) == ("error", True)
    assert "failed at 3" in result.detail


async def test_http(standin: Standin) -> None:
    """The job is posted; 202 with a Location is asked about there until it has ended, with its rows."""
    answers: list[Reply] = [
        (202, None, {"Location": "/runs/5"}),
        (202, None, {}),
        (200, {"status": "ok", "rows": {"contact": 12}}, {}),
    ]
    standin.answer = lambda *_: answers.pop(0)
    result = await refreshed({"tool": "http", "url": f"{standin.url}/refresh", "token": "env:TOKEN"}, TOKEN="t")
    assert (result.status, result.rows) == ("ok", {"contact": 12})
    assert standin.calls() == ["POST /refresh", "GET /runs/5", "GET /runs/5"]
    assert standin.asked[0][2] == {"connection": "odoo", "objects": ["contact", "deal"], "full": False, "run": "r1"}


async def test_http_says_that_it_failed(standin: Standin) -> None:
    """What it says is what those who wait are told."""
    standin.answer = lambda *_: (200, {"status": "error", "detail": "disk full", "retry": False}, {})
    result = await refreshed({"tool": "http", "url": standin.url})
    assert (result.status, result.retry) == ("error", False)
    assert "disk full" in result.detail


async def test_command(tmp_path: Path) -> None:
    """Finds the job in its environment; what it prints is no word of ours."""
    program = f"import os; print('{{}}'); open({str(tmp_path / 'out')!r}, 'w').write(os.environ['REFRESH_OBJECTS'])"
    result = await refreshed({"tool": "command", "command": [sys.executable, "-c", program]})
    assert result.status == "ok"
    assert (tmp_path / "out").read_text() == "contact,deal"


async def test_a_command_that_fails() -> None:
    """Its last words are the reason, and it is tried again; one that is not there is not."""
    failing = [sys.executable, "-c", "print('no space left'); raise SystemExit(4)"]
    failed = await refreshed({"tool": "command", "command": failing})
    missing = await refreshed({"tool": "command", "command": "no-such-program --now"})
    assert (failed.status, failed.retry, "ended with 4: no space left" in failed.detail) == ("error", True, True)
    assert (missing.status, missing.retry) == ("error", False)
    assert missing.detail.startswith("no-such-program does not start")


async def test_meltano(tmp_path: Path) -> None:
    """``meltano run`` in the project's folder."""
    program = tmp_path / "bin" / "meltano"
    program.parent.mkdir()
    program.write_text('#!/bin/sh\necho "$@ in $(pwd)" > ran\n')
    program.chmod(0o755)
    project = tmp_path / "project"
    project.mkdir()
    call = {"tool": "meltano", "project": str(project), "job": "tap-odoo target-postgres"}
    result = await refreshed(call, PATH=f"{program.parent}:{os.environ['PATH']}")
    assert result.status == "ok"
    assert (project / "ran").read_text() == f"run tap-odoo target-postgres in {project}\n"
