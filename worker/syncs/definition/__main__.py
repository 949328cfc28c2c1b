"""``python -m worker.syncs.definition > docs/reference/sync.schema.json``: the JSON Schema for editors."""

from __future__ import annotations

import json
import sys

from worker.syncs.definition.model import Sync


def schema() -> str:
    """The JSON Schema of a definition, as it is published."""
    body = Sync.model_json_schema()
    properties = body["properties"]
    bound = {"anyOf": [{"type": "string"}, {"type": "integer"}, {"type": "boolean"}, {"type": "object"}]}
    for name in ("max_changes", "max_removed", "max_nulls"):
        properties[name] = {**bound, "description": properties[name]["description"]}
    column = {"type": "string", "minLength": 1}
    several = {"type": "array", "items": column, "minItems": 1}
    properties["key"] = {"anyOf": [column, several], "description": properties["key"]["description"]}
    properties["map"] = {
        "type": "object",
        "additionalProperties": {"anyOf": [column, several]},
        "description": properties["map"]["description"],
    }
    body["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    return json.dumps(body, indent=2, sort_keys=True) + "\n"


if __name__ == "__main__":
    sys.stdout.write(schema())
