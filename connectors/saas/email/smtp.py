"""One server spoken to by SMTP: connections that are kept for the next message, and one transaction on one of them."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from aiosmtplib import (
    SMTP,
    SMTPDataError,
    SMTPException,
    SMTPRecipientRefused,
    SMTPResponse,
    SMTPResponseException,
    SMTPServerDisconnected,
)

from connectors.engine.transport.addresses import AddressGuard
from connectors.saas.email.message import Message

PORTS = {"starttls": 587, "tls": 465, "none": 25}
CLOSING = 421
"""RFC 5321, 3.8: the server closes the connection, whatever it was asked."""
NEEDS_LOGIN = frozenset({530, 534, 535, 538})
"""RFC 4954, 6: not this message is refused, but whoever sends it."""


@dataclass(frozen=True, slots=True)
class Server:
    """Where to connect, and how to be let in. ``login``: user name and password, or None."""

    host: str
    port: int
    security: str
    guard: AddressGuard
    login: tuple[str, str] | None = None
    ca_file: str | None = None


class CannotConnect(Exception):
    """Nothing was sent: the server is out of reach, or does not let us in."""


class NotTaken(Exception):
    """The server ended the transaction before it had the message."""


class MaybeTaken(Exception):
    """The connection broke, or nothing came, after the message was under way."""


class Refused(Exception):
    """The server's definite answer to the message as a whole, or to its sender."""

    def __init__(self, response: SMTPResponse, what: str) -> None:
        super().__init__(f"{what}: {told(response)}")
        self.code = response.code


@dataclass(slots=True)
class Taken:
    """What became of each recipient: taken, or the server's answer to it."""

    accepted: list[str] = field(default_factory=list)
    refused: dict[str, SMTPResponse] = field(default_factory=dict)


def told(response: SMTPResponse) -> str:
    """The server's words on one line."""
    return f"{response.code} {' '.join(response.message.split())}"


class Mailer:
    """Sends messages, each on a connection that nobody else uses meanwhile."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._idle: list[SMTP] = []
        self._tls: ssl.SSLContext | None = None

    async def send(self, message: Message, recipients: Sequence[str], seconds: float) -> Taken:
        """Raises ``CannotConnect``, ``NotTaken``, ``MaybeTaken``, ``Refused``."""
        transaction = _Transaction(message, recipients)
        client: SMTP | None = None
        try:
            async with asyncio.timeout(seconds):
                client = await self._begin(transaction)
                taken = await transaction.finish(client)
        except TimeoutError as error:
            _drop(client)
            words = f"no answer within {seconds:g} s"
            if client is None:
                raise CannotConnect(words) from error
            raise (MaybeTaken(words) if transaction.under_way else NotTaken(words)) from error
        except SMTPServerDisconnected as error:
            _drop(client)
            raise (MaybeTaken(str(error)) if transaction.under_way else NotTaken(str(error))) from error
        except BaseException:
            _drop(client)
            raise
        self._idle.append(client)
        return taken

    async def probe(self, seconds: float) -> str:
        """What the server says of itself. Raises ``CannotConnect``."""
        try:
            async with asyncio.timeout(seconds):
                client = await self._connected()
                answer = await client.noop()
        except (TimeoutError, SMTPException) as error:
            raise CannotConnect(str(error) or f"no answer within {seconds:g} s") from error
        self._idle.append(client)
        return told(answer)

    async def close(self) -> None:
        idle, self._idle = self._idle, []
        for client in idle:
            with suppress(SMTPException, TimeoutError, OSError):  # it goes either way
                await client.quit(timeout=1)
            _drop(client)

    async def _begin(self, transaction: _Transaction) -> SMTP:
        """A connection that has taken the sender. One that was kept may have ended: nothing was sent on it yet."""
        while self._idle:
            client = self._idle.pop()
            try:
                await transaction.begin(client)
            except (SMTPServerDisconnected, TimeoutError):
                _drop(client)
            except BaseException:
                _drop(client)
                raise
            else:
                return client
        client = await self._connected()
        try:
            await transaction.begin(client)
        except BaseException:
            _drop(client)
            raise
        return client

    async def _connected(self) -> SMTP:
        server = self._server
        tls = await self._context() if server.security != "none" else None
        client = SMTP(
            hostname=server.host,
            sock=await self._socket(),
            use_tls=server.security == "tls",
            start_tls=False,
            tls_context=tls,
            timeout=None,
        )
        try:
            await client.connect()
            if server.security == "starttls":
                await client.starttls(server_hostname=server.host, tls_context=tls)
            if server.login is not None:
                await client.login(*server.login)
        except (SMTPException, OSError) as error:
            _drop(client)
            raise CannotConnect(_words(error)) from error
        except BaseException:
            _drop(client)
            raise
        return client

    async def _context(self) -> ssl.SSLContext:
        if self._tls is None:
            try:
                self._tls = await asyncio.to_thread(ssl.create_default_context, cafile=self._server.ca_file)
            except OSError as error:
                raise CannotConnect(f"ca_file {self._server.ca_file}: {error}") from error
        return self._tls

    async def _socket(self) -> socket.socket:
        """The first address that takes us; the guard looks at each after DNS, so that no name gets around it."""
        server, loop = self._server, asyncio.get_running_loop()
        trouble: OSError | None = None
        try:
            addresses = await loop.getaddrinfo(server.host, server.port, type=socket.SOCK_STREAM)
        except OSError as error:
            raise CannotConnect(f"{server.host} is not found: {error}") from error
        for address in addresses:
            try:
                made = server.guard(address)
            except OSError as error:
                trouble = error
                continue
            made.setblocking(False)  # noqa: FBT003 - the signature is the socket's
            try:
                await loop.sock_connect(made, address[4])
            except OSError as error:
                trouble = error
            except BaseException:
                made.close()
                raise
            else:
                return made
            made.close()
        raise CannotConnect(f"cannot connect to {server.host}:{server.port}: {trouble}") from trouble


class _Transaction:
    """MAIL FROM, RCPT TO each, DATA. ``under_way``: the message itself goes out; a silence from here on is a doubt."""

    def __init__(self, message: Message, recipients: Sequence[str]) -> None:
        self._message = message
        self._recipients = recipients
        self.under_way = False

    async def begin(self, client: SMTP) -> None:
        message = self._message
        options = [f"SIZE={len(message.content)}"] if client.supports_extension("size") else []
        if message.international:
            if not client.supports_extension("smtputf8"):
                raise Refused(SMTPResponse(550, "the server does not know SMTPUTF8"), "an address is not in ASCII")
            options.append("SMTPUTF8")
        try:
            await client.mail(message.sender, options=options, encoding=self._encoding)
        except SMTPResponseException as error:
            raise _refusal(error, f"the sender {message.sender}") from error

    async def finish(self, client: SMTP) -> Taken:
        taken = Taken()
        for recipient in self._recipients:
            try:
                await client.rcpt(recipient, encoding=self._encoding)
            except SMTPRecipientRefused as error:
                if error.code == CLOSING:
                    raise NotTaken(told(SMTPResponse(error.code, error.message))) from error
                taken.refused[recipient] = SMTPResponse(error.code, error.message)
            else:
                taken.accepted.append(recipient)
        if not taken.accepted:
            await client.rset()
            return taken
        self.under_way = True
        try:
            await client.data(self._message.content)
        except SMTPDataError as error:
            raise _refusal(error, "the message") from error
        return taken

    @property
    def _encoding(self) -> str:
        return "utf-8" if self._message.international else "ascii"


def _refusal(error: SMTPResponseException, what: str) -> Exception:
    response = SMTPResponse(error.code, error.message)
    if error.code in NEEDS_LOGIN:
        return CannotConnect(f"the server wants another login: {told(response)}")
    if error.code == CLOSING:
        return CannotConnect(told(response))
    return Refused(response, what)


def _words(error: Exception) -> str:
    if isinstance(error, SMTPResponseException):
        return told(SMTPResponse(error.code, error.message))
    cause = error.__cause__  # says more than aiosmtplib's own words, which name no port for a socket of ours
    return str(cause or error) or type(cause or error).__name__


def _drop(client: SMTP | None) -> None:
    if client is not None:
        client.close()
