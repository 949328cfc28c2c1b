"""A vendor's own API description (OpenAPI 3) as a judge: of each request that arrives, and of each answer to it.

HubSpot's may not be copied, so it is no part of the project: the folder is beside it (``../shared/specs``), or where
``HUBSPOT_API_DESCRIPTIONS`` says. https://github.com/HubSpot/HubSpot-public-api-spec-collection has the files.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

from connectors.sandbox.call import Answer, Call

NO_CONTENT = 204
_ROOT = Path(__file__).parents[3]
_BESIDE = [folder / "shared" / "specs" for folder in _ROOT.parents[:2]]


def descriptions(pattern: str) -> list[Path]:
    """The files of that name; none where the folder is not there."""
    given = os.environ.get("HUBSPOT_API_DESCRIPTIONS")
    folders = [Path(given)] if given else _BESIDE
    return next((found for folder in folders if (found := sorted(folder.glob(pattern)))), [])


class Description:
    """All documents together. ``seen``: the operations that have been judged."""

    def __init__(self, files: list[Path]) -> None:
        self._operations: list[tuple[str, re.Pattern[str], Mapping[str, Any], Mapping[str, Any]]] = []
        self.seen: set[str] = set()
        for file in files:
            document = json.loads(file.read_text(encoding="utf-8"))
            for path, methods in document["paths"].items():
                pattern = re.compile(re.sub(r"\\\{[^}]*\\\}", "[^/]+", re.escape(path)))
                for method, operation in methods.items():
                    self._operations.append((method.upper(), pattern, operation, document))
        # a path that names the kind comes before one that takes any
        self._operations.sort(key=lambda one: one[1].pattern.count("[^/]+"))

    def mistakes(self, call: Call, answer: Answer) -> Iterator[str]:
        """What is wrong with a request or its answer; a request that is not described is one, too."""
        named = f"{call.method} {call.path}"
        for method, pattern, operation, document in self._operations:
            if method == call.method and pattern.fullmatch(call.path):
                self.seen.add(f"{method} {pattern.pattern}")
                yield from self._request(named, call, operation, document)
                yield from self._answer(named, answer, operation, document)
                return
        yield f"{named} is not described"

    def _request(self, named: str, call: Call, operation: Mapping[str, Any], document: Any) -> Iterator[str]:
        content = operation.get("requestBody", {}).get("content", {})
        if "application/json" in content:
            yield from _wrong(
                f"the request {named}", call.json_value(), content["application/json"]["schema"], document
            )
        elif call.body and "application/x-www-form-urlencoded" not in content:
            yield f"{named} takes no body"
        known = {one["name"] for one in operation.get("parameters", ()) if one["in"] == "query"}
        yield from (f"{named} has no parameter {name}" for name in call.query if name not in known)

    def _answer(self, named: str, answer: Answer, operation: Mapping[str, Any], document: Any) -> Iterator[str]:
        responses = operation["responses"]
        described = responses.get(str(answer.status)) or responses.get("default")
        if described is None:
            yield f"{named} does not answer {answer.status}"
            return
        if "$ref" in described:
            described = document["components"]["responses"][described["$ref"].rpartition("/")[2]]
        content = described.get("content", {})
        media = content.get("application/json") or content.get("*/*")
        if media is not None and "schema" in media and answer.status != NO_CONTENT:
            body = json.loads(answer.body) if answer.body else None
            yield from _wrong(f"the {answer.status} to {named}", body, media["schema"], document)


def _wrong(what: str, value: Any, schema: Mapping[str, Any], document: Mapping[str, Any]) -> Iterator[str]:
    whole = {**schema, "components": document["components"]}
    for error in Draft202012Validator(whole).iter_errors(value):
        yield f"{what}, {'.'.join(map(str, error.absolute_path)) or 'the whole'}: {error.message[:200]}"
