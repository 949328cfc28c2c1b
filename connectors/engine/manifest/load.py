"""From a file to a manifest, with a message that names the file and the place of every mistake."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from connectors.engine.manifest.model import Manifest
from connectors.errors import BadManifest


def load(path: Path) -> Manifest:
    """Raises ``BadManifest``."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadManifest(f"{path}: {error}") from error
    return parse(text, str(path))


def parse(text: str, where: str) -> Manifest:
    """The manifest in a YAML text. Raises ``BadManifest``. Top-level names with ``x-`` hold what is used by anchors."""
    try:
        body: Any = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise BadManifest(f"{where} is not YAML: {error}") from error
    if not isinstance(body, dict):
        raise BadManifest(f"{where} holds a {type(body).__name__}, not a mapping")
    try:
        return Manifest.model_validate({name: part for name, part in body.items() if not str(name).startswith("x-")})
    except ValidationError as error:
        mistakes = [
            f"  {'.'.join(str(part) for part in one['loc']) or 'manifest'}: {one['msg'].removeprefix('Value error, ')}"
            for one in error.errors(include_url=False, include_input=False)
        ]
        raise BadManifest("\n".join([f"{where} does not load:", *mistakes])) from error
