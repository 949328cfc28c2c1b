"""Signed requests for a token: the JWT bearer grant (RFC 7523), as Salesforce and Google's service accounts want it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

JWT_BEARER: Final = "urn:ietf:params:oauth:grant-type:jwt-bearer"
APP_SECONDS: Final = 180
"""How long an app's assertion is valid: the longest that Salesforce accepts."""
ACCOUNT_SECONDS: Final = 3_600
"""How long a service account's assertion is valid: the longest that Google accepts, and what its library asks for."""


class BadKey(ValueError):
    """The private key cannot be used. The message holds nothing of it."""


def signed(claims: Mapping[str, Any], key: str, now: float, *, seconds: int, key_id: str | None = None) -> str:
    """The assertion, with the claims ``iat`` and ``exp``. ``key``: an RSA key as PEM. Raises ``BadKey``."""
    import jwt  # noqa: PLC0415 - only assertions need it

    issued = int(now)
    headers = {"kid": key_id} if key_id else None
    try:
        return jwt.encode({**claims, "iat": issued, "exp": issued + seconds}, _pem(key), "RS256", headers)
    except (ValueError, TypeError, jwt.PyJWTError) as error:
        # the library's own words may quote the key
        raise BadKey("it is not an RSA private key in PEM (a file that begins with -----BEGIN)") from error


def key_file(text: str) -> dict[str, str]:
    """A service account's key file: ``client_email``, ``private_key``, ``private_key_id``, ``token_uri``.

    Raises ``BadKey``.
    """
    try:
        content = json.loads(text)
    except ValueError as error:
        raise BadKey("it is not JSON: give the whole key file, as in NAME=file:/path/to/key.json") from error
    names = ("client_email", "private_key", "token_uri")
    lacking = [name for name in names if not isinstance(content, dict) or not isinstance(content.get(name), str)]
    if lacking:
        raise BadKey(f"it is not the key file of a service account: {', '.join(lacking)} is missing")
    return {name: value for name, value in content.items() if isinstance(value, str)}


def _pem(key: str) -> str:
    """The key with its line breaks, which are often lost when it is put into one line."""
    return key.replace("\\n", "\n").strip() + "\n"
