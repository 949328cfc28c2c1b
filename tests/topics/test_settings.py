"""Settings: where they come from, and one message for all mistakes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from topics.errors import SettingsError
from topics.settings import Settings, load_settings, seconds_of


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder without settings files, an environment without variables of ours."""
    for name in list(os.environ):
        if name.upper().startswith("WRITEBACK_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def mistakes() -> list[str]:
    with pytest.raises(SettingsError) as raised:
        load_settings()
    return [line.strip() for line in str(raised.value).splitlines()]


def test_defaults() -> None:
    """Without any setting everything is kept below the home folder."""
    settings = load_settings()

    assert settings.log == f"sqlite:///{Path.home()}/.writeback/log.db"
    assert settings.store == f"sqlite:///{Path.home()}/.writeback/store.db"


def test_the_environment_wins_over_dotenv_over_toml(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of three places the nearest to the process counts."""
    (tmp_path / "writeback.toml").write_text('group = "toml"\nmember = "toml"\nlog_level = "debug"\n')
    (tmp_path / ".env").write_text("WRITEBACK_GROUP=dotenv\nWRITEBACK_MEMBER=dotenv\n")
    monkeypatch.setenv("WRITEBACK_GROUP", "environment")

    settings = load_settings()

    assert (settings.group, settings.member, settings.log_level) == ("environment", "dotenv", "debug")


def test_every_mistake_in_one_message(monkeypatch: pytest.MonkeyPatch) -> None:
    """All wrong settings are told at once, each by its variable's name."""
    monkeypatch.setenv("WRITEBACK_LOG", "mysql://host")
    monkeypatch.setenv("WRITEBACK_GRACE_SECONDS", "0")
    monkeypatch.setenv("WRITEBACK_GRACE", "3")

    told = mistakes()

    assert told == [
        "3 settings are wrong:",
        "WRITEBACK_GRACE: no such setting; did you mean WRITEBACK_GRACE_SECONDS?",
        "WRITEBACK_LOG: is not a log; it is sqlite:///path/to/log.db or kafka://host:9092,host2:9092",
        "WRITEBACK_GRACE_SECONDS: input should be greater than 0 (it is '0')",
    ]


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("WRITEBACK_LOGG", "did you mean WRITEBACK_LOG?"),
        ("WRITEBACK_SECRETKEY", "did you mean WRITEBACK_SECRET_KEY?"),
        ("writeback_stroe", "did you mean WRITEBACK_STORE?"),
    ],
)
def test_a_slip_is_named_with_what_was_meant(name: str, hint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable that is nearly one of ours is an error that names ours."""
    monkeypatch.setenv(name, "x")

    assert mistakes()[1] == f"{name}: no such setting; {hint}"


def test_a_slip_in_a_file_is_named_with_the_file(tmp_path: Path) -> None:
    """Files are held to the same as the environment."""
    (tmp_path / "writeback.toml").write_text('grup = "x"\n')
    (tmp_path / ".env").write_text("WRITEBACK_MEMBR=x\nOTHER_PROGRAM=x\n")

    assert mistakes()[1:] == [
        "WRITEBACK_MEMBR: no such setting; did you mean WRITEBACK_MEMBER?",
        "grup in writeback.toml: no such setting; did you mean group?",
    ]


def test_a_file_that_is_no_toml_is_named(tmp_path: Path) -> None:
    """A broken settings file is a mistake like any other."""
    (tmp_path / "writeback.toml").write_text("log = ")

    assert mistakes()[1].startswith("writeback.toml: Invalid value")


def test_kubernetes_variables_are_no_mistake(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pod beside a service named writeback starts; what our own tests are told is no mistake either."""
    monkeypatch.setenv("WRITEBACK_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setenv("WRITEBACK_PORT_8080_TCP_ADDR", "10.0.0.1")
    monkeypatch.setenv("WRITEBACK_TEST_SEEDS", "7")

    assert load_settings().group == "writeback-worker"


def test_the_prefix_names_the_group(monkeypatch: pytest.MonkeyPatch) -> None:
    """Topics and groups begin with the prefix; a group that is set is taken as it is."""
    monkeypatch.setenv("WRITEBACK_PREFIX", "acme.eu")
    assert load_settings().group == "acme.eu-worker"
    assert load_settings().names.events_topic("hubspot") == "acme.eu.events.hubspot"

    monkeypatch.setenv("WRITEBACK_GROUP", "blue")
    assert load_settings().group == "blue"


@pytest.mark.parametrize(
    ("said", "seconds"),
    [("7d", 604_800), ("36h", 129_600), ("2 w", 1_209_600), ("1.5d", 129_600), ("forever", None), ("OFF", None)],
)
def test_retention(said: str, seconds: float | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A length of time as a person writes it, or for ever."""
    monkeypatch.setenv("WRITEBACK_EVENTS_RETENTION", said)

    assert seconds_of(load_settings().events_retention) == seconds


@pytest.mark.parametrize("said", ["7", "seven days", "-1d", "30m", "0d"])
def test_what_is_no_retention(said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What could be taken for another length, or deletes at once, is refused with what to write."""
    monkeypatch.setenv("WRITEBACK_EVENTS_RETENTION", said)

    with pytest.raises(SettingsError, match=r"WRITEBACK_EVENTS_RETENTION: is .*(36h, 7d, 2w|1h at least)"):
        load_settings()


def test_a_prefix_that_kafka_does_not_take(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is refused by the variable's name, before anything is made."""
    monkeypatch.setenv("WRITEBACK_PREFIX", "acme/eu")

    with pytest.raises(SettingsError, match="WRITEBACK_PREFIX: is 'acme/eu'; it is made of letters"):
        load_settings()


def test_kafka_with_a_local_store_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers on several machines cannot share a file on one; the message says both ways out."""
    monkeypatch.setenv("WRITEBACK_LOG", "kafka://broker:9092")

    assert mistakes()[1] == (
        "WRITEBACK_STORE: is a file on this machine, but the log is Kafka: give all machines one server, "
        "postgresql://user:password@host/db, or set WRITEBACK_SINGLE_HOST=true if everything runs here"
    )


@pytest.mark.parametrize(
    "others",
    [{"WRITEBACK_SINGLE_HOST": "true"}, {"WRITEBACK_STORE": "postgresql://u:p@db/writeback"}],
)
def test_kafka_with_a_fitting_store(others: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """One machine, or a store that is a server: both are taken."""
    for name, value in {"WRITEBACK_LOG": "kafka://broker:9092", **others}.items():
        monkeypatch.setenv(name, value)

    assert load_settings().log == "kafka://broker:9092"


def test_no_secret_in_a_message(monkeypatch: pytest.MonkeyPatch) -> None:
    """A message or a repr never repeats what may hold a password."""
    monkeypatch.setenv("WRITEBACK_STORE", "mysql://root:hunter2@db/x")
    monkeypatch.setenv("WRITEBACK_SECRET_KEY", "hunter2")

    assert "hunter2" not in "".join(mistakes())
    assert "hunter2" not in repr(Settings(store="postgresql://u:hunter2@db/x"))


def test_half_of_a_broker_login_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A mechanism without a user and a password is found at the start, not at the first connection."""
    monkeypatch.setenv("WRITEBACK_KAFKA_SECURITY_PROTOCOL", "SASL_SSL")
    monkeypatch.setenv("WRITEBACK_KAFKA_SASL_MECHANISM", "SCRAM-SHA-512")

    assert mistakes()[1] == (
        "WRITEBACK_KAFKA_SASL_PASSWORD: and WRITEBACK_KAFKA_SASL_USERNAME are both needed for SCRAM-SHA-512"
    )


@pytest.mark.parametrize(
    ("protocol", "name", "value", "needed"),
    [
        (None, "SASL_USERNAME", "me", "SASL_SSL"),
        ("SSL", "SASL_MECHANISM", "PLAIN", "SASL_SSL"),
        (None, "SSL_CAFILE", __file__, "SASL_SSL or SSL"),
        ("SASL_PLAINTEXT", "SSL_CAFILE", __file__, "SASL_SSL or SSL"),
    ],
)
def test_a_login_or_certificate_that_the_protocol_passes_over(
    protocol: str | None, name: str, value: str, needed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody is to believe that a connection is encrypted when it is not."""
    if protocol:
        monkeypatch.setenv("WRITEBACK_KAFKA_SECURITY_PROTOCOL", protocol)
    monkeypatch.setenv(f"WRITEBACK_KAFKA_{name}", value)

    assert f"WRITEBACK_KAFKA_{name}: has no effect: set WRITEBACK_KAFKA_SECURITY_PROTOCOL to {needed}" in mistakes()


def test_kafka_settings_have_the_clients_names(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What was set reaches the client under its own names, what was not set stays away."""
    ca = tmp_path / "ca.pem"
    ca.touch()
    for name, value in {
        "SECURITY_PROTOCOL": "SASL_SSL",
        "SASL_MECHANISM": "PLAIN",
        "SASL_USERNAME": "u",
        "SASL_PASSWORD": "p",
        "SSL_CAFILE": str(ca),
    }.items():
        monkeypatch.setenv(f"WRITEBACK_KAFKA_{name}", value)

    assert load_settings().kafka() == {
        "security_protocol": "SASL_SSL",
        "sasl_mechanism": "PLAIN",
        "sasl_plain_username": "u",
        "sasl_plain_password": "p",
        "ssl_cafile": str(ca),
    }


@pytest.mark.parametrize(
    ("log", "good"),
    [
        ("kafka://broker:9092", True),
        ("kafka://broker", True),
        ("kafka://10.0.0.1:9092,[::1]:9092,kafka-2.internal:9092/", True),
        ("kafka://broker:9092?security_protocol=SSL", False),
        ("kafka://ada:secret@broker:9092", False),
        ("kafka://broker:9092/topic", False),
        ("kafka://broker:9092,", False),
        ("kafka://broker:ninety", False),
    ],
)
def test_what_kafka_is_called(log: str, good: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Brokers and nothing behind them: the client would say something about int(), or pass it over."""
    monkeypatch.setenv("WRITEBACK_LOG", log)
    monkeypatch.setenv("WRITEBACK_SINGLE_HOST", "true")
    if good:
        assert load_settings().log == log
    else:
        with pytest.raises(SettingsError, match="WRITEBACK_LOG: is not a log; it is sqlite"):
            load_settings()
