from __future__ import annotations

from docs import generate
from topics.settings import Settings


def test_the_generated_pages_are_current() -> None:
    """Commands, settings and topics read as the code has them; `make docs` writes them."""
    assert [path.name for path in generate.outdated()] == []


def test_every_setting_says_what_it_means() -> None:
    """No setting is without a description."""
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []
