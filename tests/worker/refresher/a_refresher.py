"""A refresher in a process of its own, so that it can be killed: ``python -m tests.worker.refresher.a_refresher``."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path

from tests.worker.refresher.stand import Stand
from topics.open import open_log


async def main(url: str, store: str, folder: str, holder: str) -> None:
    stand = Stand(open_log(url), Path(folder), store)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await stand.refresher(holder=holder).run(stop)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
