"""A real Debezium for a test: Kafka Connect, standalone, from Maven Central's jars."""

from __future__ import annotations

import fcntl
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.kafka_broker import CACHE, LOG4J, SUPERVISOR, NoBroker
from tests.ports import free_port

DEBEZIUM, KAFKA = "3.6.1.Final", "4.3.1"
POM = f"""<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
<groupId>writeback</groupId><artifactId>connect</artifactId><version>1</version><dependencies>
<dependency><groupId>io.debezium</groupId><artifactId>debezium-connector-postgres</artifactId>
<version>{DEBEZIUM}</version></dependency>
<dependency><groupId>org.apache.kafka</groupId><artifactId>connect-runtime</artifactId><version>{KAFKA}</version></dependency>
<dependency><groupId>org.apache.logging.log4j</groupId><artifactId>log4j-slf4j-impl</artifactId>
<version>2.25.3</version></dependency>
</dependencies></project>
"""
WORKER = """bootstrap.servers={bootstrap}
key.converter=org.apache.kafka.connect.storage.StringConverter
value.converter=org.apache.kafka.connect.storage.StringConverter
offset.storage.file.filename={folder}/offsets
offset.flush.interval.ms=1000
listeners=http://127.0.0.1:{port}
"""


def connect_jars() -> Path:
    """The folder with the jars, fetched at the first call on a machine. Raises ``NoBroker``."""
    CACHE.mkdir(parents=True, exist_ok=True)
    home = CACHE / f"debezium-{DEBEZIUM}"
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if home.is_dir():
            return home
        with tempfile.TemporaryDirectory(dir=CACHE) as folder:
            pom, libs = Path(folder) / "pom.xml", Path(folder) / "libs"
            pom.write_text(POM)
            copy = ["dependency:copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={libs}"]
            command = ["mvn", "--quiet", "--batch-mode", "--file", str(pom), *copy]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                raise NoBroker(f"Maven could not fetch Debezium {DEBEZIUM}: {done.stdout[-1_000:]}")
            return libs.rename(home)


@contextmanager
def running_connect(folder: Path, bootstrap: str, connector: dict[str, str]) -> Iterator[Path]:
    """Runs that connector until the end of the block, and ends with our process; gives the file of what it says."""
    libs = connect_jars()
    folder.mkdir()
    (folder / "log4j2.properties").write_text(LOG4J)
    (folder / "worker.properties").write_text(WORKER.format(bootstrap=bootstrap, folder=folder, port=free_port()))
    lines = (f"{name}={value}" for name, value in connector.items())
    (folder / "connector.properties").write_text("\n".join(lines))
    java = [
        "java",
        "-Xms128m",
        "-Xmx384m",
        "-XX:+UseSerialGC",
        f"-Dlog4j2.configurationFile={folder}/log4j2.properties",
    ]
    main = ["-cp", f"{libs}/*", "org.apache.kafka.connect.cli.ConnectStandalone"]
    files = [str(folder / "worker.properties"), str(folder / "connector.properties")]
    said = folder / "connect.log"
    with said.open("wb") as out:
        process = subprocess.Popen(
            ["sh", "-c", SUPERVISOR, "sh", *java, *main, *files],
            stdin=subprocess.PIPE, stdout=out, stderr=out, start_new_session=True,
        )  # fmt: skip
    try:
        yield said
    finally:
        assert process.stdin is not None
        process.stdin.close()
        process.wait(60)
