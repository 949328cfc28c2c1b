"""The project keeps its own rules: bounds, versions, import rules that really bite, commands that really exist."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
VERSION: str = PROJECT["project"]["version"]
ROOMS = ("topics", "connectors", "dead_letter", "worker", "pq")
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


def _requirements() -> list[Requirement]:
    lists = [PROJECT["project"]["dependencies"], *PROJECT["project"]["optional-dependencies"].values()]
    wanted = [Requirement(line) for requirements in lists for line in requirements]
    return [requirement for requirement in wanted if requirement.name != PROJECT["project"]["name"]]


def _pinned() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [line.split("==") for line in lines if line and not line.startswith("#")]
    return {canonicalize_name(name): version for name, version in pins}


@pytest.mark.parametrize("requirement", _requirements(), ids=lambda requirement: requirement.name)
def test_every_dependency_has_a_lower_bound(requirement: Requirement) -> None:
    """A resolver may not fall back to a version from before the features that are used."""
    assert any(bound.operator in {">=", "==", "~="} for bound in requirement.specifier)


@pytest.mark.parametrize("extra", ["dependencies", "postgres", "dev"])
def test_the_locked_versions_keep_the_bounds(extra: str) -> None:
    """constraints.txt pins every dependency, inside its bounds."""
    project = PROJECT["project"]
    lines = project["dependencies"] if extra == "dependencies" else project["optional-dependencies"][extra]
    wanted = [Requirement(line) for line in lines if not line.startswith("writeback")]
    pins = _pinned()

    assert [
        str(requirement)
        for requirement in wanted
        if not requirement.specifier.contains(pins.get(canonicalize_name(requirement.name), "0"))
    ] == []


def test_the_versions_agree() -> None:
    """pyproject.toml, the compose image and the newest entry of the changelog name one version."""
    image = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))["services"]["worker"]["image"]
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    newest = next(iter(re.findall(r"^## \[(\d[^\]]*)\]", changelog, re.MULTILINE)))

    assert (image, newest) == (f"writeback:{VERSION}", VERSION)


def test_every_lint_exception_has_its_reason() -> None:
    """Each line of ruff's ignore list says why."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    ignored = text.partition("\nignore = [\n")[2].partition("\n]")[0].splitlines()

    assert ignored
    assert [line for line in ignored if "#" not in line] == []


PLANTED = [
    ("topics/event/event.py", "import worker", "rooms: imports run one way", "topics.event.event -> worker (l."),
    ("pq/__init__.py", "import worker", "rooms: imports run one way", "pq -> worker (l."),
    (
        "connectors/contract.py",
        "import dead_letter",
        "rooms: imports run one way",
        "connectors.contract -> dead_letter (l.",
    ),
    (
        "connectors/saas/slack/__init__.py",
        "import connectors.saas.hubspot",
        "SaaS folders do not know each other",
        "connectors.saas.slack -> connectors.saas.hubspot (l.",
    ),
    (
        "worker/__init__.py",
        "import kafka",
        "the Kafka client stays in topics/kafka/log.py",
        "worker -> kafka (l.",
    ),
    ("dead_letter/__init__.py", "import httpx", "HTTP stays in connectors", "dead_letter -> httpx (l."),
    ("worker/__init__.py", "import writeback", "nobody imports the front door", "worker -> writeback (l."),
    (
        "topics/log/contract.py",
        "import topics.kafka.log",
        "topics: layers",
        "topics.log.contract -> topics.kafka.log (l.",
    ),
    ("topics/stray.py", "", "topics: layers", "not listed as layers:\n\n- topics.stray\n"),
    (
        "connectors/engine/__init__.py",
        "import connectors.saas.http.connector",
        "connectors: layers",
        "connectors.engine -> connectors.saas.http.connector (l.",
    ),
    (
        "connectors/engine/template/text.py",
        "import connectors.engine.runner.plan",
        "connectors.engine: layers",
        "connectors.engine.template.text -> connectors.engine.runner.plan (l.",
    ),
    (
        "dead_letter/letter/letter.py",
        "import dead_letter.store.rows",
        "dead_letter: layers",
        "dead_letter.letter.letter -> dead_letter.store.rows (l.",
    ),
    (
        "worker/engine/lane/lane.py",
        "import worker.engine.dispatch.dispatch",
        "worker.engine: layers",
        "worker.engine.lane.lane -> worker.engine.dispatch.dispatch (l.",
    ),
    ("pq/receipt.py", "import pq._session", "pq: layers", "pq.receipt -> pq._session (l."),
    (
        "worker/engine/lane/assignment.py",
        "import worker.engine.lane.lane",
        "no circle of imports",
        ".assignment -> .lane (1 import)",
    ),
]
"""Forbidden imports: where, the line, the contract that forbids it, and how its report names it."""


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What import-linter reports of each contract when all of them are put in; only what is broken is reported."""
    folder = tmp_path_factory.mktemp("planted")
    for room in ROOMS:
        shutil.copytree(ROOT / room, folder / room, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("writeback.py", "pyproject.toml"):
        shutil.copy(ROOT / name, folder)
    for module, line, _, _ in PLANTED:
        with (folder / module).open("a", encoding="utf-8") as source:
            source.write(f"\n{line}\n")

    program = "import sys; sys.path.insert(0, '.'); from importlinter.cli import lint_imports; sys.exit(lint_imports())"
    done = subprocess.run(
        [sys.executable, "-P", "-c", program], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1, done.stdout + done.stderr
    parts = re.split(r"^(\S.*)\n-+\n", done.stdout.partition("Broken contracts\n")[2], flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


@pytest.mark.parametrize(("module", "line", "contract", "reported"), PLANTED)
def test_the_import_rules_are_in_force(
    module: str, line: str, contract: str, reported: str, broken: dict[str, str]
) -> None:
    """A forbidden import, put in on purpose, is reported by the contract that forbids it."""
    assert reported in broken[contract]


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_shows_its_architecture(room: str) -> None:
    """A room is a handful of folders and files, and no two of its files share a prefix that a folder should be."""
    shown = [path for path in (ROOT / room).iterdir() if path.suffix in {"", ".py"} and not path.name.startswith("_")]
    files = (ROOT / room).rglob("[a-z]*_*.py")
    shared = Counter(path.parent / path.stem.partition("_")[0] for path in files)

    assert len(shown) <= 16
    assert [str(prefix) for prefix, files in shared.items() if files > 1 or prefix.is_dir()] == []


PLANNED_ONLY = {"connectors/http.py", "topics/stray.py"}
"""What the design had, told in decisions.md; and what a test below puts in on purpose."""


def test_every_path_that_is_named_exists() -> None:
    """Comments, docstrings and pages lead to files and folders that are there; the changelog tells of the past."""
    sources = [path for room in (*ROOMS, "tests", "docs") for path in (ROOT / room).rglob("*.py")]
    pages = [page for page in PAGES if page.name != "CHANGELOG.md"]
    path = re.compile(
        r"(?<![\w/.-])(?:topics|worker|connectors|dead_letter|pq|tests|docs)/[\w/]*(?:\.(?:py|md|svg)|/(?=`))"
    )
    texts = {source: source.read_text(encoding="utf-8") for source in (*sources, *pages)}
    named = {(str(source.relative_to(ROOT)), name) for source, text in texts.items() for name in path.findall(text)}

    assert len(named) > 100
    assert [one for one in sorted(named) if one[1] not in PLANNED_ONLY and not (ROOT / one[1]).exists()] == []


def test_the_architecture_page_shows_every_room_of_the_worker() -> None:
    """Each folder of the worker's way is on the page or in its picture."""
    page = (ROOT / "docs" / "explanation" / "architecture.md").read_text(encoding="utf-8")
    picture = (ROOT / "docs" / "architecture.svg").read_text(encoding="utf-8")
    folders = {folder.parent.name for folder in (ROOT / "worker").glob("*/__init__.py")} - {"demo", "process"}

    assert [name for name in sorted(folders) if f"worker/{name}/" not in page and f">{name}/" not in picture] == []


def test_the_front_door_speaks_neither_kafka_nor_http() -> None:
    """writeback.py, which import-linter cannot read, leaves both to the rooms."""
    tree = ast.parse((ROOT / "writeback.py").read_text(encoding="utf-8"))
    plain = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    imported = plain | {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}

    assert {name.partition(".")[0] for name in imported} & {"kafka", "httpx", "aiohttp"} == set()


def _targets() -> set[str]:
    return set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_make_commands_in_the_pages_exist(page: Path) -> None:
    """Every `make ...` that a page tells people to type is a target of the Makefile."""
    text = page.read_text(encoding="utf-8")
    told = set(re.findall(r"`make ([a-z]+)", text)) | set(re.findall(r"^(?:\$ )?make ([a-z]+)", text, re.MULTILINE))

    assert told <= _targets()


def test_help_is_what_make_says_by_itself() -> None:
    """`make` alone explains and changes nothing."""
    said = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, check=True).stdout

    assert all(f"make {target} " in said for target in ("demo", "test", "check", "bench", "kafka"))


def _test_functions() -> list[tuple[str, str | None]]:
    return [
        (f"{path.relative_to(ROOT)}::{node.name}", ast.get_docstring(node))
        for path in sorted((ROOT / "tests").rglob("test_*.py"))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.name.startswith("test_")
    ]


def test_every_test_says_what_it_promises() -> None:
    """Each test has a docstring: the behaviour that it holds the project to."""
    assert [name for name, promise in _test_functions() if not promise] == []


@pytest.mark.acceptance
@pytest.mark.timeout(300)
def test_a_fresh_install_brings_the_command(tmp_path: Path) -> None:
    """`pip install .` into an empty environment gives a working `writeback`, types and data files included."""
    source = tmp_path / "source"
    shutil.copytree(ROOT, source, ignore=shutil.ignore_patterns(".*", "__pycache__", "*.egg-info", "build", "tests"))
    subprocess.run([sys.executable, "-m", "venv", str(tmp_path / "venv")], check=True)
    python = tmp_path / "venv/bin/python"
    pip = (str(python), "-m", "pip", "--disable-pip-version-check", "--quiet")
    subprocess.run([*pip, "wheel", "--no-deps", "--wheel-dir", str(tmp_path), str(source)], check=True)
    (built,) = tmp_path.glob("writeback-*.whl")
    subprocess.run([*pip, "install", "--constraint", str(ROOT / "constraints.txt"), str(built)], check=True)

    said = subprocess.run(
        [tmp_path / "venv/bin/writeback", "--help"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    packed = set(zipfile.ZipFile(built).namelist())
    data = {
        str(path.relative_to(ROOT))
        for room in ROOMS
        for pattern in ("py.typed", "*.yaml", "*.json", "*.csv", "*.py")
        for path in (ROOT / room).rglob(pattern)
    }

    assert "Usage: writeback" in said.stdout
    assert data - packed == set()
