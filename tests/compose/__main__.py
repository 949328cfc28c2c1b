"""``make check``: say what is wrong with ``compose.yaml``, or that nothing is."""

from __future__ import annotations

import subprocess
import sys

from tests.compose import specification


def main() -> int:
    wrong = specification.mistakes(specification.load())
    for line in wrong:
        print(f"compose.yaml: {line}", file=sys.stderr)
    command = specification.docker_compose()
    if command:
        reader = [*command, "--file", str(specification.COMPOSE), "config", "--quiet"]
        return subprocess.run(reader, check=False).returncode or bool(wrong)
    if not wrong:
        print("compose.yaml keeps the Compose specification")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
