import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from dead_letter.store.store import LetterStore
from tests.conformance.letters import LetterStoreContract
from tests.dead_letter.samples import a_letter, arrivals
from topics.errors import StoreUnavailable
from topics.store import open_store


class TestSqlite(LetterStoreContract):
    @pytest.fixture
    def engine(self, tmp_path: Path) -> Iterator[Engine]:
        engine = open_store(f"sqlite:///{tmp_path}/store.db")
        yield engine
        engine.dispose()


@pytest.mark.postgres
class TestPostgresql(LetterStoreContract):
    @pytest.fixture
    def engine(self, postgres_url: str) -> Iterator[Engine]:
        engine = open_store(postgres_url)
        yield engine
        engine.dispose()

    def test_two_at_once(self, engine: Engine) -> None:
        """An archive and a listing that fill the store at the same time keep every letter once."""
        letters = [a_letter(offset) for offset in range(200)]
        stores = [LetterStore(engine), LetterStore(engine)]

        def fill(store: LetterStore) -> None:
            for start in range(0, 200, 10):
                store.save_batch(arrivals(*letters[start : start + 10], start=start))

        threads = [threading.Thread(target=fill, args=(store,)) for store in stores]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert stores[0].count() == 200
        assert stores[0].marks() == {0: 200}


def test_a_store_that_is_away_is_said_without_its_password() -> None:
    """The error names the address and never the password."""
    engine = open_store("postgresql://ada:secret@127.0.0.1:1/letters")

    with pytest.raises(StoreUnavailable, match=r"127\.0\.0\.1:1") as refused:
        LetterStore(engine).count()
    assert "secret" not in str(refused.value)
