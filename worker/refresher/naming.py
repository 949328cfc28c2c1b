"""What a vendor's names are called in the warehouse."""

from __future__ import annotations

import re
from functools import cache
from typing import Final

PLAIN: Final = re.compile(r"[a-z][a-z0-9_]*")


@cache
def in_warehouse(name: str) -> str:
    """A name as dlt writes it: ``Full Name`` becomes ``full_name``."""
    if PLAIN.fullmatch(name):
        return name
    # importing dlt takes a second, and hardly any table needs it
    from dlt.common.normalizers.naming.snake_case import NamingConvention  # noqa: PLC0415

    return str(NamingConvention().normalize_path(name))
