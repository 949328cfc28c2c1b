"""Where the embedded log may lie: a file on a disk of this machine."""

from __future__ import annotations

import os
import re
from pathlib import Path

from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from topics.errors import SettingsError

NETWORK = {
    *("nfs", "nfs4", "cifs", "smb", "smb2", "smb3", "smbfs", "9p", "afs", "ceph", "glusterfs", "lustre", "beegfs"),
    *("gpfs", "ncpfs", "davfs", "coda", "fuse.sshfs", "fuse.glusterfs", "fuse.ceph", "fuse.s3fs", "fuse.rclone"),
    *("fuse.gcsfuse", "fuse.davfs2", "fuse.goofys", "fuse.blobfuse", "fuse.blobfuse2", "fuse.mount-s3", "fuse.juicefs"),
}
"""File systems without shared memory and reliable locks between machines, which SQLite's WAL needs."""

MOUNTS = Path("/proc/mounts")


def path_of(url: str) -> Path:
    """The file that ``sqlite:///path`` names, absolute, ``~`` expanded.

    Raises ``SettingsError`` when it names none, or one on a network file system.
    """
    try:
        database = make_url(url).database
    except ArgumentError as error:
        raise SettingsError(f"WRITEBACK_LOG is {url!r}; it is sqlite:///path/to/log.db or kafka://host:9092") from error
    if not database or database == ":memory:":
        raise SettingsError(f"WRITEBACK_LOG is {url!r}: it names no file; it is sqlite:///path/to/log.db")
    path = Path(os.path.realpath(Path(database).expanduser()))
    mounts = MOUNTS.read_text(errors="surrogateescape") if MOUNTS.exists() else ""
    kind = filesystem_of(path, mounts)
    if kind in NETWORK:
        raise SettingsError(
            f"WRITEBACK_LOG: {path} lies on a network file system ({kind}), where SQLite loses data; "
            "choose a file on a local disk, or kafka://host:9092 for more than one machine"
        )
    return path


def filesystem_of(path: Path, mounts: str) -> str:
    """The type of the file system that holds an absolute path, from the text of ``/proc/mounts``; "" if unknown."""
    best, kind = -1, ""
    for line in mounts.splitlines():
        fields = line.split(" ")
        if len(fields) < 3:
            continue
        mount = Path(re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), fields[1]))
        # >=: of several mounts at one path the last is in effect
        if path.is_relative_to(mount) and len(mount.parts) >= best:
            best, kind = len(mount.parts), fields[2]
    return kind
