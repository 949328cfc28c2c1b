"""A user's own manifests: each YAML file of a folder is one version of a connector."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from connectors.engine.manifest.load import load
from connectors.engine.manifest.model import Manifest
from connectors.errors import BadManifest

_NAME = re.compile(r"^name: *['\"]?(\w+)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class OwnManifest:
    """One file. ``mistake``: why it is not used; then there is no manifest."""

    path: Path
    name: str
    """The connector's name; for a file that cannot be read, guessed from the file's name."""
    manifest: Manifest | None
    mistake: str = ""


def own_manifests(folder: Path) -> Iterator[OwnManifest]:
    """The files of the folder and its sub-folders; a file that has changed is read again.

    A file that cannot be loaded does not stop the others. A folder that does not exist has none.
    """
    for path in sorted({*folder.glob("*.y*ml"), *folder.glob("*/*.y*ml")}):
        try:
            stat = path.stat()
        except OSError:  # deleted while we looked
            continue
        yield _read(path, stat.st_mtime_ns, stat.st_size, stat.st_ino)


@lru_cache(maxsize=1_024)
def _read(path: Path, _changed: int, _size: int, _inode: int) -> OwnManifest:
    try:
        manifest = load(path)
    except BadManifest as error:
        return OwnManifest(path, _supposed_name(path), None, str(error))
    return OwnManifest(path, manifest.name, manifest)


def _supposed_name(path: Path) -> str:
    try:
        said = _NAME.search(path.read_text(encoding="utf-8", errors="replace"))
    except OSError:
        said = None
    return said[1] if said else path.stem
