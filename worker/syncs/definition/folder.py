"""Definitions that stand in a folder, one YAML file each; every mistake is said by its file and its field."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from topics.errors import WritebackError

ENDINGS = (".yaml", ".yml")


class Named(Protocol):
    """What a folder is full of: a model with a name, which is the file's where the file does not say one."""

    @property
    def name(self) -> str: ...


D = TypeVar("D", bound=Named)


@dataclass(frozen=True)
class Definitions(Generic[D]):
    """``kind``: what one is called, such as ``sync``; ``bad`` and ``unknown``: the errors that are raised.

    ``example``: a line as it may stand in a file. ``model`` is a pydantic model that takes a ``name``.
    """

    kind: str
    model: type[D]
    bad: type[WritebackError]
    unknown: type[WritebackError]
    example: str

    def readable(self, folder: Path) -> tuple[dict[str, D], list[str]]:
        """Those that can be read, and what is wrong with the others: one bad file must not stop the rest."""
        found: dict[str, D] = {}
        wrong: list[str] = []
        for path in files(folder):
            try:
                one = self.load(path)
            except self.bad as error:
                wrong.append(str(error))
                continue
            if one.name in found:
                wrong.append(f"{path}: there is {self._article} {self.kind} {one.name!r} already, in another file")
            found.setdefault(one.name, one)
        return found, wrong

    def all(self, folder: Path) -> dict[str, D]:
        """Every one of the folder, by its name. Raises ``bad``."""
        found, wrong = self.readable(folder)
        if wrong:
            raise self.bad("\n".join(wrong))
        return dict(sorted(found.items()))

    def find(self, folder: Path, name: str) -> D:
        """The one of that name. Raises ``unknown``, which names the nearest, and ``bad``."""
        found, wrong = self.readable(folder)
        if name in found:
            return found[name]
        for path in files(folder):
            if path.stem == name:
                return self.load(path)  # says what is wrong with it
        near = difflib.get_close_matches(name, found, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        create = f"`writeback {self.kind}s create`"
        there = f"there are: {', '.join(found)}." if found else f"there are none yet ({create})."
        raise self.unknown(f"no {self.kind} {name!r} in {folder}; {there}{hint}" + "".join(f"\n  {w}" for w in wrong))

    def load(self, path: Path) -> D:
        """The one of that file. Raises ``bad``."""
        try:
            said = yaml.safe_load(path.read_text(encoding="utf-8"))
        except yaml.YAMLError as error:
            raise self.bad(f"{path}: this is no YAML: {' '.join(str(error).split())}") from error
        except (OSError, UnicodeDecodeError) as error:
            raise self.bad(f"{path} cannot be read: {error}") from error
        if not isinstance(said, dict):
            raise self.bad(f"{path}: a definition is a list of names and values, such as `{self.example}`")
        return self.read({**_plain(said), "name": said.get("name") or path.stem}, where=str(path))

    def read(self, said: dict[str, Any], *, where: str) -> D:
        """The one that this says. Raises ``bad`` with every mistake."""
        assert issubclass(self.model, BaseModel)
        try:
            return self.model.model_validate(said)
        except ValidationError as error:
            known = [info.alias or name for name, info in self.model.model_fields.items()]
            raise self.bad("\n  ".join([f"{where}:", *_mistakes(error, known)])) from error

    @property
    def _article(self) -> str:
        return "an" if self.kind[0] in "aeiou" else "a"


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*") if path.suffix in ENDINGS) if folder.is_dir() else []


def _plain(said: dict[Any, Any]) -> dict[str, Any]:
    """YAML 1.1 reads a bare ``on`` as true."""
    return {"on" if name is True else str(name): value for name, value in said.items()}


def _mistakes(error: ValidationError, known: list[str]) -> Iterator[str]:
    for mistake in error.errors(include_url=False):
        name = ".".join(map(str, mistake["loc"]))
        if mistake["type"] == "extra_forbidden" and len(mistake["loc"]) == 1:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"
            yield f"{name}: there is no such setting; {hint}"
        else:
            said = mistake["msg"].removeprefix("Value error, ")
            yield f"{name}: {said[:1].lower()}{said[1:]}" if name else said
