"""One worker fetches a token for all: it takes the turn, fetches, and stores the token before anybody uses it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Final

from connectors.connections.tokens import AccessToken, ConnectionTokens, Held, Turn
from connectors.contract import Down
from connectors.engine.auth.endpoint import TOKEN_SECONDS, Granted, NoToken, TokenEndpoint
from connectors.errors import BadSecret, UnknownConnection
from topics.errors import StoreUnavailable

POLL: Final = 0.2
"""Seconds between two looks at whether another worker has fetched the token."""
DEAD_SECONDS: Final = TOKEN_SECONDS + 15.0
"""A turn that has not changed for this long belongs to a worker that died: a fetch cannot take as long."""
PATIENCE: Final = 2 * DEAD_SECONDS
"""The longest wait, in seconds, for the turns of other workers."""
KEEP_SECONDS: Final = 10.0
"""The longest time, in seconds, that a stop waits until the store has taken a new token."""
LONGEST_PAUSE: Final = 30.0


class SharedFetch:
    """Fetches the tokens of one connection. ``rotates``: the secret that the vendor may replace with each token.

    ``values``: the values for the endpoint's requests, which are updated in place.
    """

    def __init__(
        self, endpoint: TokenEndpoint, values: dict[str, Any], tokens: ConnectionTokens, rotates: str | None
    ) -> None:
        self._endpoint = endpoint
        self._values = values
        self._tokens = tokens
        self._rotates = rotates
        self._keeping: set[asyncio.Task[None]] = set()
        self._stopping = False

    async def token(self, refused: str) -> AccessToken:
        """A token other than the ``refused`` one. Raises ``NoToken``."""
        try:
            return await self._shared(refused)
        except StoreUnavailable as error:
            if self._rotates is not None:  # another worker may be using the refresh token now
                raise NoToken(Down(f"no token is fetched while nobody can say whose turn it is: {error}")) from error
            granted = await self._endpoint.fetch(self._values)
            return AccessToken(granted.token, granted.seconds)
        except (BadSecret, UnknownConnection) as error:
            raise NoToken(Down(str(error))) from error

    def stop(self) -> None:
        """Begin no more fetches, and wait for no other worker's."""
        self._stopping = True

    async def close(self) -> None:
        if self._keeping:
            _, late = await asyncio.wait(self._keeping, timeout=KEEP_SECONDS)
            for task in late:
                task.cancel()

    async def _shared(self, refused: str) -> AccessToken:
        found = await self._found(refused)
        if isinstance(found, AccessToken):
            return found
        try:
            return await self._fetch(found)
        except NoToken as none:
            if self._rotates is None or none.code != "invalid_grant":
                raise
            used = found.secrets.get(self._rotates)
            # another worker may have used the refresh token, so that the store has a newer one now
            found = await self._found(refused)
            if isinstance(found, AccessToken):
                return found
            if found.secrets.get(self._rotates) == used:
                await asyncio.to_thread(self._tokens.release, found)
                raise
            return await self._fetch(found)

    async def _found(self, refused: str) -> AccessToken | Turn:
        """The token that another worker has fetched, or the turn for us to fetch one."""
        now = asyncio.get_running_loop().time
        begun = since = now()
        seen: Held | None = None
        while True:
            dead = seen if now() - since > DEAD_SECONDS else None
            found = await asyncio.to_thread(self._tokens.take, refused, dead)
            if isinstance(found, AccessToken):
                return found
            if self._stopping:
                if isinstance(found, Turn):
                    await asyncio.to_thread(self._tokens.release, found)
                raise NoToken(Down("the worker stops, and fetches no token any more"))
            if isinstance(found, Turn):
                return found
            if now() - begun > PATIENCE:
                raise NoToken(Down(f"other workers have been fetching a token for {PATIENCE:.0f} s, and have none"))
            if found != seen:
                seen, since = found, now()
            await asyncio.sleep(POLL)

    async def _fetch(self, turn: Turn) -> AccessToken:
        self._values.update(turn.secrets)
        try:
            granted = await self._endpoint.fetch(self._values)
        except BaseException:
            await asyncio.to_thread(self._tokens.release, turn)
            raise
        renewed = self._renewed(granted)
        pause = await self._keep(turn, granted, renewed, 0.5)
        if pause is not None:
            task = asyncio.create_task(self._keep_later(turn, granted, renewed, pause))
            self._keeping.add(task)
            task.add_done_callback(self._keeping.discard)
        return AccessToken(granted.token, granted.seconds)

    def _renewed(self, granted: Granted) -> dict[str, str]:
        """The secret that the vendor has replaced, if it did."""
        name, value = self._rotates, granted.refresh_token
        if name is None or value is None or value == self._values[name]:
            return {}
        self._values[name] = value
        return {name: value}

    async def _keep_later(self, turn: Turn, granted: Granted, renewed: Mapping[str, str], pause: float) -> None:
        again: float | None = pause
        while again is not None:
            await asyncio.sleep(again)
            again = await self._keep(turn, granted, renewed, min(LONGEST_PAUSE, again * 2))

    async def _keep(self, turn: Turn, granted: Granted, renewed: Mapping[str, str], pause: float) -> float | None:
        """Store the token. None when the store has it, or never will; else the seconds until the next try."""
        try:
            await asyncio.to_thread(self._tokens.keep, turn, granted.token, granted.seconds, renewed)
        except StoreUnavailable as error:
            self._tokens.not_kept(renewed, error, pause)
            return pause
        except (BadSecret, UnknownConnection) as error:
            self._tokens.not_kept(renewed, error)
            await asyncio.to_thread(self._tokens.release, turn)
        return None
