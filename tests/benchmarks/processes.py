"""CPU and memory of processes and their children, from /proc."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

TICK = 1 / os.sysconf("SC_CLK_TCK")
MB = 1_000_000


def tree(roots: Iterable[int]) -> list[int]:
    """These processes and all their descendants that live."""
    parents = {pid: fields[1] for pid in _pids() if (fields := _stat(pid))}
    found = [pid for pid in roots if pid in parents]
    for pid in found:
        found += [child for child, parent in parents.items() if parent == str(pid)]
    return found


def cpu_seconds(roots: Iterable[int]) -> float:
    """User and system time so far, that of children that ended included."""
    return sum(sum(int(field) for field in fields[11:15]) for pid in tree(roots) if (fields := _stat(pid))) * TICK


def peak_mb(roots: Iterable[int]) -> float:
    """The highest resident memory that each had, together."""
    return sum(_status(pid, "VmHWM") for pid in tree(roots)) / MB


def resident_mb(roots: Iterable[int]) -> float:
    return sum(_status(pid, "VmRSS") for pid in tree(roots)) / MB


def _pids() -> list[int]:
    return [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]


def _stat(pid: int) -> list[str]:
    """The fields behind the command's name, whose own may hold blanks."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def _status(pid: int, name: str) -> int:
    try:
        text = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    line = next((line for line in text.splitlines() if line.startswith(name + ":")), "x 0")
    return int(line.split()[1]) * 1_024
