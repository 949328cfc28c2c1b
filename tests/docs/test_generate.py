from __future__ import annotations

import subprocess
import sys

from topics.settings import Settings


def test_the_generated_pages_are_current() -> None:
    """Commands, settings and topics read as the code has them; `make docs` writes them."""
    # In a process of its own: click keeps the help option of a command's first caller, which may be another test.
    check = [sys.executable, "-m", "docs.generate", "--check"]
    checked = subprocess.run(check, capture_output=True, text=True, check=False)

    assert (checked.returncode, checked.stderr) == (0, "")


def test_every_setting_says_what_it_means() -> None:
    """No setting is without a description."""
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []
