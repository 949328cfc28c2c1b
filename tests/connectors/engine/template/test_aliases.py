"""Other names for fields, and the keys and requests that are made of them."""

from __future__ import annotations

from typing import Any

import pytest

from connectors.engine.template.aliases import compile_aliases

RESPELL = compile_aliases({"name": ["firstname", "lastname"], "mail": "email"})


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ({"name": "John Doe"}, {"firstname": "John", "lastname": "Doe"}),
        ({"name": " John van  Damme "}, {"firstname": "John van", "lastname": "Damme"}),
        ({"name": "Madonna"}, {"firstname": "Madonna"}),
        ({"name": " "}, {"firstname": " "}),
        ({"name": ""}, {"firstname": ""}),
        ({"name": None}, {"firstname": None}),
        ({"name": 7}, {"firstname": 7}),
        ({"name": "John Doe", "firstname": "Johnny"}, {"firstname": "Johnny", "lastname": "Doe"}),
        ({"firstname": "A", "name": "John Doe", "lastname": None}, {"firstname": "A", "lastname": None}),
        ({"mail": "a@b", "x": 1}, {"email": "a@b", "x": 1}),
        ({"mail": "a@b", "email": "c@d"}, {"email": "c@d"}),
        ({"x": 1}, {"x": 1}),
    ],
)
def test_respelling(written: dict[str, Any], meant: dict[str, Any]) -> None:
    """An alias gives its field what it does not have under its own name, and never travels itself."""
    assert RESPELL is not None
    before = dict(written)

    assert RESPELL(written) == meant
    assert written == before


def test_without_aliases() -> None:
    """A connector without aliases pays nothing for them."""
    assert compile_aliases({}) is None
