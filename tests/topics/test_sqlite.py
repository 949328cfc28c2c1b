"""The embedded log keeps the contract, and what only it promises."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conformance.log import LogContract


class TestSqlite(LogContract):
    @pytest.fixture
    def log_url(self, tmp_path: Path) -> str:
        return f"sqlite:///{tmp_path / 'log.db'}"
