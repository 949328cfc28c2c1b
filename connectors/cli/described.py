"""What a connector is, as data: for `connectors show`, and for the pages of the reference."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from connectors.engine.manifest import Manifest


class Fields(NamedTuple):
    """Names of fields: those that an event must have, those that mean something, and whether any other goes along."""

    required: list[str]
    optional: list[str]
    others: bool


def settings(manifest: Manifest) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "type": "secret" if spec.secret else spec.type,
            "required": spec.required,
            "default": spec.default,
            "choices": spec.choices,
            "help": ("required; " if spec.required else "") + spec.help,
        }
        for name, spec in manifest.settings.items()
    ]


def aliases(manifest: Manifest) -> dict[str, list[str]]:
    return {
        f"{kind}.{name}": [meant] if isinstance(meant, str) else meant
        for kind, spec in manifest.objects.items()
        for name, meant in spec.aliases.items()
    }


def functions(manifest: Manifest) -> list[dict[str, Any]]:
    """One row for each object and operation; what can be read is the last of each object."""
    from connectors.engine.manifest.needs import UNIQUE, needed, reads, taken  # noqa: PLC0415 - help needs none of it

    found: list[dict[str, Any]] = []
    for object_name, spec in manifest.objects.items():
        row: dict[str, Any] = {"object": object_name, "unique": spec.unique}
        for operation, how in spec.operations.items():
            named, others = taken(spec, how)
            required = ["the unique property" if name == UNIQUE else name for name in needed(spec, how)]
            optional = [name for name in named if name not in required]
            batch = how.batch.maximum if how.batch else how.maximum if how.maximum > 1 else None
            fields = Fields(required, optional, others)
            found.append({**row, "operation": str(operation), "batch": batch, **fields._asdict()})
        found += [
            {**row, "operation": kind, "batch": None, "required": required, "optional": [], "others": False}
            for kind, required in reads(spec).items()
        ]
    return found
