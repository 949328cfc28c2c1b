"""Starts a refresh in another tool and waits for its end. What is loaded is configured in that tool."""

from __future__ import annotations

import base64
import subprocess
import sys
from collections.abc import Mapping
from threading import Event
from typing import Any, assert_never
from urllib.parse import quote, urljoin

from connectors.connections.refresh.call import (
    AirbyteCall,
    CommandCall,
    FivetranCall,
    HttpCall,
    MeltanoCall,
    RefreshCall,
)
from worker.refresher.external.web import Failed, ask
from worker.refresher.job import Job

__all__ = ["Failed", "make"]

Rows = dict[str, int]
CONFLICT = 409
ACCEPTED = 202
RECORDS = "records"
"""The name for the rows of a tool that gives only their total, not the number by object."""
LAST_WORDS = 2_000


def make(call: RefreshCall, job: Job, environ: Mapping[str, str]) -> Rows:
    """Returns when the refresh has succeeded. Raises ``Failed``."""
    match call:
        case AirbyteCall():
            return _airbyte(call, job, environ)
        case FivetranCall():
            return _fivetran(call, environ)
        case MeltanoCall():
            return _run(["meltano", "run", *call.job], job, environ, folder=call.project)
        case CommandCall():
            return _run(call.command, job, environ)
        case HttpCall():
            return _http(call, job, environ)
        case _:
            assert_never(call)


def _airbyte(call: AirbyteCall, job: Job, environ: Mapping[str, str]) -> Rows:
    """A job that runs already may have read the records too early, so ours is submitted when it has ended."""
    headers = _bearer(call.token, environ)
    wanted = {"connectionId": call.connection_id, "jobType": "refresh" if job.full else "sync"}
    url = f"{call.url.rstrip('/')}/jobs"
    while (answer := ask("POST", url, headers, wanted, expected=(CONFLICT,))).status == CONFLICT:
        _pause(call.poll_seconds)
    number = _said(answer.body, "jobId")
    while True:
        state = ask("GET", f"{url}/{quote(str(number), safe='')}", headers).body
        match _said(state, "status"):
            case "succeeded":
                return {RECORDS: int(state.get("rowsSynced") or 0)}
            case "failed" | "cancelled" as ended:
                raise Failed(f"Airbyte job {number} {ended}", retry=ended == "failed")
        _pause(call.poll_seconds)


def _fivetran(call: FivetranCall, environ: Mapping[str, str]) -> Rows:
    """Fivetran's syncs have no ids: the times of its last success and last failure tell how ours ended.

    A sync that runs already is waited for: meanwhile Fivetran would ignore our request.
    """
    pair = f"{_secret(call.key, environ)}:{_secret(call.secret, environ)}".encode()
    headers = {"Authorization": f"Basic {base64.b64encode(pair).decode()}", "Accept": "application/json;version=2"}
    url = f"{call.url.rstrip('/')}/v1/connections/{quote(call.connection_id, safe='')}"
    while (before := _fivetran_state(url, headers))["status"].get("sync_state") == "syncing":
        _pause(call.poll_seconds)
    ask("POST", f"{url}/sync", headers, {"force": False})
    while True:
        now = _fivetran_state(url, headers)
        if now.get("failed_at") != before.get("failed_at"):
            raise Failed(f"the Fivetran sync of {call.connection_id} failed at {now['failed_at']}", retry=True)
        if now.get("succeeded_at") != before.get("succeeded_at"):
            return {}
        if now["status"].get("sync_state") == "paused":
            raise Failed(f"the Fivetran connection {call.connection_id} is paused", retry=False)
        _pause(call.poll_seconds)


def _fivetran_state(url: str, headers: Mapping[str, str]) -> dict[str, Any]:
    state: dict[str, Any] = _said(ask("GET", url, headers).body, "data")
    return {**state, "status": state.get("status") or {}}


def _http(call: HttpCall, job: Job, environ: Mapping[str, str]) -> Rows:
    """An answer 202 with a Location means that it is under way: poll there.

    The last answer may have a ``status`` (``error``), a ``detail`` and ``rows``.
    """
    headers = _bearer(call.token, environ)
    body = job.model_dump(include={"connection", "objects", "full", "run"})
    answer, url = ask("POST", call.url, headers, body), call.url
    while answer.status == ACCEPTED:
        location = {name.lower(): value for name, value in answer.headers.items()}.get("location")
        if location is None and url == call.url:
            raise Failed(f"POST {url}: 202 without a Location, where its end could be asked", retry=False)
        url = urljoin(url, location) if location else url
        _pause(call.poll_seconds)
        answer = ask("GET", url, headers)
    said = answer.body if isinstance(answer.body, dict) else {}
    if said.get("status") in {"error", "failed"}:
        raise Failed(f"{call.url}: {said.get('detail') or 'it failed'}", retry=bool(said.get("retry", True)))
    rows = said.get("rows")
    return {str(name): int(count) for name, count in rows.items()} if isinstance(rows, dict) else {}


def _run(command: list[str], job: Job, environ: Mapping[str, str], *, folder: str | None = None) -> Rows:
    """``REFRESH_OBJECTS`` is empty for everything; ``REFRESH_FULL`` is 1 or 0."""
    own = {
        "REFRESH_CONNECTION": job.connection,
        "REFRESH_OBJECTS": ",".join(job.objects or ()),
        "REFRESH_FULL": str(int(job.full)),
        "REFRESH_RUN": job.run,
    }
    try:
        done = subprocess.run(  # noqa: S603 - the operator's own command, without a shell
            command,
            cwd=folder,
            env={**environ, **own},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            check=False,
        )
    except OSError as error:
        raise Failed(f"{command[0]} does not start: {error}", retry=False) from error
    print(done.stdout, file=sys.stderr)  # noqa: T201 - the log of the run
    if done.returncode:
        said = done.stdout.strip()[-LAST_WORDS:]
        raise Failed(f"{' '.join(command)} ended with {done.returncode}: {said}", retry=True)
    return {}


def _bearer(reference: str | None, environ: Mapping[str, str]) -> dict[str, str]:
    return {} if reference is None else {"Authorization": f"Bearer {_secret(reference, environ)}"}


def _secret(reference: str, environ: Mapping[str, str]) -> str:
    name = reference.removeprefix("env:")
    if not environ.get(name):
        raise Failed(f"the environment variable {name} is not set where the refresher runs", retry=False)
    return environ[name]


def _said(body: Any, name: str) -> Any:
    if not isinstance(body, dict) or name not in body:
        raise Failed(f"an answer without {name!r}: {str(body)[:200]}", retry=True)
    return body[name]


def _pause(seconds: float) -> None:
    Event().wait(seconds)
