"""The manifest: the description of a SaaS's API, as data. ``connectors/engine/runner/runner.py`` runs it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints, model_validator

from connectors.engine.manifest.auth import Auth, settings_of, texts_of
from connectors.engine.manifest.errors import ErrorRow, ErrorShape
from connectors.engine.manifest.parts import Part, Path, Text
from connectors.engine.manifest.read import Read, Sync
from connectors.engine.manifest.requests import Operation, Request
from connectors.engine.template.placeholders import references
from topics.event.event import Operation as OperationName

Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,62}$")]
Version = Annotated[str, StringConstraints(pattern=r"^\d+\.\d+$")]


class Setting(Part):
    """Something that a connection says. A secret one is kept encrypted."""

    type: Literal["string", "integer", "number", "boolean", "object", "jmespath"] = Field(
        default="string", description="What its value is; an object is a JSON object or list."
    )
    secret: bool = Field(default=False, description="Kept encrypted, asked for without showing it, never printed.")
    required: bool = Field(default=False, description="No connection can do without it.")
    default: Any = Field(default=None, description="What it is when a connection does not say it.")
    choices: list[str] | None = Field(default=None, description="The only values that it can have.")
    help: str = Field(
        default="", description="What it is, and where to find it: shown by `connectors show` and asked with."
    )


class RateHeaders(Part):
    """Names of the headers that carry a rate, where they are none of the usual ones."""

    limit: str | None = Field(default=None, description="Calls in all.")
    remaining: str = Field(description="Calls that are left.")
    reset: str | None = Field(default=None, description="Seconds until the reset, or the time of it.")


class LimitsSpec(Part):
    """What the vendor allows one connection; a connection can say otherwise."""

    rate: float | None = Field(default=None, gt=0, description="Calls per per_seconds; none given: unlimited.")
    per_seconds: float = Field(default=1.0, gt=0, description="The time that rate is for.")
    concurrency: int = Field(default=16, ge=1, le=1_024, description="Calls at once.")
    daily: int | None = Field(default=None, ge=1, description="Calls in 24 hours; none given: unlimited.")
    headers: RateHeaders | None = Field(default=None, description="Only for names that are not known anyway.")


class ObjectSpec(Part):
    """One kind of record."""

    variables: dict[str, str] = Field(default={}, description="Used as {object.name} and $object.name.")
    unique: str | None = Field(default=None, description="The property whose values no two records share.")
    aliases: dict[str, str | Annotated[list[str], Field(min_length=2)]] = Field(
        default={},
        description="Other names for fields of a write. A list takes a text apart at its last blanks: with too few "
        "words the last fields are left alone. A field that is given under its own name wins over its alias.",
    )
    example: dict[str, Any] = Field(
        default={}, description="The fields of a record, for `connectors snippet` and `connectors try`."
    )
    operations: dict[OperationName, Operation] = Field(
        description="What can be done: add, update, upsert, delete, message."
    )
    reads: list[Literal["get", "list", "findone"]] = Field(
        default=[], description="What can be read, of a protocol that is not HTTP; HTTP has `read`."
    )
    read: Read | None = Field(default=None, description="How it is read: get, list, findone, refreshes.")

    @model_validator(mode="after")
    def _aliases_are_no_fields(self) -> ObjectSpec:
        for name, meant in self.aliases.items():
            for target in [meant] if isinstance(meant, str) else meant:
                if target in self.aliases:
                    raise ValueError(f"aliases.{name}: {target!r} is itself an alias; say which field of the vendor's")
        return self


class Manifest(Part):
    """One connector, one version."""

    name: Name = Field(description="What `connections add --connector` calls it: small letters, digits, _.")
    version: Version = Field(
        description='Two numbers in quotes, "1.0". A connection stays with the version it was made with.'
    )
    title: str = Field(description="What people call it.")
    docs: str = Field(default="", description="Where the vendor describes its API.")
    about: str = Field(default="", description="What else a newcomer should know, in a few sentences.")
    settings: dict[str, Setting] = Field(default={}, description="What a connection says, secrets among it; by name.")
    protocol: Literal["http", "smtp", "sql"] = Field(
        default="http",
        description="What is spoken. The manifest alone is enough for http; any other has a connector.py beside it.",
    )
    base_url: Text = Field(default="", description="What every path is put behind. Required for http.")
    headers: dict[str, Text] = Field(default={}, description="Of every request.")
    auth: list[Auth] = Field(default=[], description="The ways in; the first whose settings are given is used.")
    limits: LimitsSpec = Field(default=LimitsSpec(), description="What the vendor allows.")
    timeout_seconds: float = Field(default=120.0, gt=0, le=3_600, description="Longest wait for an answer.")
    fails_when: Path | None = Field(
        default=None, description="True in the body of a 2xx that is a failure; such an answer must be readable."
    )
    succeeds_when: Path | list[Path] | None = Field(
        default=None, description="True in the body of every real answer of this vendor, all of them."
    )
    media_type: str | list[str] = Field(
        default="application/json",
        description="What the bodies of real answers are; */* for anything. With text/plain a body may be text.",
    )
    error: ErrorShape = Field(default=ErrorShape(), description="Where an error says what.")
    errors: list[ErrorRow] = Field(
        default=[], description="Which answer means what; the first row that matches decides."
    )
    unique_setting: str | None = Field(
        default=None, description="A setting that maps kinds of records to their unique property."
    )
    probe: Request | None = Field(
        default=None, description="Asked to see whether the vendor is up and the credentials are good."
    )
    objects: dict[Name, ObjectSpec] = Field(
        default={},
        description="The kinds of records, by the names that scripts use; `any` stands for every other name.",
    )

    @model_validator(mode="after")
    def _http_is_whole(self) -> Manifest:
        if self.protocol != "http":
            return self
        lacking = [name for name in ("base_url", "auth", "probe") if not getattr(self, name)]
        if lacking:
            raise ValueError(f"{', '.join(lacking)}: a manifest for http has them")
        for name, spec in self.objects.items():
            for operation, one in spec.operations.items():
                if one.request is None and one.batch is None:
                    raise ValueError(f"objects.{name}.operations.{operation}: needs a request, a batch, or both")
        return self

    @model_validator(mode="after")
    def _references_exist(self) -> Manifest:
        for place, source, name in self._references():
            if source == "settings" and name not in self.settings:
                raise ValueError(f"{place}: there is no setting {name!r} in settings ({', '.join(self.settings)})")
        if self.unique_setting is not None and self.unique_setting not in self.settings:
            raise ValueError(f"unique_setting: there is no setting {self.unique_setting!r}")
        for place, spec in self.objects.items():
            for source, name in references(spec.model_dump(mode="json")):
                if source == "object" and name not in spec.variables:
                    raise ValueError(f"objects.{place}: there is no variable {name!r} in its variables")
        return self

    def _references(self) -> Iterator[tuple[str, str, str]]:
        for place in ("base_url", "headers", "probe"):
            for source, name in references(self.model_dump(mode="json", include={place})):
                yield place, source, name
        for place, spec in self.objects.items():
            for source, name in references(spec.model_dump(mode="json")):
                yield f"objects.{place}", source, name
        for index, auth in enumerate(self.auth):
            yield from ((f"auth.{index}", "settings", name) for name in settings_of(auth))
            yield from ((f"auth.{index}", source, name) for source, name in references(list(texts_of(auth))))

    def syncs(self) -> dict[str, Sync]:
        """How each kind of record is read into the warehouse, for those that are."""
        return {name: spec.read.sync for name, spec in self.objects.items() if spec.read is not None and spec.read.sync}

    def functions(self) -> list[str]:
        """The names of all functions (``contact.add``, ``contact.update``, ...), for messages and listings."""
        return [f"{name}.{operation}" for name, spec in self.objects.items() for operation in spec.operations]
