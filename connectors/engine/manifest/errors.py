"""The error table of a manifest: which answer of the vendor means what."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from connectors.contract import Scope
from connectors.engine.manifest.parts import Part, Path, Status

Meaning = Literal["delivered", "retry", "throttled", "down", "rejected", "conflict", "unknown"]
"""``conflict``: refused because the record exists. ``retry``: certainly not done, try again. ``unknown``: it may have
been done; for an idempotent call that counts as ``retry``."""


class ErrorShape(Part):
    """Where the vendor's error answers carry what."""

    codes: list[Path] = Field(default=[], description="Paths to the error's codes; a row matches any of them.")
    code_headers: list[str] = Field(default=[], description="Headers that carry a code of their own.")
    message: Path | None = Field(default=None, description="Path to the words for a human.")
    request_id: Path | None = Field(default=None, description="Path to the vendor's id of the request.")
    request_id_headers: list[str] = Field(
        default=["x-request-id", "x-correlation-id"], description="Headers that carry the vendor's id of the request."
    )


class ErrorRow(Part):
    """One row of the table: the first that matches decides. Rows of the connector come before the built-in ones."""

    status: Status | list[Status] | None = Field(default=None, description="HTTP statuses; none given: any.")
    code: str | list[str] | None = Field(default=None, description="Codes in the body; none given: any.")
    when: Path | None = Field(default=None, description="True in the body, or in one item's error; none given: any.")
    verdict: Meaning = Field(
        description="retry: surely not done, an attempt is spent. throttled, down: cost no attempt. rejected, conflict "
        "(it exists already): never going to work. unknown: may have been done. delivered: it is as it should be."
    )
    wait: float | None = Field(
        default=None, ge=0, le=86_400, description="Seconds to wait when the answer does not say. Retry-After wins."
    )

    scope: Scope = Field(
        default="connection",
        description="Of a throttled row, whom it holds: the connection, or only the events with the same ordering key "
        "(an operation's key; for Slack the channel).",
    )

    @property
    def statuses(self) -> frozenset[int] | None:
        return frozenset([self.status] if isinstance(self.status, int) else self.status) if self.status else None

    @property
    def codes(self) -> frozenset[str] | None:
        return frozenset([self.code] if isinstance(self.code, str) else self.code) if self.code else None
