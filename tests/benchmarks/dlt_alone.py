"""The same pipeline as anybody would write it with dlt: pages into a table with its primary key.

``python dlt_alone.py URL WAREHOUSE FOLDER PAGE``; says what was loaded as a refresh of ours does.
"""

from __future__ import annotations

import json
import os
import sys
import warnings
from collections.abc import Iterator
from typing import Any


def main(url: str, warehouse: str, folder: str, size: int) -> None:
    os.environ |= {
        "RUNTIME__DLTHUB_TELEMETRY": "false", "RUNTIME__LOG_LEVEL": "ERROR", "DLT_DATA_DIR": folder,
        "DESTINATION__REPLACE_STRATEGY": "insert-from-staging",
    }  # fmt: skip
    import dlt  # noqa: PLC0415 - after its settings, which it reads when it is imported
    from dlt.sources.helpers import requests  # noqa: PLC0415

    warnings.filterwarnings("ignore", module="dlt")
    counted = 0

    @dlt.resource(  # type: ignore[untyped-decorator]
        name="rows",
        primary_key="id",
        write_disposition="replace",
        columns={"price": {"data_type": "double"}, "changed": {"data_type": "timestamp"}},
    )
    def rows() -> Iterator[Any]:
        nonlocal counted
        while True:
            items = requests.get(f"{url}/rows", params={"offset": counted}).json()["items"]
            counted += len(items)
            yield items
            if len(items) < size:
                return

    known = dlt.destinations.sqlalchemy(warehouse, create_primary_keys=True, create_unique_indexes=True)
    pipeline = dlt.pipeline("bench", destination=known, dataset_name="bench", pipelines_dir=folder)
    pipeline.run(rows())
    print(json.dumps({"result": {"status": "ok", "rows": {"rows": counted}}}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]))
