"""Signed requests for a token, as Salesforce and Google check them (RFC 7523)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jwt

JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"


def refused(assertion: str, keys: Mapping[str, str] | None, audience: str, seconds: int) -> str | None:
    """Why an assertion is not good; None: it is. ``keys``: public keys (PEM) by issuer; None: any assertion is.

    ``audience``: how that of the assertion has to end; ``seconds``: how long it may be good.
    """
    if keys is None:
        return None
    try:
        claims: dict[str, Any] = jwt.decode(assertion, options={"verify_signature": False})
        key = keys.get(str(claims.get("iss")))
        if key is None:
            return "the issuer is not known"
        claims = jwt.decode(
            assertion, key, ["RS256"], options={"verify_exp": False, "verify_iat": False, "verify_aud": False}
        )
    except jwt.PyJWTError as error:
        return str(error)
    if not str(claims.get("aud")).endswith(audience):
        return "the audience is another"
    return "the assertion is good for too long" if claims["exp"] - claims["iat"] > seconds else None
