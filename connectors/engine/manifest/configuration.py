"""Checks a connection's settings and secrets against its manifest: all mistakes in one message."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from connectors.engine.manifest.auth import Auth, NoAuth, credentials_of, settings_of
from connectors.engine.manifest.model import Manifest, Setting
from connectors.engine.template.paths import compile_path
from connectors.engine.template.template import compile_text
from connectors.engine.transport.addresses import AddressGuard
from connectors.errors import BadConnection

EVERYWHERE: Final = {
    "auth": Setting(help="Which of the connector's ways in to use: bearer, basic, api_key, oauth2, webhook, none."),
    "timeout_seconds": Setting(type="number", help="Longest wait for the vendor's answer."),
    "allow_private_addresses": Setting(
        type="object", help="true, or a list of networks: lets this connection go to addresses that are not public."
    ),
}
"""Settings that every connection has, whatever its connector."""

_TYPES: Final[dict[str, tuple[type, ...]]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "object": (dict, list, bool),
    "jmespath": (str, list),
}


@dataclass(frozen=True, slots=True)
class Configuration:
    """The checked settings with which a connector is made."""

    values: Mapping[str, Any]
    """Settings, defaults and secrets together, for the templates."""
    secrets: tuple[str, ...]
    """The secret values, for the redactor."""
    auth: Auth
    base_url: str
    guard: AddressGuard
    timeout_seconds: float


def configure(manifest: Manifest, settings: Mapping[str, Any], secrets: Mapping[str, str]) -> Configuration:
    """Raises ``BadConnection`` with every mistake."""
    values = values_of(manifest, settings, secrets)
    base = compile_text(manifest.base_url, {"settings": values, "object": {}}, in_path=False)
    return Configuration(
        values=values,
        secrets=tuple(str(value) for value in secrets.values()),
        auth=_auth(manifest, values),
        base_url=_checked_url(base if isinstance(base, str) else ""),
        guard=AddressGuard(settings.get("allow_private_addresses", False)),
        timeout_seconds=float(settings.get("timeout_seconds", manifest.timeout_seconds)),
    )


def values_of(manifest: Manifest, settings: Mapping[str, Any], secrets: Mapping[str, str]) -> dict[str, Any]:
    """Settings, defaults and secrets together. Raises ``BadConnection`` with every mistake."""
    check(manifest, settings, list(secrets))
    defaults = {name: spec.default for name, spec in manifest.settings.items() if spec.default is not None}
    return {**defaults, **settings, **secrets}


def check(manifest: Manifest, settings: Mapping[str, Any], secret_names: Sequence[str]) -> None:
    """Raises ``BadConnection`` with every mistake. Needs only the names of the secrets."""
    mistakes = list(_mistakes(manifest, settings, secret_names))
    if mistakes:
        raise BadConnection(f"a {manifest.name} connection: " + "; ".join(mistakes))


def _mistakes(manifest: Manifest, settings: Mapping[str, Any], secret_names: Sequence[str]) -> Iterator[str]:
    known = {**EVERYWHERE, **manifest.settings}
    for name, value in settings.items():
        spec = known.get(name)
        if spec is None:
            yield f"there is no setting {name!r} (there are {', '.join(sorted(known))})"
        elif spec.secret:
            yield f"{name} is a secret and not a setting: give it as a secret, so that it is kept encrypted"
        else:
            yield from _value_mistakes(name, spec, value)
    for name in secret_names:
        if name not in manifest.settings or not manifest.settings[name].secret:
            allowed = ", ".join(sorted(one for one, spec in manifest.settings.items() if spec.secret))
            yield f"there is no secret {name!r} (there are {allowed})"
    given = {*settings, *secret_names, *(name for name, spec in manifest.settings.items() if spec.default is not None)}
    for name, spec in manifest.settings.items():
        if spec.required and name not in given:
            yield f"{name} is missing" + (f": {spec.help}" if spec.help else "")
    yield from _auth_mistakes(manifest, settings, secret_names, given)


def _value_mistakes(name: str, spec: Setting, value: Any) -> Iterator[str]:
    number = spec.type in {"integer", "number"}
    if not isinstance(value, _TYPES[spec.type]) or (isinstance(value, bool) and number):
        yield f"{name} is {value!r}, not of type {spec.type}"
    elif spec.type == "jmespath":
        yield from _expression_mistakes(name, value)
    elif spec.choices is not None and value not in spec.choices:
        yield f"{name} is {value!r}; it is one of {', '.join(spec.choices)}"
    elif name == "timeout_seconds" and isinstance(value, int | float) and not 0 < value <= 3_600:
        yield f"{name} is {value!r}; it is more than 0 and at most 3600"


def _expression_mistakes(name: str, value: Any) -> Iterator[str]:
    for expression in value if isinstance(value, list) else [value]:
        if not isinstance(expression, str):
            yield f"{name} is {expression!r}, not the text of a JMESPath expression"
            continue
        try:
            compile_path(expression)
        except ValueError as error:
            yield f"{name}: {error}"


def _auth_mistakes(
    manifest: Manifest, settings: Mapping[str, Any], secret_names: Sequence[str], given: set[str]
) -> Iterator[str]:
    wanted = settings.get("auth")
    if not manifest.auth:
        if wanted is not None:
            yield f"there is no setting 'auth': {manifest.name} has one way in, by the settings above"
        return
    ways = [auth for auth in manifest.auth if wanted is None or auth.type == wanted]
    if not ways:
        known = ", ".join(dict.fromkeys(auth.type for auth in manifest.auth))
        yield f"auth is {wanted!r}; {manifest.name} takes {known}"
        return
    usable = [auth for auth in ways if given.issuperset(settings_of(auth))]
    ignored = wanted is None and usable and isinstance(usable[0], NoAuth) and (secret_names or begun(ways, settings))
    if not usable or ignored:
        lacking = [(auth.type, [name for name in settings_of(auth) if name not in given]) for auth in ways]
        choices = " or ".join(f"{kind} needs {' and '.join(names)}" for kind, names in lacking if names)
        secret = next((name for _, names in lacking for name in names if manifest.settings[name].secret), "NAME")
        yield f"credentials are missing: {choices}; --secret {secret} asks for it, {secret}=env:VARIABLE refers to it"


def begun(ways: Sequence[Auth], given: Collection[str]) -> list[Auth]:
    """The ways of authentication for which a credential is given, even if others of it are missing.

    Whoever gives a user name does not mean to connect without one.
    """
    return [auth for auth in ways if set(given).intersection(credentials_of(auth))]


def _auth(manifest: Manifest, values: Mapping[str, Any]) -> Auth:
    wanted = values.get("auth")
    ways = [auth for auth in manifest.auth if wanted is None or auth.type == wanted]
    return next(auth for auth in ways if set(settings_of(auth)) <= set(values))


def _checked_url(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise BadConnection(f"{url!r} is not a base URL such as https://api.example.com")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise BadConnection("the base URL carries credentials, a query or a fragment; credentials are secrets")
    return url.rstrip("/")
