"""``writeback sandbox``: what it prints is what a user needs to connect to it, and it ends when it is asked to."""

import asyncio
import json
import shlex
import signal
import socket
import sys
from pathlib import Path

import aiohttp
import pytest

from connectors.sandbox.connecting import VENDORS
from topics.cli.console import run
from topics.cli.context import CommandContext
from topics.settings import load_settings
from writeback import cli

SANDBOX = (sys.executable, "-m", "writeback", "sandbox")


async def test_each_line_it_prints_makes_a_connection_and_it_ends_without_a_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`connections add` tries the credentials before it says Added: address and secrets of the line are right."""
    monkeypatch.chdir(tmp_path)
    urls = {name: f"sqlite:///{tmp_path}/{name}.db" for name in ("log", "store")}
    process = await asyncio.create_subprocess_exec(
        *SANDBOX, "--json", "--port", "0", "--latency", "0", "--token", "good one", "--odoo-database", "acme",
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout
    lines = json.loads(await process.stdout.readline())["connect"]
    assert set(lines) == set(VENDORS)
    for vendor, line in lines.items():
        context = CommandContext(lambda: load_settings(**urls, secret_key="a long random text"))
        code = await asyncio.to_thread(run, cli, context, shlex.split(line)[1:])
        context.close()
        said, warned = capsys.readouterr()
        assert (code, f"Added {vendor}" in said) == (0, True), warned
    process.send_signal(signal.SIGTERM)
    _, errors = await process.communicate()
    assert (process.returncode, errors) == (0, b"")


async def test_a_failure_is_of_the_vendor_it_names(tmp_path: Path) -> None:
    """The others answer; and for people it prints the line of the one vendor that was asked for."""
    process = await asyncio.create_subprocess_exec(
        *SANDBOX, "odoo", "--port", "0", "--latency", "0", "--fail", "odoo.throttled=1", "--fail", "reads=true",
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, cwd=tmp_path,
    )  # fmt: skip
    assert process.stdout
    said = ""
    while "/_sandbox/state" not in said:
        said += (await process.stdout.readline()).decode()
    url = said.partition(" on ")[2].partition(" ")[0]
    call = {"jsonrpc": "2.0", "method": "call", "params": {"service": "common", "method": "version", "args": []}}
    async with (
        aiohttp.ClientSession(url, headers={"Authorization": "Bearer t"}) as http,
        http.post("/jsonrpc", json=call) as odoo,
        http.get("/crm/v3/objects/contacts") as hubspot,
    ):
        seen = (odoo.status, hubspot.status)
    process.send_signal(signal.SIGINT)
    await process.communicate()

    assert seen == (429, 200)
    assert f"writeback connections add odoo --set base_url={url} " in said
    assert "connections add hubspot" not in said


async def test_its_former_name(tmp_path: Path) -> None:
    """Scripts that start it as a module still get a line of JSON with the address."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "connectors.sandbox", "--latency", "0", "--fault", "throttled=1",
        stdout=asyncio.subprocess.PIPE, cwd=tmp_path,
    )  # fmt: skip
    assert process.stdout
    url = json.loads(await process.stdout.readline())["url"]
    async with (
        aiohttp.ClientSession(url, headers={"Authorization": "Bearer t"}) as http,
        http.post("/crm/v3/objects/contacts", json={"properties": {}}) as hubspot,
    ):
        seen = hubspot.status
    process.send_signal(signal.SIGTERM)

    assert seen == 429
    assert await process.wait() == 0


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("--fail", "zoho.throttled=1"), "no vendor 'zoho'; there are hubspot, slack"),
        (("--fail", "throtled=1"), "no fault 'throtled'; there are throttled"),
        (("--fail", "throttled"), "it is NAME=VALUE, like throttled=0.05"),
        (("--fail", "throttled=5"), "it is a share between 0 and 1"),
    ],
)
def test_what_cannot_fail_is_said(given: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A fault, a vendor or a share that does not exist ends with exit code 2 and a message that names what there is."""

    code = run(cli, CommandContext(load_settings), ["sandbox", *given])
    assert (code, said in " ".join(capsys.readouterr().err.split())) == (2, True)


def test_a_port_that_is_taken_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    """A port that another program has is an error that names the way out: --port 0."""

    with socket.create_server(("127.0.0.1", 0)) as taken:
        code = run(cli, CommandContext(load_settings), ["sandbox", "--port", str(taken.getsockname()[1])])
    assert (code, "--port 0 takes any free port" in capsys.readouterr().err) == (1, True)
