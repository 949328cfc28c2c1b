"""A refresh that another tool makes, as ``policy["refresh"]["call"]`` has it. A secret is a reference, ``env:NAME``."""

from __future__ import annotations

import shlex
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

EnvReference = Annotated[str, Field(pattern=r"^env:[A-Za-z_][A-Za-z0-9_]*$")]
"""The variable is read where the refresher runs, and is nowhere else."""
Url = Annotated[str, Field(pattern=r"^https?://[^\s/]+")]
Name = Annotated[str, Field(min_length=1)]


def _words(said: Any) -> Any:
    return shlex.split(said) if isinstance(said, str) else said


class _Call(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    poll_seconds: float = Field(default=5.0, gt=0, le=3_600)


class AirbyteCall(_Call):
    """https://reference.airbyte.com: a job of the connection. On a server of your own: ``https://host/api/public/v1``."""

    tool: Literal["airbyte"]
    connection_id: Name
    token: EnvReference | None = None
    url: Url = "https://api.airbyte.com/v1"


class FivetranCall(_Call):
    """https://fivetran.com/docs/rest-api: a sync of the connection."""

    tool: Literal["fivetran"]
    connection_id: Name
    key: EnvReference
    secret: EnvReference
    url: Url = "https://api.fivetran.com"


class MeltanoCall(_Call):
    """``meltano run JOB`` in the folder of the project. ``job``: a job, or plugins and mappings in their order."""

    tool: Literal["meltano"]
    project: Name
    job: Annotated[list[Name], BeforeValidator(_words), Field(min_length=1)]


class HttpCall(_Call):
    """A POST with the job as JSON. An answer of 202 with a Location is asked there until it is another than 202."""

    tool: Literal["http"]
    url: Url
    token: EnvReference | None = None


class CommandCall(_Call):
    """A command, without a shell; exit code 0 is success. It finds the job in variables ``REFRESH_...``."""

    tool: Literal["command"]
    command: Annotated[list[Name], BeforeValidator(_words), Field(min_length=1)]


RefreshCall = Annotated[AirbyteCall | FivetranCall | MeltanoCall | HttpCall | CommandCall, Field(discriminator="tool")]
TOOLS = ("airbyte", "fivetran", "meltano", "http", "command")
