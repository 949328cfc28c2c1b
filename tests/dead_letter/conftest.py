from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from dead_letter.store.store import LetterStore
from topics.log import Log
from topics.names import DEFAULT
from topics.open import open_log
from topics.store import open_store


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Log]:
    log = open_log(f"sqlite:///{tmp_path}/log.db")
    log.ensure_topics([*DEFAULT.system_topics, DEFAULT.events_spec("hubspot", partitions=2)])
    yield log
    log.close()


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def store_engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Engine]:
    """The database of the letters, each kind in turn."""
    sqlite = request.param == "sqlite"
    engine = open_store(f"sqlite:///{tmp_path}/store.db" if sqlite else request.getfixturevalue("postgres_url"))
    yield engine
    engine.dispose()


@pytest.fixture
def store(store_engine: Engine) -> LetterStore:
    return LetterStore(store_engine)
