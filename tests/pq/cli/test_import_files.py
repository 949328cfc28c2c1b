"""``writeback import`` of everyday files, and what is told when it cannot go on."""

from __future__ import annotations

import gzip
import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import openpyxl
import pytest

from connectors.connections.store import Connections
from topics.cli.console import run
from topics.cli.context import CommandContext
from topics.event.event import Event
from writeback import cli

Emitted = Callable[[str], list[Event]]
IMPORT = ("--connection", "hubspot", "--object", "contact", "--key", "email")
SMALL_DISK = 3_000_000
"""Bytes that a file may have; the log's is full after some thousand events."""


@pytest.fixture(autouse=True)
def _connections(connections: Connections) -> None:
    """Every command here finds Hubspot."""


def writeback(*args: str) -> int:
    return run(cli, CommandContext(), args)


def saved(name: str, content: bytes) -> str:
    Path(name).write_bytes(content)
    return name


def test_a_workbook_is_imported(emitted: Emitted, capsys: pytest.CaptureFixture[str]) -> None:
    """Its sheet is named, its values are the event's, and what is rejected can be opened with Excel."""
    book = openpyxl.Workbook()
    book.active.append(["other"])
    sheet = book.create_sheet("2026")
    for row in (["email", "age"], ["a@x.org", 7], ["b@x.org", "#N/A"], ["", "José"]):
        sheet.append(row)
    book.save("book.xlsx")
    code = writeback("import", "book.xlsx", "--sheet", "2026", *IMPORT, "--infer")

    said = capsys.readouterr()
    assert (code, said.out) == (3, "1 sent, 2 rejected (see book.rejects.csv)\n")
    assert said.err.splitlines() == [
        "line 3 rejected: cell B3 holds the error #N/A",
        "line 4 rejected: email is empty, and it is the key",
    ]
    assert [event.fields for event in emitted("hubspot")] == [{"email": "a@x.org", "age": 7}]
    assert Path("book.rejects.csv").read_bytes().startswith(b"\xef\xbb\xbfimport_line,import_reason,email,age\r\n")


def test_a_dry_run_shows_the_beginning_of_a_large_cell(capsys: pytest.CaptureFixture[str]) -> None:
    """A terminal is not flooded; for programs it is whole."""
    saved("l.csv", b"email,text,list\na@x.org," + b"x" * 300_000 + b',"[' + b"1," * 500 + b'1]"\n')
    code = writeback("import", "l.csv", *IMPORT, "--types", "list=json", "--dry-run")
    shown = capsys.readouterr().out
    writeback("import", "l.csv", *IMPORT, "--types", "list=json", "--dry-run", "--json")

    assert code == 0
    assert '"text": "' + "x" * 200 + '... (300,000 characters)"' in shown
    assert len(shown) < 2_000
    assert json.loads(capsys.readouterr().out)["first"][0]["fields"]["text"] == "x" * 300_000


def test_rejected_rows_of_any_encoding_are_imported_again(emitted: Emitted) -> None:
    """They are UTF-8 with a mark: corrected and imported as they are, without --encoding."""
    saved("w.csv", "email,city\n,Liège\n".encode("windows-1252"))
    first = writeback("import", "w.csv", *IMPORT, "--encoding", "windows-1252")
    rejects = Path("w.rejects.csv")
    rejects.write_bytes(rejects.read_bytes().replace(b",,Li", b",a@x.org,Li"))

    assert (first, writeback("import", "w.rejects.csv", *IMPORT)) == (3, 0)
    assert [event.fields for event in emitted("hubspot")] == [{"email": "a@x.org", "city": "Liège"}]


@pytest.mark.parametrize(
    ("content", "args", "code", "told"),
    [
        (b"email\na@x.org\n", ("--rejects", "none/r.csv"), 1, "cannot be written to none/r.csv (No such file"),
        (b"email\na@x.org\n", ("--rejects", "."), 1, "cannot be written to . (Is a directory)"),
        (b"email\na@x.org\n", ("--rejects", "c.csv"), 2, "c.csv is the file that is imported"),
        (b"email\na@x.org\n", ("--encoding", "utf-9"), 2, "'utf-9' is no encoding that is known here"),
        (b"email\na@x.org\n", ("--sheet", "x"), 1, "--sheet is for workbooks"),
        (b"email\n", ("--object", "invoice"), 1, "unknown function invoice.upsert"),
        (b"email\na@x.org\n", ("--operation", "update"), 2, "update contact needs id; the rows have email (--map"),
        (b"email\na@x.org\n", ("--object", "deal"), 2, '--set unique=\'{"deal": "external_id"}\'` names one'),
        (b"%PDF-1.7\n", (), 1, "a PDF: ask for the table itself"),
        (b"em\xe9il\n", (), 1, "with --encoding windows-1252 it reads 'eméil'"),
    ],
)
def test_what_can_be_checked_is_checked_before_the_first_event(
    content: bytes, args: tuple[str, ...], code: int, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line says what it is, and what to do; nothing is left behind."""
    saved("c.csv", content)
    got = writeback("import", "c.csv", *IMPORT, *args)

    said = capsys.readouterr()
    assert (got, said.out) == (code, "")
    assert told in said.err
    assert not list(Path().glob("*rejects*"))


def test_a_file_that_breaks_off(emitted: Emitted, capsys: pytest.CaptureFixture[str]) -> None:
    """What was sent is told, and the line to go on from."""
    whole = gzip.compress("".join(["email\n", *(f"a{n}@{os.urandom(40).hex()}.org\n" for n in range(5_000))]).encode())
    saved("c.csv.gz", whole[: len(whole) // 2])
    code = writeback("import", "c.csv.gz", *IMPORT, "--json")

    said = capsys.readouterr()
    sent = json.loads(said.out)["sent"]
    assert code == 1
    assert sent == len(emitted("hubspot")) > 0
    assert f"cannot be read on after line {sent + 1}: " in said.err
    assert said.err.endswith(f"go on with --from-line {sent + 2}\n")


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}


def on_a_small_disk(*args: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """The command in a process whose files cannot grow: what a full disk does to the log."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (SMALL_DISK, SMALL_DISK))

    return subprocess.run(
        [sys.executable, "-m", "writeback", *args],
        input=stdin, capture_output=True, check=False, timeout=100, preexec_fn=limit,
        env=environment(),
    )  # fmt: skip


def test_an_import_whose_log_is_full(emitted: Emitted) -> None:
    """What the log has is counted, and the line to go on from is told: together they are the whole file."""
    saved("c.csv", "".join(["email\n", *(f"a{n}@{'x' * 200}.org\n" for n in range(20_000))]).encode())
    done = on_a_small_disk("import", "c.csv", *IMPORT, "--at-once", "--json")

    sent, errors = json.loads(done.stdout)["sent"], done.stderr.decode()
    assert (done.returncode, "Traceback" in errors) == (1, False)
    assert "was not taken by the log" in errors
    assert 0 < sent <= len(emitted("hubspot")) <= sent + 1  # one may be in it, and the log could not say so
    assert 2 < int(errors.split("--from-line ")[1]) <= sent + 2


def test_a_stream_whose_log_is_full(emitted: Emitted) -> None:
    """The ids of what the log has are printed, and the line where it ended."""
    lines = b"".join(b'{"email": "a%d@%s.org"}\n' % (n, b"x" * 200) for n in range(20_000))
    done = on_a_small_disk("emit", "hubspot", "upsert", "contact", "-", "--json", stdin=lines)

    told = [json.loads(line) for line in done.stdout.splitlines()]
    sent = [one["id"] for one in told if one["status"] == "sent"]
    assert done.returncode == 3
    errors = done.stderr.decode()
    lost = [line + 1 for line, one in enumerate(told) if one["status"] == "error"]
    assert len(sent) > 0
    assert sent == [event.id for event in emitted("hubspot")][: len(sent)]
    assert f"the log did not take line{'s' if len(lost) > 1 else ''} {lost[0]}" in errors
    assert errors.endswith(f"nothing was read behind line {len(told)}\n")
    assert "Traceback" not in errors


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
def test_memory_does_not_grow_with_the_file(tmp_path: Path, packed: bool) -> None:
    """Ten times the rows take the same memory."""
    code = (
        "import sys; from writeback import cli; from topics.cli.console import run; "
        "from topics.cli.context import CommandContext; "
        f"assert run(cli, CommandContext(), ['import', sys.argv[1], *{list(IMPORT)}, '--dry-run']) == 0; "
        "print(next(line for line in open('/proc/self/status') if line.startswith('VmHWM')))"
    )
    peaks = []
    for rows in (1_000, 10_000):
        note = "note\n" * 400
        text = "".join(["email,note\n", *(f'a{n}@x.org,"{note}"\n' for n in range(rows))]).encode()
        file = saved("c.csv", gzip.compress(text, 1) if packed else text)
        done = subprocess.run(
            [sys.executable, "-c", code, file], capture_output=True, check=True, timeout=100, env=environment()
        )
        peaks.append(int(done.stdout.split()[-2]))

    assert peaks[1] < peaks[0] + 4_000  # kB; the larger file has 20 MB
