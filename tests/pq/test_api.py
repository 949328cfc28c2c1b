"""What ``import pq`` promises."""

from __future__ import annotations

import pq


def test_all_is_true() -> None:
    """__all__ names what is there and nothing else that is public."""
    public = {name for name, value in vars(pq).items() if not name.startswith("_") and not _is_module(value)}

    assert len(set(pq.__all__)) == len(pq.__all__)
    assert public == set(pq.__all__)


def _is_module(value: object) -> bool:
    return type(value).__name__ == "module"
