"""A read of any API, page by page: as the query says, or the connection's ``resources``.

The query's fields are ``path``, ``params``, ``headers`` and ``records`` (the JMESPath of the records in the answer),
and for an answer that comes in pages:

    pages      link: the Link header leads on; url: an address in the answer; bookmark: a mark in the answer, which
               the next request has; offset, number: the next request has one that is counted up
    next       url and bookmark: the JMESPath of it in the answer
    param      bookmark, offset and number: the query parameter that has it
    page_size  offset and number: records of a full page; a shorter one is the last. 100 where it is not said
    first      number: what the first page is called. 1 where it is not said
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from pydantic import ValidationError

from connectors.engine.manifest.read import PagedRequest
from connectors.engine.runner.source import Turning

CALL: Final = frozenset({"path", "params", "headers"})
PAGING: Final = frozenset({"records", "pages", "next", "param", "page_size", "first"})
_NEEDS: Final = {
    "url": ("next",),
    "bookmark": ("next", "param"),
    "offset": ("param",),
    "number": ("param",),
    "link": (),
}


@dataclass(frozen=True, slots=True)
class Paging:
    """``turn``: from one page to the next; None: there is one. ``param``: the parameter that says which page it is."""

    turn: Turning | None
    param: str | None

    def params(self, given: Mapping[str, Any], bookmark: str | None) -> dict[str, Any]:
        said = self.turn.said(bookmark) if self.turn is not None else None
        return {**given, self.param: said} if self.param is not None and said is not None else dict(given)


def paging_of(query: Mapping[str, Any]) -> Paging:
    """Raises ``ValueError`` for what does not say how the pages follow each other."""
    kind = query.get("pages")
    if kind is None:
        useless = sorted(PAGING.difference({"records"}).intersection(query))
        if useless:
            raise ValueError(f"{', '.join(useless)}: say how the pages follow each other, pages={', '.join(_NEEDS)}")
        return Paging(None, None)
    if kind not in _NEEDS:
        raise ValueError(f"pages is {kind!r}; it is one of {', '.join(_NEEDS)}")
    missing = [name for name in _NEEDS[kind] if not query.get(name)]
    if missing:
        raise ValueError(f"pages={kind} needs {' and '.join(missing)}")
    try:
        request = PagedRequest(
            path="/",
            records=str(query.get("records", "@")),
            bookmark=query.get("next"),
            pages=kind,
            **{name: query[name] for name in ("page_size", "first") if name in query},
        )
    except ValidationError as error:
        wrong = error.errors(include_url=False)[0]
        raise ValueError(f"{wrong['loc'][0]}: {wrong['msg'].removeprefix('Value error, ')}") from error
    return Paging(Turning(request), query.get("param"))
