"""Secrets of connections: encrypted at rest, or references to where they are kept (``references.py``).

The key comes from ``WRITEBACK_SECRET_KEY``: any long random text, or several separated by commas. The first encrypts,
all of them decrypt: to change the key put the new one in front, run ``writeback connections rotate-secrets``, then
drop the old one.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING

from connectors.connections.references import checked, follow, is_reference
from connectors.errors import BadSecret

if TYPE_CHECKING:
    from cryptography.fernet import Fernet, MultiFernet

VARIABLE = "WRITEBACK_SECRET_KEY"
SHORTEST_KEY = 16

_HINT = "make one with `writeback connections new-key`"


def new_key() -> str:
    """A key for ``WRITEBACK_SECRET_KEY``."""
    from cryptography.fernet import Fernet  # noqa: PLC0415 - 6 MB, for those who keep a secret here

    return Fernet.generate_key().decode()


class SecretBox:
    """Seals and opens secrets. Neither its ``repr`` nor any of its errors holds a secret or the key."""

    def __init__(self, secret_key: str | None, environ: Mapping[str, str] = os.environ) -> None:
        self._secret_key = secret_key
        self._environ = environ

    def seal(self, value: str) -> str:
        """What may be stored for a secret: a reference as it is, anything else encrypted. Raises ``BadSecret``."""
        return checked(value) if is_reference(value) else self.encrypt(value)

    def encrypt(self, value: str) -> str:
        """Whatever it looks like: what a vendor gives is no reference. Raises ``BadSecret``."""
        return self._keys().encrypt(value.encode()).decode()

    def open(self, sealed: str) -> str:
        """The secret itself. Raises ``BadSecret`` when it does not decrypt, or its reference leads to nothing."""
        if is_reference(sealed):
            return follow(sealed, self._environ)
        from cryptography.fernet import InvalidToken  # noqa: PLC0415

        try:
            return self._keys().decrypt(sealed).decode()
        except InvalidToken:
            raise BadSecret(
                f"it does not decrypt: {VARIABLE} is not the key it was encrypted with. Put the old key back (several "
                "may stand there, separated by commas), or set the secret again with `writeback connections set`"
            ) from None

    def reseal(self, sealed: str) -> str:
        """The same secret under the first key. Raises ``BadSecret``."""
        return sealed if is_reference(sealed) else self.encrypt(self.open(sealed))

    def _keys(self) -> MultiFernet:
        keys = [key.strip() for key in (self._secret_key or "").split(",") if key.strip()]
        if not keys:
            raise BadSecret(
                f"{VARIABLE} is not set, and secrets are encrypted with it: {_HINT}, or store a reference to a "
                "variable, a file or a command instead (--secret NAME=env:VARIABLE, =file:/PATH, =exec:COMMAND)"
            )
        from cryptography.fernet import MultiFernet  # noqa: PLC0415

        return MultiFernet([_fernet(key) for key in keys])


def describe(sealed: str) -> str:
    """What a listing may show of a secret."""
    return sealed if is_reference(sealed) else "encrypted"


@lru_cache(maxsize=8)
def _fernet(key: str) -> Fernet:
    """A Fernet key as it is; any other text is stretched into one."""
    from cryptography.fernet import Fernet  # noqa: PLC0415
    from cryptography.hazmat.primitives.kdf.scrypt import Scrypt  # noqa: PLC0415

    try:
        return Fernet(key)
    except ValueError:
        if len(key) < SHORTEST_KEY:
            raise BadSecret(f"{VARIABLE} is shorter than {SHORTEST_KEY} characters: {_HINT}") from None
    stretched = Scrypt(salt=b"writeback secrets 1", length=32, n=2**14, r=8, p=1).derive(key.encode())
    return Fernet(base64.urlsafe_b64encode(stretched))
