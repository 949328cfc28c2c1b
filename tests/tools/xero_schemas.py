"""What is needed of Xero's own OpenAPI document (MIT, XeroAPI/Xero-OpenAPI) to check requests by it.

``python -m tests.tools.xero_schemas xero_accounting.json > tests/connectors/saas/xero_schemas.json``. Texts and
examples are left out; what is read-only, and a name that the document does not have, is an error:
Xero ignores it silently.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

KINDS = ("Contacts", "Invoices", "CreditNotes", "Payments", "Items")
KEPT = ("type", "format", "enum", "maxLength", "items", "required", "$ref")


def main(spec: Path) -> None:
    document = json.loads(spec.read_text())
    schemas = document["components"]["schemas"]
    wanted, found = [*KINDS, "PaymentDelete"], {}
    while wanted:
        name = wanted.pop()
        if name not in found:
            found[name] = _trimmed(schemas[name], wanted)
    paths = {
        path: {
            method: [one["name"] for one in _parameters(document, said)]
            for method, said in methods.items()
            if method != "parameters"
        }
        for path, methods in document["paths"].items()
        if path.split("/")[1] in {*KINDS, "Organisation"} and path.count("/") <= 2
    }
    print(
        json.dumps({"version": document["info"]["version"], "paths": paths, "$defs": found}, indent=1, sort_keys=True)
    )


def _parameters(document: dict[str, Any], said: dict[str, Any]) -> list[dict[str, Any]]:
    known = document["components"]["parameters"]
    return [known[one["$ref"].rpartition("/")[2]] if "$ref" in one else one for one in said.get("parameters", [])]


def _trimmed(schema: dict[str, Any], wanted: list[str]) -> dict[str, Any]:
    kept = {name: value for name, value in schema.items() if name in KEPT}
    if "$ref" in kept:
        name = kept["$ref"].rpartition("/")[2]
        wanted.append(name)
        return {"$ref": f"#/$defs/{name}"}
    if "items" in kept:
        kept["items"] = _trimmed(kept["items"], wanted)
    if "properties" in schema:
        properties = schema["properties"].items()
        kept["properties"] = {name: _trimmed(one, wanted) for name, one in properties if not one.get("readOnly")}
        kept["additionalProperties"] = False
    return kept


if __name__ == "__main__":
    main(Path(sys.argv[1]))
