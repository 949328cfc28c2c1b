"""Settings: the environment, then ``.env``, then ``writeback.toml``, in the folder where the command runs.

Each has the prefix ``WRITEBACK_`` in the environment and in ``.env`` (``WRITEBACK_LOG``), and none in
``writeback.toml`` (``log = "..."``). ``load_settings`` reports every mistake in one message, by the variable's name.
"""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from dotenv import dotenv_values
from pydantic import AfterValidator, Field, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

from topics.errors import SettingsError
from topics.log import Log
from topics.names import DEFAULT, Names, check_prefix

PREFIX = "WRITEBACK_"
TOML = Path("writeback.toml")
DOTENV = Path(".env")

_SECRETS = frozenset({"secret_key", "kafka_sasl_password", "store", "log", "warehouse", "warehouses"})
"""Never repeated in a message: URLs may hold a password."""

_WAREHOUSE = re.compile(r"WRITEBACK_WAREHOUSE_([A-Z0-9_]+)", re.IGNORECASE)
"""A further warehouse, by its name: ``WRITEBACK_WAREHOUSE_FINANCE``."""

_OTHERS = re.compile(r"WRITEBACK_(SERVICE_(HOST|PORT.*)|PORT(_\d+_(TCP|UDP).*)?|TEST_.*)")
"""What Kubernetes puts into every pod beside a service named ``writeback``, and what our tests are told."""


def _expand_home(url: str) -> str:
    """``sqlite:///~/x`` is a path below the home folder, as a person would write it."""
    head, tilde, tail = url.partition(":///~/")
    return f"{head}:///{Path.home()}/{tail}" if tilde and head.startswith("sqlite") else url


Url = Annotated[str, AfterValidator(_expand_home)]

HOUR = 3_600.0
_UNITS = {"h": HOUR, "d": 24 * HOUR, "w": 7 * 24 * HOUR}
_LENGTH = re.compile(r"(\d+(?:\.\d+)?) *([hdw])")
LEAST_RETENTION = HOUR
"""A replay that is under way finds its copies again on their topics."""


def _retention(said: str) -> str:
    """A length of time as a person writes it, or forever; raises ``ValueError``."""
    said = said.strip().lower()
    if said in {"forever", "off"}:
        return "forever"
    length = _LENGTH.fullmatch(said)
    if length is None:
        raise ValueError(f"is {said!r}; it is a number of hours, days or weeks (36h, 7d, 2w), or forever")
    if float(length[1]) * _UNITS[length[2]] < LEAST_RETENTION:
        raise ValueError(f"is {said!r}; it is 1h at least, or forever")
    return said


def seconds_of(retention: str) -> float | None:
    """Seconds of a checked retention; None for ever."""
    length = _LENGTH.fullmatch(retention)
    return float(length[1]) * _UNITS[length[2]] if length else None


Retention = Annotated[str, AfterValidator(_retention)]

_BROKER = r"(\[[0-9A-Fa-f:.]+\]|[^\s,/?#@:\[\]]+)(:\d{1,5})?"
"""A host's name or IPv4 address, or an IPv6 address in brackets; with or without a port."""
_LOG = re.compile(rf"sqlite:///.+|kafka://{_BROKER}(,{_BROKER})*/?")


class Settings(BaseSettings):
    """Every setting there is; ``docs/reference/settings.md`` is made from the descriptions."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_file=DOTENV,
        env_ignore_empty=True,
        toml_file=TOML,
        extra="ignore",  # a shared .env holds other programs' variables; ours are checked in unknown_variables
        frozen=True,
        validate_default=True,
    )

    log: Url = Field(
        default="sqlite:///~/.writeback/log.db",
        description="Where events are kept: sqlite:///path/to/log.db (this machine) or kafka://host:9092,host2:9092",
    )
    single_host: bool = Field(
        default=False, description="Everything runs on this one machine, so a SQLite store beside a Kafka log is right"
    )
    store: Url = Field(
        default="sqlite:///~/.writeback/store.db",
        description="Connections and the archive of dead letters: sqlite:///path or postgresql://user:password@host/db",
        repr=False,
    )
    warehouse: Url = Field(
        default="sqlite:///~/.writeback/warehouse.db",
        description="Where refreshed data goes and pq.dbconnect reads, as an SQLAlchemy URL: sqlite:///path, "
        "duckdb:///path, postgresql://user:password@host/db; or env:NAME, the variable that holds it",
        repr=False,
    )
    warehouses: dict[str, Url] = Field(
        default={},
        description="Further ones for pq.dbconnect(name): WRITEBACK_WAREHOUSE_<NAME> each, or [warehouses] in the file",
        repr=False,
    )
    sync_folder: Path = Field(
        default=Path("~/.writeback/sync"),
        description="Where a refresh keeps what it has read until all of it is read, so that the next one can go on",
    )
    connectors: Path | None = Field(
        default=None,
        description="A folder of manifests (YAML) of your own: each is a connector beside those that are built in",
    )
    syncs: Path = Field(
        default=Path("syncs"),
        description="The folder of the definitions of syncs, one YAML file each; seen from where the command runs",
    )
    alerts: Path = Field(
        default=Path("alerts"),
        description="The folder of the definitions of alerts, one YAML file each; seen from where the command runs",
    )
    secret_key: str | None = Field(
        default=None,
        description="Encrypts the secrets of connections: long random text, the same on every machine "
        "(writeback connections new-key); of several separated by commas the first encrypts, all decrypt",
        repr=False,
    )
    prefix: str = Field(
        default=DEFAULT.prefix,
        description="What the names of all topics and groups begin with; one of its own for each installation that "
        "shares a log with others",
    )
    group: str = Field(default="", description="The consumer group of the workers; by default the prefix and `-worker`")
    member: str = Field(default="", description="A stable identity of this worker (static membership), or nothing")
    events_retention: Retention = Field(
        default="7d",
        description="How long an event is kept in the log after it was written, when it is delivered or in the dead "
        "letters (before, it is kept for ever): 36h, 7d, 2w, or forever; a request for a refresh likewise",
    )
    letters_retention: Retention = Field(
        default="4w",
        description="How long the topic of dead letters keeps those that are in the store, where they stay; a store "
        "that is lost is filled again from it",
    )
    budget_records: int = Field(default=10_000, ge=1, description="Records a worker holds at most, waiting ones too")
    budget_bytes: int = Field(default=64 * 2**20, ge=2**20, description="Bytes a worker holds at most")
    grace_seconds: float = Field(
        default=20.0, gt=0, description="What is under way may take this long after a stop; less than the container's"
    )
    refreshes_at_once: int = Field(
        default=4, ge=1, le=1_000, description="Refreshes that one refresher runs at the same time, 60 to 150 MB each"
    )
    metrics_port: int | None = Field(
        default=None,
        ge=0,
        le=65_535,
        description="Where a worker serves /metrics, /states, /healthz and /readyz, or nothing",
    )
    metrics_host: str = Field(
        default="127.0.0.1", description="On which address; 0.0.0.0 where something else than this machine asks"
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(default="info", description="What is logged")
    log_format: Literal["auto", "json", "console"] = Field(
        default="auto", description="auto: for people on a terminal, else JSON"
    )
    reports: Literal["file", "stderr"] = Field(
        default="file",
        description="Where the full report of an unexpected failure goes: into a file whose place is told, or, where "
        "files do not last, to standard error",
    )
    debug: bool = Field(default=False, description="Show the traceback of whatever fails, as --debug does")
    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] | None = Field(
        default=None, description="How the broker is spoken to"
    )
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "GSSAPI", "OAUTHBEARER"] | None = Field(
        default=None, description="How the broker knows us"
    )
    kafka_sasl_username: str | None = Field(default=None, description="The broker's user")
    kafka_sasl_password: str | None = Field(default=None, description="Its password", repr=False)
    kafka_ssl_cafile: Path | None = Field(default=None, description="Who signed the broker's certificate")
    kafka_ssl_certfile: Path | None = Field(default=None, description="Our certificate, where the broker wants one")
    kafka_ssl_keyfile: Path | None = Field(default=None, description="The key of our certificate")

    @field_validator("log")
    @classmethod
    def _log_is_known(cls, value: str) -> str:
        if not _LOG.fullmatch(value):
            raise ValueError("is not a log; it is sqlite:///path/to/log.db or kafka://host:9092,host2:9092")
        return value

    @field_validator("prefix")
    @classmethod
    def _prefix_fits_topics(cls, value: str) -> str:
        return check_prefix(value)

    @field_validator("group")
    @classmethod
    def _group_has_the_prefix(cls, value: str, info: ValidationInfo) -> str:
        return value or Names(info.data.get("prefix", DEFAULT.prefix)).worker_group

    @field_validator("store")
    @classmethod
    def _store_fits_log(cls, value: str, info: ValidationInfo) -> str:
        if not re.match(r"(sqlite(\+\w+)?:///.)|(postgresql(\+\w+)?://.)", value):
            raise ValueError("is not a store; it is sqlite:///path/to/store.db or postgresql://user:password@host/db")
        elsewhere = str(info.data.get("log", "")).startswith("kafka:") and not info.data.get("single_host", True)
        if elsewhere and value.startswith("sqlite"):
            raise ValueError(
                "is a file on this machine, but the log is Kafka: give all machines one server, "
                "postgresql://user:password@host/db, or set WRITEBACK_SINGLE_HOST=true if everything runs here"
            )
        return value

    @field_validator("warehouse")
    @classmethod
    def _warehouse_is_known(cls, value: str) -> str:
        return _checked_warehouse(value)

    @field_validator("warehouses")
    @classmethod
    def _warehouses_are_known(cls, value: dict[str, str]) -> dict[str, str]:
        for name, url in value.items():
            try:
                _checked_warehouse(url)
            except ValueError as error:
                raise ValueError(f"{name} {error}") from None
        return {name.lower(): url for name, url in value.items()}

    @field_validator("kafka_sasl_password")
    @classmethod
    def _sasl_is_whole(cls, value: str | None, info: ValidationInfo) -> str | None:
        mechanism = str(info.data.get("kafka_sasl_mechanism"))
        if mechanism.startswith(("PLAIN", "SCRAM")) and not (value and info.data.get("kafka_sasl_username")):
            raise ValueError(f"and WRITEBACK_KAFKA_SASL_USERNAME are both needed for {mechanism}")
        return value

    @field_validator("kafka_ssl_cafile", "kafka_ssl_certfile", "kafka_ssl_keyfile")
    @classmethod
    def _file_is_there(cls, value: Path | None) -> Path | None:
        if value is not None and not value.is_file():
            raise ValueError(f"there is no file {value}")
        return value

    @field_validator("connectors")
    @classmethod
    def _folder_is_there(cls, value: Path | None) -> Path | None:
        if value is not None and not value.expanduser().is_dir():
            raise ValueError(f"there is no folder {value}")
        return value

    @field_validator(
        "kafka_sasl_mechanism", "kafka_sasl_username", "kafka_ssl_cafile", "kafka_ssl_certfile", "kafka_ssl_keyfile"
    )
    @classmethod
    def _protocol_uses_it(cls, value: Any, info: ValidationInfo) -> Any:
        """What the protocol would pass over in silence: a connection without the encryption or the login asked for."""
        if value is None or "kafka_security_protocol" not in info.data:
            return value
        needed = "SASL" if "sasl" in str(info.field_name) else "SSL"
        if needed not in str(info.data["kafka_security_protocol"]):
            raise ValueError(
                f"has no effect: set {PREFIX}KAFKA_SECURITY_PROTOCOL to SASL_SSL{' or SSL' if needed == 'SSL' else ''}"
            )
        return value

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the signature is pydantic's
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        named = _NamedWarehouses(settings_cls)
        return (init_settings, env_settings, dotenv_settings, named, TomlConfigSettingsSource(settings_cls))

    @property
    def names(self) -> Names:
        """What this installation calls its topics and groups."""
        return Names(self.prefix)

    def kafka(self) -> dict[str, object]:
        """The client's own names for what was set; nothing for what was not."""
        given = {
            "security_protocol": self.kafka_security_protocol,
            "sasl_mechanism": self.kafka_sasl_mechanism,
            "sasl_plain_username": self.kafka_sasl_username,
            "sasl_plain_password": self.kafka_sasl_password,
            "ssl_cafile": self.kafka_ssl_cafile and str(self.kafka_ssl_cafile),
            "ssl_certfile": self.kafka_ssl_certfile and str(self.kafka_ssl_certfile),
            "ssl_keyfile": self.kafka_ssl_keyfile and str(self.kafka_ssl_keyfile),
        }
        return {name: value for name, value in given.items() if value is not None}

    def open_log(self) -> Log:
        """The log that ``log`` names; does not connect (``Log.probe`` does)."""
        from topics.open import open_log  # noqa: PLC0415 - an engine costs its import only where it runs

        return open_log(self.log, kafka=self.kafka(), names=self.names)


class _NamedWarehouses(PydanticBaseSettingsSource):
    """``WRITEBACK_WAREHOUSE_FINANCE`` is the warehouse ``finance``; in the environment, or in ``.env``."""

    def get_field_value(self, field: Any, field_name: str) -> tuple[Any, str, bool]:  # noqa: ARG002 - abstract
        return None, field_name, False

    def __call__(self) -> dict[str, Any]:
        found = {
            match[1].lower(): value
            for name, value in (*_dotenv().items(), *os.environ.items())
            if value and (match := _WAREHOUSE.fullmatch(name))
        }
        return {"warehouses": found} if found else {}


def _dotenv() -> dict[str, str | None]:
    return dotenv_values(DOTENV, interpolate=False) if DOTENV.is_file() else {}


def _checked_warehouse(value: str) -> str:
    if not re.match(r"env:\w+$|[a-z][a-z0-9]*(\+\w+)?://.", value):
        raise ValueError(
            "is not a warehouse; it is sqlite:///path, duckdb:///path, postgresql://user:password@host/db, "
            "another URL of SQLAlchemy's, or env:NAME"
        )
    return value


def load_settings(**given: Any) -> Settings:
    """The settings of this process; ``given`` win over every source (a command's own options).

    Raises ``SettingsError`` with all mistakes, each by its variable's name, and how to correct it.
    """
    mistakes: list[str] = []
    settings: Settings | None = None
    try:
        mistakes += unknown_variables(os.environ)
        settings = Settings(**given)
    except ValidationError as error:
        mistakes += _mistakes(error)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        mistakes.append(f"{TOML if isinstance(error, tomllib.TOMLDecodeError) else 'a settings file'}: {error}")
    if mistakes or settings is None:
        count = "1 setting is wrong" if len(mistakes) == 1 else f"{len(mistakes)} settings are wrong"
        raise SettingsError("\n  ".join([f"{count}:", *mistakes]))
    return settings


def unknown_variables(environment: Mapping[str, str]) -> Iterator[str]:
    """A line for each variable that looks like ours and is not: nearly always a slip of the pen."""
    for name in (*environment, *_dotenv()):
        upper = name.upper()
        stem = upper.removeprefix(PREFIX).lower()
        others = _WAREHOUSE.fullmatch(upper) or _OTHERS.fullmatch(upper)
        if upper.startswith(PREFIX) and stem not in Settings.model_fields and not others:
            yield f"{name}: no such setting; {_nearest(stem, lambda known: PREFIX + known.upper())}"
    for name in tomllib.loads(TOML.read_text(encoding="utf-8")) if TOML.is_file() else ():
        if name not in Settings.model_fields:
            yield f"{name} in {TOML}: no such setting; {_nearest(name, str)}"


def _nearest(name: str, spelled: Callable[[str], str]) -> str:
    known = list(Settings.model_fields)
    near = [field for field in known if field.startswith(name) or name.startswith(field)]
    near = near or difflib.get_close_matches(name, known, n=1)
    if near:
        return f"did you mean {' or '.join(map(spelled, near))}?"
    return f"there are {', '.join(map(spelled, sorted(known)))}"


def _mistakes(error: ValidationError) -> list[str]:
    lines = []
    for mistake in error.errors(include_url=False):
        name = str(mistake["loc"][0]) if mistake["loc"] else "settings"
        said = mistake["msg"].removeprefix("Value error, ")
        shown = "" if name in _SECRETS or mistake["type"] == "value_error" else f" (it is {mistake['input']!r})"
        lines.append(f"{PREFIX}{name.upper()}: {said[:1].lower()}{said[1:]}{shown}")
    return lines
