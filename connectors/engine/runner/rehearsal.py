"""Shows the requests that a connector would make, without sending them, for authors of manifests.

No secrets are needed: in the requests stand their names in brackets, ``[access_token]``. When a request depends on the
answer to another one, the connector supplies an answer that the vendor might give.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from yarl import URL

from connectors.engine.manifest.auth import settings_of
from connectors.engine.manifest.model import Manifest
from connectors.engine.runner.calls import Prepared
from connectors.engine.runner.runner import HttpConnector
from connectors.engine.transport.failures import NotSent
from connectors.engine.transport.reply import Reply
from connectors.engine.transport.session import Transport
from connectors.errors import CallFailed
from topics.event import exact_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from connectors.contract import Verdict
    from topics.event.event import Event


FETCHED = "[a token that is fetched]"
MOST: Final = 20
"""How many requests of one rehearsal are answered."""


class Asked(NamedTuple):
    """``answer``: the answer that was supposed for it; None when there was none."""

    request: Prepared
    answer: Any


class Rehearsal(Transport):
    """A transport that keeps each request and sends none. Only ``answer`` gives answers."""

    def __init__(self, answer: Callable[[Prepared], Any]) -> None:
        super().__init__()
        self.requests: list[Asked] = []
        self._answer = answer

    async def exchange(
        self, method: str, url: str | URL, headers: Mapping[str, str], body: bytes | None, **_: Any
    ) -> Reply:
        request = Prepared(method, url, dict(headers), body)
        answer = self._answer(request) if len(self.requests) < MOST else None
        self.requests.append(Asked(request, answer))
        if answer is None:
            raise NotSent("nothing is sent in a rehearsal")
        return Reply(200, {"content-type": "application/json"}, exact_json.dumps(answer))


class Rehearsed:
    """A connector of this class and manifest that sends nothing. Raises ``BadConnection`` for missing settings."""

    def __init__(self, made: type[HttpConnector], manifest: Manifest, settings: Mapping[str, Any]) -> None:
        self._transport = Rehearsal(lambda asked: self.connector.rehearsed(asked, self._events))
        self._events: Sequence[Event] = ()
        own, secrets = _stand_ins(manifest, settings)
        self.connector = made(manifest, {**settings, **own}, secrets)
        self.connector.sender.rehearse(self._transport, FETCHED)

    def deliver(self, events: Sequence[Event]) -> tuple[list[Asked], list[Verdict]]:
        """The requests for these events (a batch for several), and the verdicts on those that make no request."""
        self._events = events
        verdicts = asyncio.run(self.connector.deliver(events))
        return self._taken(), verdicts

    def read(self, object_name: str, query: Mapping[str, Any]) -> list[Asked]:
        """The requests of a read. Raises ``UnknownFunction``, and ``CallFailed`` for a query that makes none."""
        self._events = ()
        try:
            asyncio.run(self.connector.read(object_name, query))
        except CallFailed:
            if not self._transport.requests:
                raise
        return self._taken()

    def _taken(self) -> list[Asked]:
        taken, self._transport.requests = self._transport.requests, []
        return taken


def _stand_ins(manifest: Manifest, settings: Mapping[str, Any]) -> tuple[dict[str, str], dict[str, str]]:
    """The secrets that a connection needs, and what else its authentication needs: for each its name in brackets."""
    wanted = settings.get("auth")
    way = next((auth for auth in manifest.auth if wanted is None or auth.type == wanted), None)
    known = {*settings, *(name for name, spec in manifest.settings.items() if spec.default is not None)}
    names = [name for name in (settings_of(way) if way else ()) if name not in known]
    names += [name for name, spec in manifest.settings.items() if spec.secret and spec.required and name not in names]
    in_brackets = {name: f"[{name}]" for name in names}
    secret = {name: text for name, text in in_brackets.items() if manifest.settings[name].secret}
    return {name: text for name, text in in_brackets.items() if name not in secret}, secret
