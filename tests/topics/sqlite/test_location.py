"""Where the embedded log may lie."""

from __future__ import annotations

from pathlib import Path

import pytest

from topics.errors import SettingsError
from topics.open import open_log
from topics.sqlite import location as sqlite_place

MOUNTS = r"""/dev/vda / ext4 rw,relatime 0 0
proc /proc proc rw 0 0
nas:/export /mnt/nas nfs4 rw 0 0
//server/share /mnt/with\040space cifs rw 0 0
me@host: /mnt/ssh fuse.sshfs rw 0 0
C: /mnt/c 9p rw 0 0
/dev/vdb /mnt/nas/local xfs rw 0 0
tmpfs /over tmpfs rw 0 0
nas:/over /over nfs rw 0 0
broken
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/home/me/log.db", "ext4"),
        ("/mnt/nas/log.db", "nfs4"),
        ("/mnt/nas2/log.db", "ext4"),
        ("/mnt/nas/local/log.db", "xfs"),
        ("/mnt/with space/log.db", "cifs"),
        ("/mnt/ssh/deep/er/log.db", "fuse.sshfs"),
        ("/mnt/c/log.db", "9p"),
        ("/over/log.db", "nfs"),
    ],
)
def test_filesystem_of(path: str, kind: str) -> None:
    """The innermost mount counts, and the last of several on the same place."""
    assert sqlite_place.filesystem_of(Path(path), MOUNTS) == kind


def test_unknown_filesystem() -> None:
    """Without a list of mounts nothing is known, and nothing refused."""
    assert sqlite_place.filesystem_of(Path("/home/me/log.db"), "") == ""


def test_network_filesystem_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A log on a network file system is a wrong setting; the message names the file, the kind, and the way out."""
    mounts = tmp_path / "mounts"
    mounts.write_text(f"/dev/vda / ext4 rw 0 0\nnas:/x {tmp_path} nfs4 rw 0 0\n")
    monkeypatch.setattr(sqlite_place, "MOUNTS", mounts)

    with pytest.raises(SettingsError, match=r"WRITEBACK_LOG: .*/log\.db .*network file system \(nfs4\).*kafka://"):
        open_log(f"sqlite:///{tmp_path}/log.db")


def test_link_onto_a_network_filesystem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A link does not hide where the file lies."""
    (tmp_path / "nas").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "nas")
    mounts = tmp_path / "mounts"
    mounts.write_text(f"/dev/vda / ext4 rw 0 0\nnas:/x {tmp_path}/nas nfs rw 0 0\n")
    monkeypatch.setattr(sqlite_place, "MOUNTS", mounts)

    with pytest.raises(SettingsError, match="network"):
        open_log(f"sqlite:///{tmp_path}/link/log.db")


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:", "sqlite:", "sqlite:///"])
def test_no_file(url: str) -> None:
    """A log without a file is a wrong setting."""
    with pytest.raises(SettingsError, match="WRITEBACK_LOG"):
        open_log(url)


def test_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """``~`` is the home folder."""
    monkeypatch.setenv("HOME", str(tmp_path))

    assert sqlite_place.path_of("sqlite:///~/.writeback/log.db") == tmp_path / ".writeback" / "log.db"
