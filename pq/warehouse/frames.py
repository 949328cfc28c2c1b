"""Data frames in and out. Neither pandas nor polars is needed; each is loaded by those who ask for it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from pq.errors import BadField

if TYPE_CHECKING:
    from pq.warehouse.rows import Rows


def frame(rows: Rows, kind: bool | str) -> Any:
    """A DataFrame with the rows. Raises ``BadField`` where the library is not installed."""
    name = kind if isinstance(kind, str) else "pandas" if find_spec("pandas") or not find_spec("polars") else "polars"
    if name not in {"pandas", "polars"} or find_spec(name) is None:
        raise BadField(f"df={kind!r}: {name} is not installed here (pip install pandas, or polars)")
    if name == "polars":
        import polars as pl  # noqa: PLC0415

        return pl.DataFrame(list(rows), schema=list(rows.columns), infer_schema_length=None)
    import pandas as pd  # noqa: PLC0415

    return pd.DataFrame.from_records(list(rows), columns=list(rows.columns))


def records(given: Any) -> list[dict[str, Any]]:
    """Records of a dict, of an iterable of dicts, or of a data frame; what is missing there is NULL here."""
    module = type(given).__module__.partition(".")[0]
    if module == "pandas":
        given = [{name: _plain(value) for name, value in row.items()} for row in given.to_dict("records")]
    elif module == "polars":
        given = given.to_dicts()
    rows = [given] if isinstance(given, Mapping) else list(given) if isinstance(given, Iterable) else None
    if rows is None:
        raise BadField(f"records are a dict, a list of dicts or a DataFrame, not {type(given).__name__}")
    for row in rows:
        if not isinstance(row, Mapping) or not all(isinstance(name, str) for name in row):
            raise BadField(f"a record is a dict of column names and values, not {row!r}")
        if not row:
            raise BadField("a record is empty")
    return [{name: _scalar(value) for name, value in row.items()} for row in rows]


def _plain(value: Any) -> Any:
    """The missing values of pandas (NaN, NaT, NA) are NULL."""
    return None if value is None or type(value).__name__ in {"NaTType", "NAType"} or value != value else value  # noqa: PLR0124


def _scalar(value: Any) -> Any:
    """A numpy scalar and a pandas timestamp as the Python value that drivers know."""
    module = type(value).__module__.partition(".")[0]
    if module == "numpy" and hasattr(value, "item"):
        return value.item()
    return value.to_pydatetime() if module == "pandas" and hasattr(value, "to_pydatetime") else value
