"""When and how a connection's data is loaded into the warehouse again: what ``policy["refresh"]`` may hold."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from connectors.connections.refresh.call import RefreshCall
from connectors.connections.table import Connection
from connectors.errors import BadConnection

LONGEST_SECONDS = 7 * 86_400.0


class RefreshPolicy(BaseModel):
    """Seconds. A refresh starts ``quiet`` after its last request, and never later than ``max_wait`` after its first.

    ``after_writeback``: a worker asks by itself, for the objects that it has written. ``time_limit``: a run that takes
    longer is cancelled. ``call``: another tool makes it, instead of the sync.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    after_writeback: bool = False
    quiet: float = Field(default=5.0, ge=0, le=LONGEST_SECONDS)
    max_wait: float = Field(default=60.0, ge=0, le=LONGEST_SECONDS)
    time_limit: float = Field(default=7_200.0, gt=0, le=LONGEST_SECONDS)
    call: RefreshCall | None = None

    @model_validator(mode="before")
    @classmethod
    def _by_name(cls, said: Any) -> Any:
        """``refresh: after_writeback``, as it was written once."""
        if isinstance(said, str):
            return {"after_writeback": said == "after_writeback"}
        return said


def refresh_policy(connection: Connection) -> RefreshPolicy:
    """Raises ``BadConnection`` for what somebody has written into the store by hand."""
    return read_policy(connection.policy.get("refresh", {}), connection.name)


def read_policy(said: Any, name: str) -> RefreshPolicy:
    try:
        return RefreshPolicy.model_validate(said)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, ("refresh", *first["loc"])))
        raise BadConnection(f"the policy {where} of the connection {name!r}: {first['msg']}") from error


def is_read_here(connection: Connection) -> bool:
    """Whether its refresh is our own reading, and no other tool's."""
    try:
        return refresh_policy(connection).call is None
    except BadConnection:
        return False


def wants_after_writeback(connection: Connection) -> bool:
    """False for a policy that cannot be read: the refresher says what is wrong with it when it is asked."""
    try:
        return refresh_policy(connection).after_writeback
    except BadConnection:
        return False
