"""Files that an event sends: a text, bytes, a file of the connection's folder for attachments, or rows as a table.

{"filename": "a.txt", "content": "text"}
{"filename": "a.pdf", "content_base64": "JVBERi0..."}
{"path": "2026/a.pdf"}                      in the connection's folder; ``filename`` renames it
{"filename": "a.csv", "rows": [{...}, ...]}     or .xlsx; ``columns``: which columns, in which order
"""

from __future__ import annotations

import base64
import binascii
import csv
import io
import mimetypes
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

from topics.event import exact_json

MAX_BYTES = 25 * 2**20
"""The limit for all attachments of an event together: what large providers take (Gmail: 25 MB), held in memory."""
KINDS = ("content", "content_base64", "path", "rows")
_NAMES = frozenset({*KINDS, "filename", "content_type", "columns"})
_DEFAULT_TYPE = "application/octet-stream"


class Attachment(NamedTuple):
    filename: str
    content: bytes
    content_type: str


def read_attachments(given: object, folder: str | None) -> list[Attachment]:
    """Blocks, because it reads files. Raises ``ValueError``, which names the attachment and what is wrong with it."""
    if not isinstance(given, list):
        raise ValueError("attachments is not a list of objects")  # noqa: TRY004 - the promise above
    made: list[Attachment] = []
    left = MAX_BYTES
    for number, one in enumerate(given, 1):
        try:
            made.append(read_attachment(one, folder, left, MAX_BYTES))
        except (ValueError, OSError) as error:
            raise ValueError(f"attachment {number}: {error}") from error
        left -= len(made[-1].content)
    return made


def read_attachment(one: object, folder: str | None, left: int, maximum: int) -> Attachment:
    """One attachment of at most ``left`` bytes, which is what is left of ``maximum``.

    Raises as ``read_attachments``, and ``OSError``.
    """
    if not isinstance(one, Mapping):
        raise ValueError("it is not an object")  # noqa: TRY004 - see read_attachments
    if unknown := set(one) - _NAMES:
        raise ValueError(f"it has {', '.join(sorted(map(str, unknown)))}; it may have {', '.join(sorted(_NAMES))}")
    if sum(kind in one for kind in KINDS) != 1:
        raise ValueError(f"it has one of {', '.join(KINDS)}")
    path = _path(one["path"], folder) if "path" in one else None
    filename = one.get("filename", path.name if path else None)
    if not isinstance(filename, str) or not filename or set(filename) & set("/\\\r\n\0"):
        raise ValueError(f"filename is {filename!r}; it is the name that the reader sees, without a folder")
    content = _content(one, path, filename, left)
    if len(content) > left:
        raise ValueError(f"{'it is' if left == maximum else 'all together are'} larger than {maximum // 2**20} MiB")
    guessed = mimetypes.guess_type(filename)[0] or _DEFAULT_TYPE
    return Attachment(filename, content, _content_type(one.get("content_type", guessed)))


def _content(one: Mapping[str, Any], path: Path | None, filename: str, left: int) -> bytes:
    if path is not None:
        with path.open("rb") as file:
            return file.read(left + 1)
    if "rows" in one:
        return _table(one["rows"], one.get("columns"), filename)
    text = one.get("content", one.get("content_base64"))
    if not isinstance(text, str):
        raise ValueError("its content is not a text")  # noqa: TRY004 - see read_attachments
    if "content" in one:
        return text.encode()
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError(f"content_base64 is not base64: {error}") from error


def _path(given: object, folder: str | None) -> Path:
    """A file inside the folder, with links and ``..`` resolved: no event may read other files of the worker."""
    if folder is None:
        raise ValueError("files of the worker are attached only from the folder that the setting `attachments` names")
    if not isinstance(given, str) or "\0" in given:
        raise ValueError(f"path is {given!r}, not a text")
    root = Path(folder).resolve()
    path = (root / given).resolve()
    if not path.is_relative_to(root) or not path.is_file():
        raise ValueError(f"there is no file {given!r} in {folder} on this worker")
    return path


def _content_type(given: object) -> str:
    main, slash, sub = given.partition("/") if isinstance(given, str) else ("", "", "")
    if not slash or not all(
        part.isascii() and part.replace("-", "").replace(".", "").replace("+", "").isalnum() for part in (main, sub)
    ):
        raise ValueError(f"content_type is {given!r}; it is like application/pdf")
    return f"{main}/{sub}"


def _table(rows: object, columns: object, filename: str) -> bytes:
    if not isinstance(rows, list) or not all(isinstance(row, Mapping) for row in rows):
        raise ValueError("rows is not a list of objects, one a row")
    names = list(dict.fromkeys(name for row in rows for name in row)) if columns is None else columns
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError("columns is not a list of names")
    table = [names, *([row.get(name) for name in names] for row in rows)]
    if filename.lower().endswith(".xlsx"):
        return _workbook(table)
    if filename.lower().endswith(".csv"):
        return _csv(table)
    raise ValueError(f"rows become a .csv or a .xlsx, and filename is {filename!r}")


def _csv(table: Sequence[Sequence[Any]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text).writerows([_cell(value) for value in row] for row in table)
    return text.getvalue().encode(
        "utf-8-sig"
    )  # with a byte order mark: without it Excel assumes the country's code page


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else exact_json.shown(value)


def _workbook(table: Sequence[Sequence[Any]]) -> bytes:
    from openpyxl import Workbook  # noqa: PLC0415 - few messages have one, and it is slow to load
    from openpyxl.cell import WriteOnlyCell  # noqa: PLC0415

    book = Workbook(write_only=True)
    sheet = book.create_sheet("Sheet1")

    def cell(value: Any) -> Any:
        if value is None or isinstance(value, bool | int | float):
            return value
        made = WriteOnlyCell(sheet, value=str(value) if isinstance(value, str | Decimal) else exact_json.shown(value))
        made.data_type = "s"  # a text that begins with = stays a text, and does not become a formula
        return made

    for row in table:
        sheet.append([cell(value) for value in row])
    saved = io.BytesIO()
    book.save(saved)
    return saved.getvalue()
