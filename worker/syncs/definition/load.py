"""Reads the definitions of a folder: one YAML file each, every mistake by its file and its field."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from worker.syncs.definition.model import Sync, fields_by_name
from worker.syncs.errors import BadSync, UnknownSync

ENDINGS = (".yaml", ".yml")


def load_all(folder: Path) -> dict[str, Sync]:
    """Every sync of the folder, by its name. Raises ``BadSync``."""
    found: dict[str, tuple[Path, Sync]] = {}
    for path in files(folder):
        sync = load(path)
        if sync.name in found:
            raise BadSync(f"{path}: there is a sync {sync.name!r} already, in {found[sync.name][0]}")
        found[sync.name] = (path, sync)
    return {name: sync for name, (_, sync) in sorted(found.items())}


def readable(folder: Path) -> tuple[dict[str, Sync], list[str]]:
    """The syncs that can be read, and what is wrong with the others: one bad file must not stop the rest."""
    found: dict[str, Sync] = {}
    wrong: list[str] = []
    for path in files(folder):
        try:
            sync = load(path)
        except BadSync as error:
            wrong.append(str(error))
        else:
            found.setdefault(sync.name, sync)
    return found, wrong


def find(folder: Path, name: str) -> Sync:
    """The sync of that name. Raises ``UnknownSync``, which names the nearest, and ``BadSync``."""
    syncs, wrong = readable(folder)
    if name in syncs:
        return syncs[name]
    for path in files(folder):
        if path.stem == name:
            return load(path)  # says what is wrong with it
    near = difflib.get_close_matches(name, syncs, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    there = f"there are: {', '.join(syncs)}." if syncs else "there are none yet (`writeback syncs create`)."
    raise UnknownSync(f"no sync {name!r} in {folder}; {there}{hint}" + "".join(f"\n  {line}" for line in wrong))


def load(path: Path) -> Sync:
    """The sync of one file. Raises ``BadSync``."""
    try:
        said = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise BadSync(f"{path}: this is no YAML: {' '.join(str(error).split())}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise BadSync(f"{path} cannot be read: {error}") from error
    if not isinstance(said, dict):
        raise BadSync(f"{path}: a definition is a list of names and values, such as `key: customer_id`")
    return read({**said, "name": said.get("name") or path.stem}, where=str(path))


def read(said: dict[str, Any], *, where: str) -> Sync:
    """The sync that this says. Raises ``BadSync`` with every mistake."""
    try:
        return Sync.model_validate(said)
    except ValidationError as error:
        raise BadSync("\n  ".join([f"{where}:", *_mistakes(error)])) from error


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*") if path.suffix in ENDINGS) if folder.is_dir() else []


def _mistakes(error: ValidationError) -> Iterator[str]:
    known = fields_by_name()
    for mistake in error.errors(include_url=False):
        name = ".".join(map(str, mistake["loc"]))
        if mistake["type"] == "extra_forbidden" and len(mistake["loc"]) == 1:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"
            yield f"{name}: there is no such setting; {hint}"
        else:
            said = mistake["msg"].removeprefix("Value error, ")
            yield f"{name}: {said[:1].lower()}{said[1:]}" if name else said
