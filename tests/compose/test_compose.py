from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from typing import Any

import pytest
from prometheus_client.core import Metric

from tests.compose import specification
from topics.settings import PREFIX, Settings
from worker.observe.endpoints import MetricsServer

DOCUMENT = specification.load()
SERVICES: dict[str, dict[str, Any]] = DOCUMENT["services"]
WORKER = SERVICES["worker"]


def test_the_file_keeps_the_specification() -> None:
    """compose.yaml breaks no rule of the Compose specification's schema."""
    assert specification.mistakes(DOCUMENT) == []


def test_the_schema_refuses_what_is_wrong() -> None:
    """A misspelled key is found, so an empty list of mistakes means something."""
    document = specification.load()
    document["services"]["worker"]["stop_grace_perod"] = "30s"

    assert "stop_grace_perod" in " ".join(specification.mistakes(document))


def test_docker_reads_it() -> None:
    """Docker's own reader accepts the file, where it is installed; it needs no engine."""
    command = specification.docker_compose()
    if command is None:
        pytest.skip("docker compose is not installed")

    answer = subprocess.run(
        [*command, "--file", str(specification.COMPOSE), "config", "--quiet"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert (answer.returncode, answer.stderr) == (0, "")


def test_nothing_has_to_be_set_first() -> None:
    """Every variable has a default, so that `docker compose up --wait` works on a fresh checkout."""
    assert specification.without_default() == []


def test_the_services() -> None:
    """A broker, a database, a worker; refresher, relay and scheduler, on the same settings and one warehouse."""
    assert set(SERVICES) == {"kafka", "postgres", "worker", "refresher", "relay", "scheduler"}
    refresher, relay = dict(SERVICES["refresher"]["environment"]), dict(SERVICES["relay"]["environment"])
    scheduler = dict(SERVICES["scheduler"]["environment"])
    assert {scheduler.pop("WRITEBACK_SYNCS"), scheduler.pop("WRITEBACK_ALERTS")} == {
        volume.split(":")[1] for volume in SERVICES["scheduler"]["volumes"]
    }
    assert refresher == relay == scheduler
    assert refresher.pop("WRITEBACK_WAREHOUSE").startswith("postgresql://writeback:")
    assert refresher == {name: WORKER["environment"][name] for name in refresher}


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_says_when_it_is_healthy(name: str) -> None:
    """`up --wait` waits for something: each service has a health check that is not a shell line."""
    check = SERVICES[name]["healthcheck"]["test"]

    assert check[0] == "CMD"
    assert len(check) > 1


async def _asked(port: int) -> int:
    """The exit code of the worker's health check, asking on that port; ``python`` is the image's."""
    _, python, flag, program = WORKER["healthcheck"]["test"]
    given = WORKER["environment"]["WRITEBACK_METRICS_PORT"]
    assert (python, flag, program.count(f":{given}/")) == ("python", "-c", 1)
    check = await asyncio.create_subprocess_exec(
        sys.executable, flag, program.replace(f":{given}/", f":{port}/"), stderr=asyncio.subprocess.DEVNULL
    )
    return await check.wait()


async def _not_ready() -> str:
    return "the log is away"


async def _no_metrics() -> list[Metric]:
    return []


async def test_the_workers_health_check_asks_the_worker() -> None:
    """It is good while the worker's own server answers, whatever that says of the log, and bad when nothing does."""
    exposition = MetricsServer(_no_metrics, _not_ready)
    port = await exposition.start("127.0.0.1", 0)
    answered = await _asked(port)
    exposition.stop()

    assert (answered, await _asked(port)) == (0, 1)


@pytest.mark.parametrize("name", SERVICES)
def test_health_checks_give_up_in_time(name: str) -> None:
    """A check that hangs is over before the next one begins."""
    check = SERVICES[name]["healthcheck"]

    assert specification.seconds(check["timeout"]) < specification.seconds(check["interval"])


def test_the_worker_waits_for_what_it_needs() -> None:
    """The worker starts when broker and database are healthy, not when their containers exist."""
    waits = {name: needed["condition"] for name, needed in WORKER["depends_on"].items()}

    assert waits == {"kafka": "service_healthy", "postgres": "service_healthy"}


def test_the_worker_is_not_killed_inside_its_grace() -> None:
    """The container's stop period is longer than the grace, with room to flush and commit."""
    grace = float(WORKER["environment"]["WRITEBACK_GRACE_SECONDS"])

    assert specification.seconds(WORKER["stop_grace_period"]) >= grace + 5


def test_the_default_grace_fits_too() -> None:
    """Without the variable the worker's default grace also ends before the kill."""
    default = float(Settings.model_fields["grace_seconds"].default)

    assert specification.seconds(WORKER["stop_grace_period"]) > default


def test_the_workers_variables_are_settings() -> None:
    """Every variable handed to the worker is one that it reads."""
    known = {PREFIX + field.upper() for field in Settings.model_fields}

    assert set(WORKER["environment"]) <= known


def test_the_workers_settings_are_valid() -> None:
    """Log and store, as the container gets them, pass the settings' own checks."""
    given = {name.removeprefix(PREFIX).lower(): value for name, value in WORKER["environment"].items() if value}

    settings = Settings(**given)

    assert (settings.log, settings.store) == (
        "kafka://kafka:19092",
        "postgresql://writeback:writeback@postgres:5432/writeback",
    )


def test_the_worker_knocks_where_the_broker_listens() -> None:
    """The worker's bootstrap address is one that the broker advertises inside the network."""
    bootstrap = WORKER["environment"]["WRITEBACK_LOG"].removeprefix("kafka://")

    assert f"INTERNAL://{bootstrap}" in SERVICES["kafka"]["environment"]["KAFKA_ADVERTISED_LISTENERS"].split(",")


def test_the_published_broker_port_is_the_advertised_one() -> None:
    """A program on this machine is sent back to the port that is published."""
    (published,) = SERVICES["kafka"]["ports"]
    port = published.split(":")[1]

    assert f"HOST://localhost:{port}" in SERVICES["kafka"]["environment"]["KAFKA_ADVERTISED_LISTENERS"].split(",")


def test_the_store_is_the_database_that_is_made() -> None:
    """User, password and database of the worker's store are the ones that the image creates."""
    made = SERVICES["postgres"]["environment"]
    store = f"postgresql://{made['POSTGRES_USER']}:{made['POSTGRES_PASSWORD']}@postgres:5432/{made['POSTGRES_DB']}"

    assert WORKER["environment"]["WRITEBACK_STORE"] == store


@pytest.mark.parametrize("name", ["kafka", "postgres"])
def test_ports_are_published_on_loopback_only(name: str) -> None:
    """Nothing that has a default password is offered to the network."""
    assert all(port.startswith("127.0.0.1:") for port in SERVICES[name]["ports"])


@pytest.mark.parametrize("name", ["kafka", "postgres"])
def test_data_outlives_the_container(name: str) -> None:
    """Broker and database keep their data in a named volume."""
    volumes = [mount.split(":")[0] for mount in SERVICES[name]["volumes"]]

    assert volumes
    assert set(volumes) <= set(DOCUMENT["volumes"])


@pytest.mark.parametrize("name", SERVICES)
def test_images_name_a_version(name: str) -> None:
    """No image floats: each has a tag that is not `latest`."""
    tag = SERVICES[name]["image"].rpartition(":")[2]

    assert re.fullmatch(r"\d[\w.-]*", tag)


@pytest.mark.parametrize(
    ("duration", "expected"), [("30s", 30), ("1m30s", 90), ("500ms", 0.5), ("2h", 7_200), ("1m", 60)]
)
def test_durations(duration: str, expected: float) -> None:
    """The specification's durations are read as it defines them."""
    assert specification.seconds(duration) == expected


@pytest.mark.parametrize("duration", ["", "30", "s30", "1.5s"])
def test_wrong_durations(duration: str) -> None:
    """What is not a duration is refused, not read as nought."""
    with pytest.raises(ValueError, match="not a duration"):
        specification.seconds(duration)
