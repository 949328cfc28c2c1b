"""Kinds of records by their names: a friendly one (``contact``), or HubSpot's own for a custom object."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from connectors.contract import Rejected, Verdict
from connectors.engine.manifest.model import Manifest
from connectors.engine.runner.sender import Sender
from connectors.engine.runner.verdicts import Rules
from connectors.saas.hubspot.asking import REMEMBERED_S, ask

QUALIFIED: Final = re.compile(r"p\d*_[a-z][a-z0-9_]*")
CUSTOM: Final = re.compile(rf"\d+-\d+|{QUALIFIED.pattern}", re.IGNORECASE)
"""An objectTypeId (``2-3453932``) or a fully qualified name (``p123_car``; ``p_car`` in the account itself)."""

Schema = Mapping[str, Any]


def type_of(manifest: Manifest, name: Any) -> str:
    """What HubSpot's paths call a kind. Raises ``ValueError`` for what is none."""
    spec = manifest.objects.get(str(name))
    known = None if spec is None else spec.variables.get("type")
    if known is not None:
        return known
    if isinstance(name, str) and CUSTOM.fullmatch(name):
        return name
    friendly = ", ".join(each for each, one in manifest.objects.items() if "type" in one.variables)
    raise ValueError(f"{name!r} is no kind of record: {friendly}, or a custom object such as p123_car or 2-3453932")


class Schemas:
    """What the account says of its custom objects, asked once."""

    def __init__(self, sender: Sender, rules: Rules, prefix: str) -> None:
        self._sender, self._rules, self._prefix = sender, rules, prefix
        self._known: dict[str, tuple[float, Schema]] = {}

    async def of(self, name: str) -> Schema | Verdict:
        """The schema of a custom object; ``Rejected``, with the names that there are, where there is none."""
        until, schema = self._known.get(name, (0.0, {}))
        if self._sender.now() < until:
            return schema
        answer = await ask(self._sender, self._rules, f"{self._prefix}/{name}")
        if isinstance(answer, Rejected) and answer.evidence.status == 404:
            return await self._none(name, answer)
        if isinstance(answer, Mapping):
            self._known[name] = (self._sender.now() + REMEMBERED_S, answer)
        return answer

    async def _none(self, name: str, answer: Rejected) -> Verdict:
        everything = await ask(self._sender, self._rules, self._prefix)
        if not isinstance(everything, Mapping):
            return answer
        named = [
            f"{one.get('fullyQualifiedName')} ({one.get('objectTypeId')})" for one in everything.get("results", ())
        ]
        return Rejected(
            f"HubSpot has no custom object {name}; it has {', '.join(named) or 'none'}", evidence=answer.evidence
        )


def lacks(schema: Schema, name: str, fields: Mapping[str, Any]) -> str | None:
    """Why a new record of a custom object would be refused, as far as its schema says."""
    required = [str(each) for each in schema.get("requiredProperties") or ()]
    missing = [each for each in required if fields.get(each) in (None, "")]
    return f"a new {name} needs {', '.join(missing)}" if missing else None


def not_unique(schema: Schema, name: str, field: str) -> str | None:
    """Why no record can be found by this property."""
    unique = [str(one.get("name")) for one in schema.get("properties") or () if one.get("hasUniqueValue")]
    if field in unique:
        return None
    there = f"those of {', '.join(unique)} are" if unique else "it has no property whose values are"
    return f"the values of {field} are not unique in {name}: {there}"
