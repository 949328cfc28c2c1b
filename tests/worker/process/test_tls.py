"""What a TLS connection takes."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import asyncio, ssl
from asyncio.sslproto import SSLProtocol
from worker.process.tls import BUFFER, use_small_buffers

async def main():
    use_small_buffers()
    made = SSLProtocol(asyncio.get_running_loop(), asyncio.Protocol(), ssl.create_default_context(), None)
    print(len(made.get_buffer(-1)) == BUFFER)

asyncio.run(main())
"""


def test_a_tls_connection_takes_a_small_buffer() -> None:
    """The switch that asyncio does not have is still where it was; in a process of its own, since it is for all."""
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)

    assert done.stdout == "True\n"
