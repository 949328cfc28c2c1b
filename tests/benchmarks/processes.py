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


def memory_mb(roots: Iterable[int]) -> float:
    """Proportional set size, together: a page that several processes share (forked workers do) counts once."""
    return sum(_pss(pid) for pid in tree(roots)) / MB


def _pids() -> list[int]:
    return [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]


def _stat(pid: int) -> list[str]:
    """The fields behind the command's name, whose own may hold blanks."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def _pss(pid: int) -> int:
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0  # it has ended meanwhile
    line = next((line for line in text.splitlines() if line.startswith("Pss:")), "Pss: 0 kB")
    return int(line.split()[1]) * 1_024
