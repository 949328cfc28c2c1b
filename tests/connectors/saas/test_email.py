"""Email, against a real SMTP server."""

from __future__ import annotations

import asyncio
import base64
import email
import io
import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email import policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any, ClassVar, cast

import openpyxl
import pytest
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from connectors.connections.table import Connection
from connectors.contract import Connector, Delivered, Down, Rejected, Retry, Unknown, Verdict
from connectors.errors import BadConnection, CallFailed
from connectors.registry import build, check
from tests.conformance.native import NativeContract
from topics.event.event import Event, Operation

PASSWORD = "the-very-secret-password"
MAIL = {"to": "ann@example.com", "subject": "Stock", "text": "42 left"}


class Inbox:
    """A mail server's handler. ``recipients``: what is answered to each; ``data``: to the message, in turn."""

    def __init__(self) -> None:
        self.recipients: dict[str, str] = {}
        self.data: list[str] = []
        self.sender = "250 OK"
        self.received: list[Envelope] = []
        self.logins: list[str] = []
        self.behaviour = ""
        self.connections = 0
        self.port = 0
        self.servers: list[SMTP] = []

    def close_all(self) -> None:
        for server in self.servers:
            cast("asyncio.Transport", server.transport).abort()

    async def handle_MAIL(  # noqa: N802 - the name and the signature are aiosmtpd's
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return self.sender

    async def handle_RCPT(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        answer = self.recipients.get(address, "250 OK")
        if answer.startswith("250"):
            envelope.rcpt_tos.append(address)
        return answer

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        self.received.append(envelope)
        if self.behaviour == "hang":
            await asyncio.sleep(30)
        if self.behaviour == "break":
            cast("asyncio.Transport", server.transport).abort()
        return self.data.pop(0) if self.data else "250 queued"

    async def handle_EHLO(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope, hostname: str, responses: list[str]
    ) -> list[str]:
        self.connections += 1
        self.servers.append(server)
        session.host_name = hostname
        return responses

    def authenticate(self, server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: Any) -> AuthResult:
        assert isinstance(data, LoginPassword)
        self.logins.append(data.login.decode())
        return AuthResult(success=data.password.decode() == PASSWORD, handled=False)

    def message(self) -> EmailMessage:
        """The one that came."""
        (envelope,) = self.received
        assert isinstance(envelope.content, bytes)
        made = email.message_from_bytes(envelope.content, policy=policy.default)
        assert isinstance(made, EmailMessage)
        return made


def connection(**settings: Any) -> Connection:
    given = {"host": "127.0.0.1", "sender": "Reports <reports@acme.example>", "security": "none", **settings}
    given = {"allow_private_addresses": True, "timeout_seconds": 20, **given}
    return Connection(1, "mail", "Mail", "email", "1.0", given, {}, {}, 1, "active", "", 1)


def made(secrets: dict[str, str] | None = None, **settings: Any) -> Connector:
    return build(connection(**settings), secrets or {})


def event(**fields: Any) -> Event:
    return Event.model_validate({"operation": "message", "connection": "mail", "object": "message", "fields": fields})


async def verdict(connector: Connector, **fields: Any) -> Verdict:
    (one,) = await connector.deliver([event(**{**MAIL, **fields})])
    return one


@asynccontextmanager
async def served(inbox: Inbox, *, tls: ssl.SSLContext | None = None, **options: Any) -> AsyncIterator[Inbox]:
    """The server; ``tls``: from the first byte. Its port is ``inbox.port``."""
    server = await asyncio.get_running_loop().create_server(
        lambda: SMTP(inbox, enable_SMTPUTF8=True, hostname="mail.example", **options), "127.0.0.1", 0, ssl=tls
    )
    inbox.port = server.sockets[0].getsockname()[1]
    async with server:
        yield inbox


@pytest.fixture
async def inbox() -> AsyncIterator[Inbox]:
    async with served(Inbox()) as running:
        yield running


@pytest.fixture
async def connector(inbox: Inbox) -> AsyncIterator[Connector]:
    connector = made(port=inbox.port)
    yield connector
    await connector.close()


class TestContract(NativeContract):
    name = "email"
    object = "message"
    good: ClassVar = {"message": MAIL, "add": MAIL}

    @pytest.fixture
    async def connector(self, inbox: Inbox) -> AsyncIterator[Connector]:
        connector = made(port=inbox.port)
        yield connector
        await connector.close()

    def at(self, port: int) -> Connector:
        return made(port=port)

    def guarded(self) -> Connector:
        return made(port=25, allow_private_addresses=False)


async def test_a_message_with_everything(inbox: Inbox, connector: Connector) -> None:
    """Both bodies, copies, hidden copies that no reader sees, a stable Message-ID and the event's date."""
    sent = event(
        **MAIL,
        cc=["Bob <bob@example.com>", "José <jose@example.com>"],
        bcc="boss@example.com",
        html="<b>42</b> left",
        reply_to="help@acme.example",
        headers={"X-Report": "7"},
    )
    (delivered,) = await connector.deliver([sent])

    message = inbox.message()
    (envelope,) = inbox.received
    body, html = message.get_body(("plain",)), message.get_body(("html",))
    assert isinstance(delivered, Delivered)
    assert delivered.id == message["Message-ID"] == f"<{sent.id}@acme.example>"
    assert envelope.mail_from == "reports@acme.example"
    assert envelope.rcpt_tos == ["ann@example.com", "bob@example.com", "jose@example.com", "boss@example.com"]
    assert (message["From"], message["To"]) == ("Reports <reports@acme.example>", "ann@example.com")
    assert (message["Cc"], message["Bcc"]) == ("Bob <bob@example.com>, José <jose@example.com>", None)
    assert (message["Subject"], message["Reply-To"], message["X-Report"]) == ("Stock", "help@acme.example", "7")
    assert message["Date"].datetime == sent.time.replace(microsecond=0)
    assert body is not None
    assert html is not None
    assert (body.get_content(), html.get_content()) == ("42 left\r\n", "<b>42</b> left\r\n")


async def test_attachments(inbox: Inbox, tmp_path: Path) -> None:
    """Text, bytes, a file of the folder that is set aside, rows as CSV and as a workbook."""
    (tmp_path / "2026").mkdir()
    (tmp_path / "2026/a.pdf").write_bytes(b"%PDF-1.7 x")
    rows = [{"name": "Zoë, Ltd", "n": 1.5}, {"name": "=1+1", "more": None}]
    connector = made(port=inbox.port, attachments=str(tmp_path))
    delivered = await verdict(
        connector,
        attachments=[
            {"filename": "a.txt", "content": "Zoë"},
            {"filename": "b.bin", "content_base64": base64.b64encode(b"\0\xff").decode()},
            {"path": "2026/a.pdf"},
            {"filename": "r.csv", "rows": rows},
            {"filename": "r.xlsx", "rows": rows, "columns": ["n", "name"]},
        ],
    )
    await connector.close()

    parts = {part.get_filename(): part for part in inbox.message().iter_attachments()}
    contents = {name: cast("bytes", part.get_payload(decode=True)) for name, part in parts.items()}
    book = openpyxl.load_workbook(io.BytesIO(contents["r.xlsx"]))
    assert isinstance(delivered, Delivered)
    assert (contents["a.txt"], contents["b.bin"]) == ("Zoë".encode(), b"\0\xff")
    assert (contents["a.pdf"], parts["a.pdf"].get_content_type()) == (b"%PDF-1.7 x", "application/pdf")
    assert contents["r.csv"] == '\ufeffname,n,more\r\n"Zoë, Ltd",1.5,\r\n=1+1,,\r\n'.encode()
    assert [[cell.value for cell in row] for row in book.active.rows] == [
        ["n", "name"], [1.5, "Zoë, Ltd"], [None, "=1+1"],
    ]  # fmt: skip
    assert book.active["B3"].data_type == "s"


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"subject": "x\r\nBcc: evil@example.com"}, "subject has a line break, which would begin another header"),
        ({"to": "ann@example.com\nBcc: evil@example.com"}, "to has a line break"),
        ({"headers": {"X-A": "x\nBcc: evil@example.com"}}, "the header X-A has a line break"),
        ({"headers": {"X-A: x\r\nBcc": "evil@example.com"}}, "cannot be set by an event"),
        ({"headers": {"Bcc": "evil@example.com"}}, "the header 'Bcc' cannot be set"),
        ({"reply_to": "a@example.com\r\nX: y"}, "reply_to has a line break"),
        ({"to": None}, "it goes to nobody: give to, cc or bcc"),
        ({"to": "ann"}, "to is 'ann', which is no address like ann@example.com"),
        ({"to": "ann@example.com>, <x"}, "which is no address"),
        ({"to": 7}, "to is 7, not a text"),
        ({"from": "a@example.com, b@example.com"}, "it is one address"),
        ({"text": None}, "it is empty: give text, html or attachments"),
        ({"body": "x"}, "it has body; it may have attachments, bcc"),
        ({"only": "eve@example.com"}, "it is some of those in to, cc and bcc"),
        ({"attachments": [{"path": "a"}]}, "attachment 1: files of the worker are attached only from the folder"),
        ({"attachments": [{"filename": "../a", "content": "x"}]}, "attachment 1: filename is '../a'"),
        ({"attachments": [{"filename": "a", "content_base64": "*"}]}, "attachment 1: content_base64 is not base64"),
        ({"attachments": [{"filename": "a.pdf", "rows": []}]}, "rows become a .csv or a .xlsx"),
        ({"attachments": [{"filename": "a", "content": "x", "rows": []}]}, "it has one of content, content_base64"),
        ({"attachments": [{"filename": "a", "content": "x", "content_type": "a/b\r\nX: y"}]}, "content_type is"),
        ({"attachments": [{"filename": "a", "content": "x" * 27_000_000}]}, "larger than 25 MiB"),
    ],
)
async def test_what_is_no_message(fields: dict[str, Any], told: str, inbox: Inbox, connector: Connector) -> None:
    """It is refused by the field's name before anything is sent; a header is nobody's to begin."""
    refused = await verdict(connector, **fields)

    assert isinstance(refused, Rejected)
    assert told in refused.reason
    assert not inbox.received


@pytest.mark.parametrize("path", ["../secret", "/etc/passwd", "link", "missing", ".", "a\0b"])
async def test_no_file_outside_the_folder(path: str, inbox: Inbox, tmp_path: Path) -> None:
    """Who emits events must not read the worker's disk: neither by dots nor by links."""
    (tmp_path / "secret").write_text("x")
    folder = tmp_path / "reports"
    folder.mkdir()
    (folder / "link").symlink_to(tmp_path / "secret")
    connector = made(port=inbox.port, attachments=str(folder))
    refused = await verdict(connector, attachments=[{"path": path}])

    assert isinstance(refused, Rejected)
    assert not inbox.received


async def test_recipients_that_are_put_off(inbox: Inbox, connector: Connector) -> None:
    """Those that were taken are not sent it again; in the end all have it once."""
    inbox.recipients = {"bob@example.com": "451 4.7.1 greylisted", "eve@example.com": "452 4.5.3 too many recipients"}
    sent = event(**{**MAIL, "to": ["ann@example.com", "bob@example.com", "eve@example.com"]})
    (first,) = await connector.deliver([sent])
    inbox.recipients = {"eve@example.com": "452 4.5.3 too many recipients"}
    (second,) = await connector.deliver([sent])
    inbox.recipients = {}
    (third,) = await connector.deliver([sent])

    assert isinstance(first, Retry)
    assert first.after == 60
    assert "put off by the server: bob@example.com (451 4.7.1 greylisted)" in first.reason
    assert first.reason.endswith("; ann@example.com has it")
    assert isinstance(second, Retry)
    assert isinstance(third, Delivered)
    assert [envelope.rcpt_tos for envelope in inbox.received] == [
        ["ann@example.com"], ["bob@example.com"], ["eve@example.com"],
    ]  # fmt: skip
    assert third.detail["recipients"] == ["ann@example.com", "bob@example.com", "eve@example.com"]


async def test_recipients_that_are_refused(inbox: Inbox, connector: Connector) -> None:
    """A dead letter that says who has it; edited to ``only``, it goes to the others and to nobody twice."""
    inbox.recipients = {"bob@example.com": "550 5.1.1 no such user"}
    everybody = {**MAIL, "to": ["ann@example.com", "bob@example.com"]}
    refused = await verdict(connector, **everybody)
    inbox.recipients = {}
    again = await verdict(connector, **everybody, only="bob@example.com")

    assert isinstance(refused, Rejected)
    assert refused.reason == (
        "refused by the server: bob@example.com (550 5.1.1 no such user); ann@example.com has it; "
        "to send it to some of them, set `only` to their addresses"
    )
    assert "550 5.1.1" in refused.evidence.excerpt
    assert isinstance(again, Delivered)
    assert [envelope.rcpt_tos for envelope in inbox.received] == [["ann@example.com"], ["bob@example.com"]]


@pytest.mark.parametrize(
    ("set_up", "kind"),
    [
        ({"recipients": {"ann@example.com": "550 no"}}, Rejected),
        ({"recipients": {"ann@example.com": "450 later"}}, Retry),
        ({"recipients": {"ann@example.com": "421 closing"}}, Retry),
        ({"data": ["554 5.7.1 spam"]}, Rejected),
        ({"data": ["552 too large"]}, Rejected),
        ({"data": ["451 later"]}, Retry),
        ({"data": ["421 closing"]}, Down),
        ({"sender": "553 not yours"}, Rejected),
        ({"sender": "451 later"}, Retry),
        ({"sender": "530 5.7.0 authentication required"}, Down),
        ({"behaviour": "hang"}, Unknown),
        ({"behaviour": "break"}, Unknown),
    ],
)
async def test_answers(set_up: dict[str, Any], kind: type[Verdict], inbox: Inbox) -> None:
    """4xx again, 5xx never, whoever is not let in is down, and a silence after the message is a doubt."""
    vars(inbox).update(set_up)
    connector = made(port=inbox.port, timeout_seconds=1.5 if "behaviour" in set_up else 20)
    got = await verdict(connector)
    vars(inbox).update(recipients={}, data=[], sender="250 OK", behaviour="")
    well = await verdict(connector)
    await connector.close()

    assert isinstance(got, kind), got
    assert isinstance(well, Delivered)


async def test_connections_are_used_again(inbox: Inbox, connector: Connector) -> None:
    """One for messages one after another; one that was closed meanwhile is made anew, and nothing is lost."""
    for _ in range(3):
        assert isinstance(await verdict(connector), Delivered)
    before = inbox.connections
    inbox.close_all()
    await asyncio.sleep(0.1)

    assert isinstance(await verdict(connector), Delivered)
    assert (before, inbox.connections, len(inbox.received)) == (1, 2, 4)


async def test_addresses_in_other_scripts(inbox: Inbox, connector: Connector) -> None:
    """A domain is put into ASCII; a name before the @ needs a server that knows SMTPUTF8, and this one does."""
    assert isinstance(await verdict(connector, to="ann@bücher.example"), Delivered)
    assert isinstance(await verdict(connector, to="zoë@example.com"), Delivered)
    assert [envelope.rcpt_tos for envelope in inbox.received] == [["ann@xn--bcher-kva.example"], ["zoë@example.com"]]


async def test_a_hostile_event_id(inbox: Inbox, connector: Connector) -> None:
    """It starts no header of its own."""
    sent = event(**MAIL).model_copy(update={"id": "\r\nX-Evil: 1\r\n\u2603"})

    assert isinstance((await connector.deliver([sent]))[0], Delivered)
    assert "X-Evil" not in inbox.message()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of 127.0.0.1, signed by itself; the key is beside it."""
    path = tmp_path_factory.mktemp("tls") / "cert.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=mail",
         "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(path.with_name("key.pem")), "-out", str(path)],
        check=True, capture_output=True,
    )  # fmt: skip
    return path


def tls_of(certificate: Path) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, certificate.with_name("key.pem"))
    return context


@pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")  # the server is not told of its own TLS
@pytest.mark.parametrize("security", ["starttls", "tls"])
async def test_tls_and_login(security: str, certificate: Path) -> None:
    """The password goes out only behind TLS whose certificate is good; a wrong one is Down, and in no evidence."""
    inbox, context = Inbox(), tls_of(certificate)
    options: dict[str, Any] = {"authenticator": inbox.authenticate, "auth_required": True}
    options |= {"tls": context, "auth_require_tls": False} if security == "tls" else {"tls_context": context}
    async with served(inbox, **options):
        settings = {"port": inbox.port, "security": security, "username": "me", "ca_file": str(certificate)}
        good = made({"password": PASSWORD}, **settings)
        wrong = made({"password": "another-secret"}, **settings)
        untrusted = made(
            {"password": PASSWORD}, **{name: value for name, value in settings.items() if name != "ca_file"}
        )
        got = [await verdict(one) for one in (good, wrong, untrusted)]
        probes = [await one.probe() for one in (good, wrong, untrusted)]
        for one in (good, wrong, untrusted):
            await one.close()

    assert [type(one) for one in got] == [type(one) for one in probes] == [Delivered, Down, Down], got
    assert isinstance(got[1], Down)
    assert isinstance(got[2], Down)
    assert got[1].reason.startswith("535 ")
    assert "certificate" in got[2].reason.lower()
    assert "secret" not in repr(got)
    assert set(inbox.logins) == {"me"}


async def test_a_server_without_starttls(inbox: Inbox) -> None:
    """Nothing goes out in the clear because of it: Down, and it says what it lacks."""
    connector = made({"password": PASSWORD}, port=inbox.port, security="starttls", username="me")
    got = await verdict(connector)
    await connector.close()

    assert isinstance(got, Down)
    assert "STARTTLS" in got.reason
    assert (inbox.logins, inbox.received) == ([], [])


def test_settings() -> None:
    """A user without a password is no way in, nor is a password in the clear; host and sender are asked for."""
    given = {"host": "smtp.example.com", "sender": "a@example.com"}
    check("email", None, given, [])
    check("email", None, {**given, "username": "me"}, ["password"])
    with pytest.raises(BadConnection, match="credentials are missing: basic needs password"):
        check("email", None, {**given, "username": "me"}, [])
    with pytest.raises(BadConnection, match="credentials are missing: basic needs username"):
        check("email", None, given, ["password"])
    with pytest.raises(BadConnection, match="host is missing: the mail server"):
        check("email", None, {"sender": "a@example.com"}, [])
    with pytest.raises(BadConnection, match="a password would go out in the clear"):
        made({"password": PASSWORD}, username="me")


async def test_what_it_is_to_the_worker(connector: Connector) -> None:
    """Messages wait for one another nowhere, a doubt is tried again, and nothing is read."""
    function = connector.function("message", Operation.ADD)

    assert (function.operation, function.on_unknown, function.idempotent) == (Operation.ADD, "retry", False)
    assert connector.record_key("message", Operation.MESSAGE, MAIL) is None
    with pytest.raises(CallFailed, match="cannot be read"):
        await connector.read("message", {})
