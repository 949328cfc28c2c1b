from __future__ import annotations

import platform
import subprocess
import sys

import pytest

PROGRAM = """
import sys, threading
from pathlib import Path
from worker.process.malloc import share_one_arena

if sys.argv[1] == "shared":
    share_one_arena()
together = threading.Barrier(8)

def work():
    together.wait()
    kept = [bytes(50_000) for _ in range(20)]
    together.wait()
    if together.wait() == 0:
        regions = [line.split("-")[0] for line in Path("/proc/self/maps").read_text().splitlines()]
        print(sum(int(start, 16) % 2**26 == 0 for start in regions))
    together.wait()
    del kept

threads = [threading.Thread(target=work) for _ in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library has no such arenas")
def test_threads_share_one_arena() -> None:
    """glibc aligns each further arena to 64 MiB: eight threads have several by default, and none in a worker.

    One of another mapping's may begin at such a place by chance.
    """
    default, shared = (
        int(subprocess.run([sys.executable, "-c", PROGRAM, how], capture_output=True, text=True, check=True).stdout)
        for how in ("default", "shared")
    )

    assert shared <= 2 < default
