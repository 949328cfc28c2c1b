"""A person lets the app in: the browser is a real HTTP client, the vendor's page is the sandbox's."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.error import HTTPError
from urllib.parse import parse_qs, urlsplit
from urllib.request import urlopen

import pytest

from connectors.connections.store import Connections
from connectors.engine.auth.consent import ConsentRequest
from connectors.sandbox.faults import Faults
from connectors.sandbox.hubspot import HubSpot
from connectors.sandbox.server import Sandbox
from connectors.sandbox.xero.wires import Xero
from tests.connectors.cli.test_commands import KEY, CommandLine, desk, settings
from tests.connectors.sandbox_thread import running

__all__ = ["desk", "settings"]
CLIENTS = {"app": "s3cret"}


class Browser:
    """Opens what it is told, follows where it is sent, and keeps the pages that it was shown."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.opened: list[str] = []
        self.pages: list[str] = []
        self.before: list[str] = []
        """Addresses that are asked for first, behind the callback's own."""
        self._threads: list[threading.Thread] = []
        monkeypatch.setattr("webbrowser.open", self.open)

    def open(self, url: str) -> bool:
        self.opened.append(url)
        thread = threading.Thread(target=self._browse, args=(url,))
        self._threads.append(thread)
        thread.start()
        return True

    def _browse(self, url: str) -> None:
        back = parse_qs(urlsplit(url).query)["redirect_uri"][0]
        for address in (*(back + more for more in self.before), url):
            try:
                with urlopen(address, timeout=10) as page:
                    self.pages.append(page.read().decode())
            except HTTPError as error:
                self.pages.append(f"{error.code} {error.read().decode()}")

    def close(self) -> None:
        for thread in self._threads:
            thread.join(10)


@pytest.fixture
def browser(monkeypatch: pytest.MonkeyPatch) -> Iterator[Browser]:
    browser = Browser(monkeypatch)
    yield browser
    browser.close()


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with running(Sandbox(latency=0, xero=Xero(Faults(), clients=CLIENTS))) as sandbox:
        yield sandbox


def options(sandbox: Sandbox) -> list[str]:
    said = {
        "base_url": sandbox.url,
        "token_url": f"{sandbox.url}/connect/token",
        "authorize_url": f"{sandbox.url}/identity/connect/authorize",
        "allow_private_addresses": "true",
        "client_id": "app",
    }
    return [part for name, value in said.items() for part in ("--set", f"{name}={value}")]


@contextmanager
def free_port() -> Iterator[int]:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
    yield port


def secrets(desk: CommandLine) -> dict[str, str]:
    context = desk.context()
    store = Connections(context.store(), KEY)
    found = store.secrets(store.get("xero"))
    context.close()
    return found


def test_add_and_authorize(desk: CommandLine, sandbox: Sandbox, browser: Browser) -> None:
    """One command: the page, the yes, tokens for the code, a test with them; the newest refresh token is kept."""
    with free_port() as port:
        given = [*options(sandbox), "--secret", "client_secret=s3cret", "--authorize", "--port", str(port)]
        code = desk("add", "xero", *given)

    assert code == 0, desk.warned
    assert desk.said == "Added xero: Xero, topic writeback.events.xero\n"
    assert "Close this window" in browser.pages[0]
    asked = {name: values[0] for name, values in parse_qs(urlsplit(browser.opened[0]).query).items()}
    assert asked["redirect_uri"] == f"http://localhost:{port}/callback"
    assert "offline_access" in asked["scope"]
    # the test has used the one that the code brought: Xero replaced it
    assert list(sandbox.xero.identity.refresh_tokens) == [secrets(desk)["refresh_token"]]


def test_an_app_of_hubspot(desk: CommandLine, browser: Browser) -> None:
    """HubSpot's page for an app, with its scopes; the refresh token that it gives goes on being good."""
    vendor = HubSpot(Faults(), clients=CLIENTS)
    with running(Sandbox(latency=0, hubspot=vendor)) as sandbox, free_port() as port:
        said = {"base_url": sandbox.url, "authorize_url": f"{sandbox.url}/oauth/authorize", "client_id": "app"}
        given = [part for name, value in said.items() for part in ("--set", f"{name}={value}")]
        given += ["--set", "allow_private_addresses=true", "--secret", "client_secret=s3cret", "--authorize"]
        code = desk("add", "hubspot", *given, "--port", str(port))

    assert code == 0, desk.warned
    assert "crm.objects.contacts.write" in parse_qs(urlsplit(browser.opened[0]).query)["scope"][0]
    context = desk.context()
    store = Connections(context.store(), KEY)
    kept = store.secrets(store.get("hubspot"))["refresh_token"]
    context.close()
    assert list(vendor.identity.refresh_tokens) == [kept]


def test_a_secret_that_is_a_reference_is_followed(
    desk: CommandLine, sandbox: Sandbox, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The vendor is told the secret, not where it is; the store keeps where it is."""
    monkeypatch.setenv("XERO_SECRET", "s3cret")
    with free_port() as port:
        given = [*options(sandbox), "--secret", "client_secret=env:XERO_SECRET", "--authorize", "--port", str(port)]
        assert desk("add", "xero", *given) == 0, desk.warned

    assert secrets(desk)["client_secret"] == "s3cret"


def test_a_vendor_names_no_file_and_no_command(
    desk: CommandLine, sandbox: Sandbox, browser: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A refresh token that reads like a reference would be followed by every worker: it is refused."""
    monkeypatch.setattr(ConsentRequest, "secrets", _hostile)
    with free_port() as port:
        given = [*options(sandbox), "--secret", "client_secret=s3cret", "--authorize", "--port", str(port)]
        code = desk("add", "xero", *given)

    assert code == 1
    assert "reads like a reference" in desk.warned
    assert desk("show", "xero") == 1


async def _hostile(*_given: object) -> dict[str, str]:
    return {"refresh_token": "exec:touch /tmp/owned"}


def test_authorize_mends_a_connection(desk: CommandLine, sandbox: Sandbox, browser: Browser) -> None:
    """A refresh token that was revoked: `test` names the command, and after it `test` is good."""
    dead = ["--secret", "client_secret=s3cret", "--secret", "refresh_token=revoked", "--no-test"]
    assert desk("add", "xero", *options(sandbox), *dead) == 0, desk.warned
    assert desk("test", "xero") == 1
    assert "`writeback connections authorize xero` gets a new one" in desk.said

    with free_port() as port:
        assert desk("authorize", "xero", "--port", str(port)) == 0, desk.warned

    assert desk.said == "Authorized xero: Xero has given a refresh token\n"
    assert desk("test", "xero") == 0, desk.said


def test_a_secret_that_leads_nowhere_is_not_opened(desk: CommandLine, sandbox: Sandbox, browser: Browser) -> None:
    """What is not needed to ask a person is left alone: a file that is gone stops nobody, the old token's least."""
    dead = ["--secret", "client_secret=s3cret", "--secret", "refresh_token=file:/gone", "--no-test"]
    assert desk("add", "xero", *options(sandbox), *dead, "--secret", "access_token=env:NOT_HERE") == 0, desk.warned
    with free_port() as port:
        assert desk("authorize", "xero", "--port", str(port)) == 0, desk.warned
    assert desk("set", "xero", "--secret", "client_secret=env:NOT_HERE") == 0, desk.warned
    assert desk("authorize", "xero") == 1

    assert "NOT_HERE is not set" in desk.warned


def test_a_forged_answer_is_not_the_answer(desk: CommandLine, sandbox: Sandbox, browser: Browser) -> None:
    """Another's code, without our state: it is refused, and the real answer still counts."""
    browser.before = ["?code=forged", "?code=forged&state=guessed", "/../favicon.ico"]
    with free_port() as port:
        given = [*options(sandbox), "--secret", "client_secret=s3cret", "--authorize", "--port", str(port)]
        assert desk("add", "xero", *given) == 0, desk.warned

    assert [page[:3] for page in browser.pages] == ["400", "400", "404", "<!d"]


@pytest.mark.parametrize("said", ["access_denied", "consent_required"])
def test_no_is_no(desk: CommandLine, sandbox: Sandbox, browser: Browser, said: str) -> None:
    """Nothing is added, and the vendor's word is told."""
    sandbox.xero.identity.no = said
    try:
        with free_port() as port:
            given = [*options(sandbox), "--secret", "client_secret=s3cret", "--authorize", "--port", str(port)]
            assert desk("add", "xero", *given) == 1
    finally:
        sandbox.xero.identity.no = ""

    assert f"Xero says no: {said}" in desk.warned
    assert desk.json("list") == []


def test_the_code_is_refused(desk: CommandLine, sandbox: Sandbox, browser: Browser) -> None:
    """A wrong client secret comes out when the code is exchanged; the secret is not shown."""
    with free_port() as port:
        given = [*options(sandbox), "--secret", "client_secret=hunter22", "--authorize", "--port", str(port)]
        assert desk("add", "xero", *given) == 1

    assert "the client is refused" in desk.warned
    assert "hunter22" not in desk.warned + desk.said


def test_nobody_answers(desk: CommandLine, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """The address is printed, no browser is opened, and after the time limit nothing has changed."""
    opened: list[Any] = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    dead = ["--secret", "client_secret=s3cret", "--secret", "refresh_token=r", "--no-test"]
    desk("add", "xero", *options(sandbox), *dead)
    with free_port() as port:
        code = desk("authorize", "xero", "--no-browser", "--port", str(port), "--wait", "1")

    assert (code, opened) == (1, [])
    assert f"{sandbox.url}/identity/connect/authorize?response_type=code" in desk.warned
    assert "nobody has answered in 1 s" in desk.warned
    assert secrets(desk)["refresh_token"] == "r"


def test_a_taken_port_is_named(desk: CommandLine, sandbox: Sandbox) -> None:
    """Before anybody is asked."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        given = [*options(sandbox), "--secret", "client_secret=s", "--authorize", "--port", str(port)]
        assert desk("add", "xero", *given) == 1

    assert f"port {port} of this machine is taken" in desk.warned


def test_a_vendor_without_a_page(desk: CommandLine) -> None:
    """Said with the command that helps."""
    desk("add", "slack", "--no-test", "--secret", "access_token=x")

    assert desk("authorize", "slack") == 2
    assert "writeback connections set slack --secret" in desk.warned


def test_what_is_not_let_in_is_not_added(desk: CommandLine, sandbox: Sandbox) -> None:
    """Bad credentials are told at once and leave nothing behind: no connection, no topic; --no-test adds it."""
    given = [*options(sandbox), "--secret", "client_secret=wrong"]

    assert desk("add", "xero", *given) == 1
    assert "xero is not added: the client is refused" in desk.warned
    assert "--no-test" in desk.warned
    assert desk.json("list") == []
    assert desk("add", "xero", *given, "--no-test") == 0


def test_a_reference_that_leads_nowhere_here(desk: CommandLine, sandbox: Sandbox) -> None:
    """It may lead somewhere where the workers run: it is added, and that it was not tried is said."""
    assert desk("add", "xero", *options(sandbox), "--secret", "client_secret=env:NOT_HERE") == 0
    assert "Not tried" in desk.warned
    assert "NOT_HERE is not set" in desk.warned
