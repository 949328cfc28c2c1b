"""Sends the requests of one connection: with its sockets and credentials; keeps the vendor's rate headers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from connectors.connections.tokens import ConnectionTokens
from connectors.contract import Delivered, Quota, Throttled
from connectors.engine.auth.credentials import credentials
from connectors.engine.auth.endpoint import NoToken
from connectors.engine.auth.token import Credentials, TokenCredentials
from connectors.engine.manifest.configuration import Configuration
from connectors.engine.manifest.model import LimitsSpec, Manifest
from connectors.engine.runner.calls import Base, Prepared
from connectors.engine.runner.expected import Expected, as_list, compile_says
from connectors.engine.runner.pace import Pace
from connectors.engine.runner.verdicts import Rules, refusal
from connectors.engine.template.template import Static, compile_text
from connectors.engine.transport.failures import TransportFailure
from connectors.engine.transport.redact import Redactor
from connectors.engine.transport.reply import MAX_READ, MIB, Reply
from connectors.engine.transport.session import Transport
from connectors.engine.transport.waits import quota
from connectors.errors import CallFailed

MAX_DELIVERY: Final = MIB
"""The most bytes that are read of the answer to one event; of a batch's answer, it is ``MAX_READ``."""


LONGEST_WAIT_S: Final = 120.0
"""The longest time that a read waits for the vendor's rate limit: somebody waits for the result."""


class Sender:
    """Sends requests for one connection. ``now`` is the time of day, for dates in ``Retry-After``."""

    def __init__(
        self,
        manifest: Manifest,
        configuration: Configuration,
        *,
        now: Callable[[], float],
        tokens: ConnectionTokens | None = None,
    ) -> None:
        self.redact = Redactor(configuration.secrets)
        self.now = now
        self._seconds = configuration.timeout_seconds
        self._transport = Transport(configuration.guard)
        self._credentials = credentials(configuration, self._transport, self.redact, now=now, tokens=tokens)
        self.pace: Pace | None = None
        """The rate of ``ask``. It and ``rules``, which tell what answers ask to wait, are set by the connector."""
        self.rules: Rules | None = None
        self._quota: Quota | None = None
        self._quota_names = _quota_names(manifest.limits)
        self.base = _base(manifest, configuration, self._credentials.params)

    def rehearse(self, transport: Transport, token: str) -> None:
        """From now on send nothing: ``transport`` keeps the requests. ``token`` replaces one that would be fetched."""
        self._transport = transport
        if isinstance(self._credentials, TokenCredentials):
            self._credentials = Credentials({"Authorization": f"Bearer {token}"})

    async def send(self, prepared: Prepared, seconds: float | None = None, limit: int = MAX_DELIVERY) -> Reply:
        """Send a request with this connection's credentials. Raises ``TransportFailure``, ``NoToken``.

        After a 401 for a token that can be renewed, it is sent once more: with a refused token nothing was done.
        """
        auth = await self._credentials.headers()
        reply = await self._exchange(prepared, auth, seconds or self._seconds, limit)
        if reply.status == 401 and self._credentials.refused(auth):
            auth = await self._credentials.headers()
            reply = await self._exchange(prepared, auth, seconds or self._seconds, limit)
        return reply

    async def send_bare(self, prepared: Prepared, seconds: float | None = None, limit: int = MAX_DELIVERY) -> Reply:
        """Send a request without this connection's credentials, to an address that is itself a secret.

        Raises ``TransportFailure``.
        """
        return await self._exchange(prepared, {}, seconds or self._seconds, limit)

    async def _exchange(self, prepared: Prepared, auth: Mapping[str, str], seconds: float, limit: int) -> Reply:
        method, url, headers, body = prepared
        reply = await self._transport.exchange(method, url, {**headers, **auth}, body, seconds=seconds, limit=limit)
        self._quota = quota(reply.headers, self.now(), self._quota_names) or self._quota
        return reply

    async def ask(self, prepared: Prepared) -> Reply:
        """Send a request that somebody waits for: a read, or a raw call.

        It keeps to the connection's pace. When the vendor asks to wait, it waits and sends again, for at most
        ``LONGEST_WAIT_S`` in all. Raises ``CallFailed`` when there is no answer, or one too large to read.
        """
        waited = 0.0
        while True:
            reply = await self._in_turn(prepared)
            wait = self._asked_to_wait(reply)
            if wait is None or self.pace is None or waited + wait > LONGEST_WAIT_S:
                return reply
            waited += wait
            await self.pace.sleep(wait)

    async def _in_turn(self, prepared: Prepared) -> Reply:
        if self.pace is None:
            return await self._answered(prepared)
        async with self.pace.at_once:
            await self.pace.turn()
            return await self._answered(prepared)

    def _asked_to_wait(self, reply: Reply) -> float | None:
        """The seconds to wait, if the answer says that a limit is reached; nothing was done then."""
        if self.rules is None:
            return None
        expected = self.base.expected
        verdict = refusal(reply, expected.body_of(reply), self.rules, expected, self.now())
        return verdict.after if isinstance(verdict, Throttled) else None

    async def _answered(self, prepared: Prepared) -> Reply:
        try:
            reply = await self.send(prepared, limit=MAX_READ)
        except TransportFailure as failure:
            raise CallFailed(self.redact(failure.reason)) from failure
        except NoToken as none:
            raise CallFailed(none.verdict.reason, status=none.verdict.evidence.status) from none
        if reply.truncated:
            reason = f"HTTP {reply.status}, but the answer is larger than {MAX_READ // MIB} MiB or broke off"
            raise CallFailed(reason, status=reply.status)
        return reply

    def call_failed(self, reply: Reply, body: Any, rules: Rules, expected: Expected) -> CallFailed:
        """The error for an answer that refuses a read or a raw call."""
        verdict = refusal(reply, body, rules, expected, self.now()) or Delivered()
        if isinstance(verdict, Delivered):
            return CallFailed(f"HTTP {reply.status}", status=reply.status)
        return CallFailed(verdict.reason, status=reply.status, excerpt=verdict.evidence.excerpt)

    def absolute(self, path: str) -> str:
        """A path of this API as a URL. Raises ``ValueError`` for another host, which must not get the credentials."""
        if path.startswith(self.base.url + "/"):
            return path
        if "://" in path.partition("?")[0] or path.startswith("//"):
            raise ValueError(
                f"{path!r} is not a path behind {self.base.url}; another API needs a connection of its own"
            )
        return f"{self.base.url}/{path.lstrip('/')}"

    def take_quota(self) -> Quota | None:
        known, self._quota = self._quota, None
        return known

    async def close(self) -> None:
        await self._credentials.close()
        await self._transport.aclose()


def _base(manifest: Manifest, configuration: Configuration, params: Mapping[str, str]) -> Base:
    """What all requests of this connection have in common."""
    static: Static = {"settings": configuration.values, "object": {}}
    own = {name: compile_text(text, static, in_path=False) for name, text in manifest.headers.items()}
    headers = {
        "Accept": "application/json",
        "Content-Type": "application/json",
        "User-Agent": f"writeback ({manifest.name} {manifest.version})",
        **{name: text for name, text in own.items() if isinstance(text, str)},
    }
    expected = Expected(
        media_types=frozenset(as_list(manifest.media_type)), says=compile_says(as_list(manifest.succeeds_when))
    )
    return Base(configuration.base_url, headers, params, expected)


def _quota_names(spec: LimitsSpec) -> tuple[str | None, str, str | None] | None:
    return None if spec.headers is None else (spec.headers.limit, spec.headers.remaining, spec.headers.reset)
