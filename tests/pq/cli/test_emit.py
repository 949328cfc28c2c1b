"""``writeback emit`` and ``writeback import``, as people type them."""

from __future__ import annotations

import gzip
import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest

from connectors.connections.store import Connections
from topics.cli.console import run
from topics.cli.context import CommandContext
from topics.event.event import Event, Operation
from writeback import cli

Emitted = Callable[[str], list[Event]]


@pytest.fixture(autouse=True)
def _connections(connections: Connections) -> None:
    """Every command here finds Hubspot and Slack."""


def writeback(*args: str) -> int:
    return run(cli, CommandContext(), args)


def csv_file(tmp_path: Path, content: str | bytes, name: str = "contacts.csv") -> str:
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(path)


IMPORT = ("--connection", "hubspot", "--object", "contact", "--operation", "upsert", "--key", "email")
CONTACTS = "email,firstname\njohn@acme.com,John\njane@acme.com,Jane\n"


def test_emit(emitted: Emitted, capsys: pytest.CaptureFixture[str]) -> None:
    """The line of the README: one event, whose id is printed."""
    code = writeback("emit", "hubspot", "add", "contact", '{"email": "john@acme.com"}')

    (event,) = emitted("hubspot")
    assert (code, capsys.readouterr().out) == (0, f"{event.id}\n")
    assert (event.operation, event.object, event.fields) == (Operation.ADD, "contact", {"email": "john@acme.com"})
    assert event.options.reply_to is None


def test_emit_with_a_key(emitted: Emitted) -> None:
    """--key wins over the connector's own."""
    writeback("emit", "hubspot", "add", "contact", '{"email": "john@acme.com"}', "--key", "mine")

    assert emitted("hubspot")[0].key == "mine"


def typed(text: bytes) -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BytesIO(text), encoding="utf-8")


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (b'{"n": NaN}', "NaN"),
        (b'{"email": "caf\xe9"}', "not UTF-8"),
        (b'{"text": "' + b"x" * 2_000_000 + b'"}', "2000380 bytes"),
        (b'{"n": "\\ud800"}', "surrogate"),
        (b'{"n": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "nested deeper"),
    ],
    ids=["NaN", "latin-1", "large", "surrogate", "deep"],
)
def test_one_bad_line_stops_no_stream(
    line: bytes, told: str, emitted: Emitted, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What cannot be sent is named by its line; what is before and behind it is sent, and its ids are printed."""
    stream = b'\xef\xbb\xbf{"email": "a@b.c"}\n' + line + b'\n{"amount": 12345678901234567.89}\n'
    monkeypatch.setattr("sys.stdin", typed(stream))
    code = writeback("emit", "hubspot", "add", "contact", "-")

    said = capsys.readouterr()
    assert (code, len(said.out.split())) == (3, 2)
    assert said.err.startswith("line 2: ")
    assert told in said.err
    assert [event.fields for event in emitted("hubspot")] == [
        {"email": "a@b.c"},
        {"amount": Decimal("12345678901234567.89")},
    ]


def test_emit_lines_of_stdin(
    emitted: Emitted, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Bad lines are told by number, the others are sent, the exit code says that not all were."""
    monkeypatch.setattr("sys.stdin", typed(b'{"email": "a@b.c"}\n\n[1]\n{"email": "d@e.f"}\nnope\n{"a": 1\n'))
    code = writeback("emit", "hubspot", "add", "contact", "-", "--json")

    said = capsys.readouterr()
    assert code == 3
    assert [json.loads(line)["status"] for line in said.out.splitlines()] == ["sent", "sent"]
    assert "line 3: a JSON list, not an object" in said.err
    assert "line 5: not JSON: a value is missing at character 1" in said.err
    assert "line 6: not JSON: a comma or a closing bracket is missing at its end" in said.err
    assert [event.fields["email"] for event in emitted("hubspot")] == ["a@b.c", "d@e.f"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16-le"])
def test_emit_reads_marked_files_that_were_joined(
    encoding: str, emitted: Emitted, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each begins with a byte order mark, or with two; behind them stands the end of a file of DOS."""
    text = '\ufeff\ufeff{"email": "a@b.c"}\n\ufeff{"email": "d@e.f"}\n\x1a'
    monkeypatch.setattr("sys.stdin", typed(text.encode(encoding)))
    code = writeback("emit", "hubspot", "add", "contact", "-")

    assert (code, capsys.readouterr().err) == (0, "")
    assert [event.fields["email"] for event in emitted("hubspot")] == ["a@b.c", "d@e.f"]


LINES = '{"email": "a@b.c"}\r\n\r\n{"email": "zo\u010a"}\r\n{"email": "d@e.f"'


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_emit_reads_the_encodings_of_windows(
    encoding: str, emitted: Emitted, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """By their byte order mark, and UTF-16 without one; the lines keep their numbers."""
    monkeypatch.setattr("sys.stdin", typed(LINES.encode(encoding)))
    code = writeback("emit", "hubspot", "add", "contact", "-")

    assert code == 3
    assert capsys.readouterr().err.startswith("line 4: not JSON")
    assert [event.fields["email"] for event in emitted("hubspot")] == ["a@b.c", "zo\u010a"]


@pytest.mark.parametrize(
    ("stream", "told"),
    [
        (gzip.compress(b'{"email": "a@b.c"}\n'), "compressed with gzip: unpack it: gunzip FILE"),
        (b"PK\x03\x04\n", "`writeback import FILE` reads both"),
        (b'{"email": "caf\xe9"}', "iconv -f windows-1252 -t utf-8"),
    ],
    ids=["gzip", "zip", "windows-1252"],
)
def test_emit_says_what_a_stream_is(
    stream: bytes, told: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is no JSON in UTF-8 or UTF-16 is named, with what to do."""
    monkeypatch.setattr("sys.stdin", typed(stream))
    code = writeback("emit", "hubspot", "add", "contact", "-")

    assert code in (1, 2)
    assert told in capsys.readouterr().err


def test_emit_wait_without_a_worker(capsys: pytest.CaptureFixture[str]) -> None:
    """Time is up: pending, why, and exit code 3."""
    code = writeback("emit", "hubspot", "add", "contact", "{}", "--wait", "--wait-seconds", "0", "--json")

    assert code == 3
    assert json.loads(capsys.readouterr().out)["status"] == "pending"


@pytest.mark.parametrize(
    ("args", "code", "told"),
    [
        (("hubspot", "add", "contact", "[1]"), 2, "FIELDS: a JSON list"),
        (("hubspot", "add", "contact", "{"), 2, "FIELDS: not JSON"),
        (("hubspot", "explode", "contact", "{}"), 2, "'explode' is not one of"),
        (("odoo", "add", "contact", "{}"), 1, "there are: Hubspot, Slack"),
        (("hubspot", "add", "invoice", "{}"), 1, "unknown function invoice.add"),
    ],
)
def test_emit_mistakes(args: tuple[str, ...], code: int, told: str, capsys: pytest.CaptureFixture[str]) -> None:
    """One clean message on stderr, an exit code, no traceback."""
    got = writeback("emit", *args)

    said = capsys.readouterr()
    assert (got, said.out) == (code, "")
    assert told in said.err
    assert "Traceback" not in said.err


def test_import(emitted: Emitted, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The line of the README: an event per row, keyed as the connector keys them, yielding to live events."""
    code = writeback("import", csv_file(tmp_path, CONTACTS), *IMPORT)

    john, jane = emitted("hubspot")
    assert (code, capsys.readouterr().out) == (0, "2 sent, 0 rejected\n")
    assert (john.operation, john.object, john.key) == (Operation.UPSERT, "contact", "john@acme.com")
    assert john.fields == {"email": "john@acme.com", "firstname": "John"}
    assert jane.options.backfill
    assert john.source == "writeback import:contacts.csv"


def test_importing_the_same_file_again_makes_the_same_events(emitted: Emitted, tmp_path: Path) -> None:
    """Same line, same content: same id, whatever the file is called. --run makes new ones; so does a correction."""
    writeback("import", csv_file(tmp_path, CONTACTS), *IMPORT)
    writeback("import", csv_file(tmp_path, CONTACTS, "copy.csv"), *IMPORT)
    writeback("import", csv_file(tmp_path, CONTACTS), *IMPORT, "--run", "second")
    writeback("import", csv_file(tmp_path, CONTACTS.replace("John", "Jon")), *IMPORT)

    ids = [event.id for event in emitted("hubspot")]
    assert ids[0:2] == ids[2:4]
    assert len({*ids[0:2], *ids[4:6], ids[6]}) == 5
    assert ids[7] == ids[1]


def test_bad_rows_are_told_and_kept(emitted: Emitted, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """None is skipped in silence: line and reason on stderr, the row in the rejects file, exit code 3."""
    content = b"email,firstname\n,X\njohn@acme.com,John\nj\xe9@acme.com,J\na,b,c\n"
    code = writeback("import", csv_file(tmp_path, content), *IMPORT)

    said = capsys.readouterr()
    assert (code, said.out) == (3, f"1 sent, 3 rejected (see {tmp_path}/contacts.rejects.csv)\n")
    assert said.err.splitlines() == [
        "line 2 rejected: email is empty, and it is the key",
        "line 4 rejected: email is not UTF-8; with --encoding windows-1252 it reads 'jé@acme.com'",
        "line 5 rejected: 3 cells under 2 columns",
    ]
    assert len(emitted("hubspot")) == 1
    assert (tmp_path / "contacts.rejects.csv").read_bytes().count(b"\r\n") == 4


def test_a_row_that_no_event_can_hold_is_rejected(
    emitted: Emitted, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """1e999, half a surrogate pair, JSON too deep, a NUL in the key: each is told, and the last row is sent."""
    bad = ["b@x.org,1e999", r'c@x.org,"{""a"": ""\ud83d""}"', "d@x.org," + "[" * 100_000, "e\0@x.org,1"]
    content = "\n".join(["email,n", *bad, "f@x.org,3"]).encode()
    for mode in (["--dry-run"], []):
        code = writeback("import", csv_file(tmp_path, content), *IMPORT, "--types", "n=json", *mode)
        told = [line for line in capsys.readouterr().err.splitlines() if "rejected:" in line]
        assert (code, [line.split()[1] for line in told]) == (3, ["2", "3", "4", "5"])

    assert [event.fields for event in emitted("hubspot")] == [{"email": "f@x.org", "n": 3}]


def test_a_corrected_mapping_makes_another_event(emitted: Emitted, tmp_path: Path) -> None:
    """The id says what is sent: a vendor with idempotency keys must not take the corrected event for the wrong one."""
    content = b"email,right,wrong\na@x.org,1,2\n"
    for mapping in (["wrong=phone", "right="], ["right=phone", "wrong="], ["right=phone", "wrong="]):
        maps = [option for pair in mapping for option in ("--map", pair)]
        writeback("import", csv_file(tmp_path, content), *IMPORT, *maps)

    wrong, right, again = emitted("hubspot")
    assert wrong.id != right.id == again.id


def test_a_row_larger_than_an_event_is_rejected(emitted: Emitted, tmp_path: Path) -> None:
    """The rows around it go."""
    content = f"email,firstname\na@b.c,x\nb@b.c,{'x' * 1_048_000}{'y' * 500}\nc@b.c,x\n"
    code = writeback("import", csv_file(tmp_path, content), *IMPORT)

    assert code == 3
    assert [event.fields["email"] for event in emitted("hubspot")] == ["a@b.c", "c@b.c"]


def test_dry_run(emitted: Emitted, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Shows what would be sent, checks every row, sends nothing."""
    file = csv_file(tmp_path, "Mail;age\njohn@acme.com;7\n;8\n")
    code = writeback("import", file, *IMPORT, "--map", "Mail=email", "--types", "age=int", "--dry-run", "--json")

    said = json.loads(capsys.readouterr().out)
    assert (code, said["rows"], said["rejected"]) == (3, 1, 1)
    assert said["first"][0]["fields"] == {"email": "john@acme.com", "age": 7}
    assert said["first"][0]["key"] == "john@acme.com"
    assert emitted("hubspot") == []


def test_from_line(emitted: Emitted, tmp_path: Path) -> None:
    """Goes on where another run was stopped."""
    writeback("import", csv_file(tmp_path, CONTACTS), *IMPORT, "--from-line", "3")

    assert [event.fields["email"] for event in emitted("hubspot")] == ["jane@acme.com"]


@pytest.mark.parametrize(
    ("args", "code", "told"),
    [
        (("nothing.csv", *IMPORT), 2, "nothing.csv: No such file"),
        (("contacts.csv", "--connection", "hubspot", "--object", "contact", "--key", "mail"), 1, "--key names 'mail'"),
        (("contacts.csv", *IMPORT, "--map", "email"), 2, "--map email: give COLUMN=VALUE"),
        (("contacts.csv", "--connection", "odoo", "--object", "contact"), 1, "there are: Hubspot, Slack"),
        (("contacts.csv", "--connection", "hubspot", "--object", "invoice"), 1, "unknown function invoice.upsert"),
    ],
)
def test_import_mistakes(
    args: tuple[str, ...], code: int, told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Found before the first event is sent."""
    csv_file(tmp_path, CONTACTS)
    got = writeback("import", *args)

    assert got == code
    assert told in capsys.readouterr().err


def test_ctrl_c_flushes_and_says_where_to_go_on(emitted: Emitted, tmp_path: Path) -> None:
    """What was sent is in the log, and the line to resume from is told."""
    process = subprocess.Popen(
        [sys.executable, "-m", "writeback", "import", "-", *IMPORT],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=tmp_path,
        env=_environment(),
    )  # fmt: skip
    try:
        assert process.stdin is not None
        process.stdin.write(CONTACTS.encode())
        process.stdin.flush()
        while _count(emitted) < 2:
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)
    finally:
        process.kill()

    assert process.returncode == 130
    assert b"interrupted; go on with --from-line 4" in errors
    assert b"Traceback" not in errors


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}


def _count(emitted: Emitted) -> int:
    try:
        return len(emitted("hubspot"))
    except Exception:  # noqa: BLE001 - the topic is not there yet
        return 0
