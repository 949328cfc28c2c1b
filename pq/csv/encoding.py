"""Which characters the bytes of a text file are: what its first bytes say, and what to advise where they are wrong."""

from __future__ import annotations

import codecs

WINDOWS = "windows-1252"
"""What Excel's "CSV" and most other programs on Windows write west of the Oder."""

_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16: it begins with the same two bytes
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_TYPOGRAPHY = frozenset(bytes([0x80, 0x85, *range(0x91, 0x98), 0x99, *range(0xA0, 0xC0), 0xD7, 0xF7]).decode(WINDOWS))
"""Euro sign, quotes, dashes and the signs of Latin-1: what stands in people's texts beside letters."""


def bom_encoding(head: bytes) -> str | None:
    """The encoding that a byte order mark names; Python's codec of that name takes the mark away."""
    return next((name for bom, name in _BOMS if head.startswith(bom)), None)


def detect(head: bytes) -> str:
    """By the byte order mark, else UTF-16 where every other byte is NUL, else UTF-8."""
    return bom_encoding(head) or _utf16_without_bom(head) or "utf-8"


def _utf16_without_bom(head: bytes) -> str | None:
    """A NUL stands in every ASCII character of UTF-16, always on the same side; in UTF-8 it is a rare mistake."""
    even, odd = head[::2].count(0), head[1::2].count(0)
    if not even + odd:
        return None
    encoding = "utf-16-le" if odd > even else "utf-16-be"
    one_sided = max(even, odd) > 20 * min(even, odd)
    common = 4 * (even + odd) >= len(head) or not _decodes(head, "utf-8")
    return encoding if one_sided and common and _decodes(head, encoding) else None


def _decodes(head: bytes, encoding: str) -> bool:
    try:
        codecs.getincrementaldecoder(encoding)().decode(head)  # the last character may be cut off
    except UnicodeDecodeError:
        return False
    return True


def named(given: str, head: bytes) -> str:
    """Python's name of the encoding that a person gave. Raises ``ValueError`` where the byte order mark contradicts."""
    codec = codecs.lookup(given).name
    marked = bom_encoding(head)
    if marked is None:
        return codec
    if not codec.startswith(marked.removesuffix("-sig")):
        raise ValueError(
            f"the file begins with the mark of {marked.removesuffix('-sig').upper()}: leave out --encoding"
        )
    return marked


def is_encoding(given: str) -> bool:
    """Is it an encoding of text that Python knows?"""
    try:
        "a".encode(given)  # also refuses codecs that are no encodings of text, such as base64
    except (LookupError, ValueError):
        return False
    return True


ESCAPED = ("\udc80", "\udcff")
"""Bytes that are no characters are between these in the text (PEP 383), and are written back as they were."""


def _escape(error: UnicodeError) -> tuple[str, int]:
    """As ``surrogateescape``, for UTF-16 and UTF-32 too, where a wrong byte may be below 128."""
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return "".join(chr(0xDC00 | byte | 0x80) for byte in error.object[error.start : error.end]), error.end


codecs.register_error("writeback-escape", _escape)


def errors_for(encoding: str) -> str:
    """The error handler that marks what cannot be decoded, so that only its row is rejected."""
    return "writeback-escape" if encoding.startswith(("utf-16", "utf-32")) else "surrogateescape"


def undecodable(text: str) -> bool:
    return not text.isascii() and any(ESCAPED[0] <= character <= ESCAPED[1] for character in text)


def advice(text: str, encoding: str, *, mixed: bool) -> str:
    """What to do about a text that was not in the file's encoding. ``mixed``: other texts were, and not only ASCII."""
    if not encoding.startswith("utf-8"):
        return f"is not {encoding}"
    if mixed:
        return "is not UTF-8, though other rows are: correct this one"
    read = text.encode("utf-8", "surrogateescape").decode(WINDOWS, "replace")
    if all(one.isascii() or one.isalpha() or one in _TYPOGRAPHY for one in read):
        return f"is not UTF-8; with --encoding {WINDOWS} it reads {read[:60]!r}"
    return "is not UTF-8; name what it is with --encoding (cp437, cp1250, shift_jis, ...), or save it as UTF-8"
