"""Hints for authors of manifests about what is allowed, but seldom meant."""

from __future__ import annotations

from collections.abc import Iterator

from connectors.engine.manifest.model import Manifest, ObjectSpec
from connectors.engine.manifest.places import Place
from connectors.engine.manifest.requests import AllOrNothing, Operation
from topics.event.event import Operation as OperationName

Hint = tuple[Place, str]


def hints(manifest: Manifest) -> Iterator[Hint]:
    """Pairs of a place and what it causes; the manifest works all the same."""
    if not manifest.docs:
        yield ("title",), "no `docs`: say where the vendor describes this API"
    if manifest.protocol == "http" and not manifest.error.codes and not manifest.error.message:
        yield (
            ("error",) if manifest.error.request_id else ("name",),
            "no `error`: without `message` and `codes` a refusal shows the vendor's whole answer",
        )
    for name, spec in manifest.objects.items():
        if not spec.example:
            yield ("objects", name), "no `example`: `connectors try` and `connectors snippet` have nothing to show"
        if spec.read is None and not spec.reads:
            yield ("objects", name), "no `read`: get, list, findone and refreshes do not have it"
        for operation, one in spec.operations.items() if manifest.protocol == "http" else ():
            yield from _of_operation(manifest, spec, ("objects", name, "operations", str(operation)), operation, one)


def _of_operation(
    manifest: Manifest, spec: ObjectSpec, place: Place, operation: OperationName, one: Operation
) -> Iterator[Hint]:
    for name in ("request", "batch"):
        call = getattr(one, name)
        if call is None or manifest.succeeds_when is not None or call.succeeds_when is not None or call.success:
            continue
        if name == "batch" and not isinstance(call.attribution, AllOrNothing):
            continue  # events without a result do not count as delivered anyway
        yield (
            (*place, name),
            "no `succeeds_when` and no `success`: every 2xx counts as delivered, an empty one too",
        )
    creates = operation in {OperationName.ADD, OperationName.MESSAGE}
    if one.key is None and not creates:
        yield place, "no `key`: events of one record may overtake each other"
    repeatable = one.idempotent if one.idempotent is not None else not creates
    if not repeatable and one.idempotency_header is None and one.on_unknown == "dead_letter":
        if one.find is None:
            yield (
                place,
                "no `find`, `idempotency_header` or `on_unknown: retry`: a call without answer is a dead letter",
            )
        elif spec.unique is None and manifest.unique_setting is None:
            yield place, "`find` asks by the unique property, and there is no `unique`: it is never asked"
