"""``python -m connectors.engine.manifest > docs/reference/manifest.schema.json``: the JSON Schema for editors."""

from __future__ import annotations

import json
import sys

from connectors.engine.manifest.model import Manifest


def schema() -> str:
    """The JSON Schema of a manifest file, as it is published."""
    body = Manifest.model_json_schema()
    body["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    body["patternProperties"] = {"^x-": {}}
    return json.dumps(body, indent=2, sort_keys=True) + "\n"


if __name__ == "__main__":
    sys.stdout.write(schema())
