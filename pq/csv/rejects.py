"""The rows that could not be imported, in a file that can be corrected and imported as it is."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

from pq.csv.rows import REASON_COLUMNS, BadFile, Row, Rows


class Rejects:
    """The file is made with the first row in it. Raises ``BadFile`` at once where it could not be written."""

    def __init__(self, path: Path, rows: Rows) -> None:
        self.path = path
        self.count = 0
        self._rows = rows
        self._file: io.TextIOWrapper | None = None
        self._try()

    def _try(self) -> None:
        """Rejects that cannot be kept are rows lost: this is found out before the first event goes out."""
        was_there = self.path.exists()
        try:
            self.path.open("ab").close()
        except OSError as error:
            raise BadFile(
                f"rejected rows cannot be written to {self.path} ({error.strerror}); name another file with --rejects"
            ) from error
        if not was_there:
            self.path.unlink()

    def add(self, row: Row, reason: str) -> None:
        try:
            self._writer().writerow([row.line, reason, *row.cells])
            self._flush()
        except OSError as error:
            raise BadFile(f"line {row.line} is rejected ({reason}), and {self.path}: {error.strerror}") from error
        self.count += 1

    def _writer(self) -> Any:
        made = self._file is None
        if self._file is None:
            self._file = self.path.open("w", encoding=self._rows.rejects_encoding, errors="surrogateescape", newline="")
        writer = csv.writer(self._file, delimiter=self._rows.delimiter)
        if made:
            writer.writerow([*REASON_COLUMNS, *self._rows.columns])
        return writer

    def _flush(self) -> None:
        if self._file is not None:
            self._file.flush()

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
