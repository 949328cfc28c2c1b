"""Real warehouses: ``warehouse_url`` is a fresh, empty one; a test that asks for it runs on each kind."""

from __future__ import annotations

from pathlib import Path

import pytest

KINDS = ("sqlite", "duckdb", pytest.param("postgresql", marks=pytest.mark.postgres))


@pytest.fixture(params=KINDS)
def warehouse_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "postgresql":
        given: str = request.getfixturevalue("postgres_url")
        return given
    return f"{request.param}:///{tmp_path}/warehouse.db"
