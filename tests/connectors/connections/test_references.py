"""Secrets that are kept elsewhere: what is read, and what is said when it cannot be."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from connectors.connections import references
from connectors.connections.secrets import SecretBox, describe
from connectors.errors import BadSecret

PRINTS = f"exec:{sys.executable} -c "


@pytest.fixture
def box() -> SecretBox:
    """Without a key: a reference needs none."""
    return SecretBox(None, {})


def test_a_file_is_read_when_it_is_used(box: SecretBox, tmp_path: Path) -> None:
    """A mounted secret that was replaced counts at once; the line break at its end is no part of it."""
    file = tmp_path / "token"
    file.write_text("pat-1\r\n")
    sealed = box.seal(f"file:{file}")
    first = box.open(sealed)
    file.write_text("two\nlines\n")

    assert (sealed, describe(sealed)) == (f"file:{file}", f"file:{file}")
    assert (first, box.open(sealed)) == ("pat-1", "two\nlines")


def test_a_command_is_run_without_a_shell(box: SecretBox) -> None:
    """What it prints, without the line break; a semicolon is no second command."""
    assert box.open(box.seal(PRINTS + "'import sys; print(sys.argv[1:])' ';' $HOME")) == "[';', '$HOME']"


@pytest.mark.parametrize(
    ("reference", "says"),
    [
        ("file:token", "file:/PATH, from the root"),
        ("file:/not/there", "the file /not/there cannot be read .No such file"),
        ("file:/", "the file / cannot be read .Is a directory"),
        ("file:/dev/null", "the file /dev/null gives nothing"),
        ("file:/dev/zero", "gives more than 64 KiB"),
        ("exec:", "exec:COMMAND, as in"),
        ("exec:vault 'kv", "quoted as for a shell"),
        ("exec:/not/there x", "the command /not/there cannot be run .No such file"),
        (PRINTS + '"import sys; print(9**9); sys.exit(3)"', "ended with exit code 3"),
        (PRINTS + '"import sys; sys.stdout.buffer.write(bytes([255]))"', "not UTF-8"),
        (PRINTS + "pass", "gives nothing"),
    ],
)
def test_what_is_wrong_is_said(box: SecretBox, reference: str, says: str) -> None:
    """And nothing of what was read or printed."""
    with pytest.raises(BadSecret, match=says) as raised:
        box.open(reference)

    assert str(9**9) not in str(raised.value)


def test_a_command_has_a_time_limit(box: SecretBox, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that waits for somebody to type is ended, and what it has printed is not shown."""
    monkeypatch.setattr(references, "COMMAND_SECONDS", 0.3)
    with pytest.raises(BadSecret, match=r"did not end in 0\.3 s") as raised:
        box.open(PRINTS + '"import time; print(9**9, flush=True); time.sleep(60)"')

    assert raised.value.__context__ is None or raised.value.__suppress_context__
