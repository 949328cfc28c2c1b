"""Checks every alert when it is due, in one process of the cluster, and sends its messages."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

from sqlalchemy import Engine

from topics.errors import StoreUnavailable, WritebackError
from topics.log import Log
from topics.settings import Settings
from worker.alerts.decide import Clear, Raise, Told, decide
from worker.alerts.definition import Alert
from worker.alerts.findings import FAILED, Findings, failing
from worker.alerts.load import ALERTS
from worker.alerts.notify import Message, Notifier
from worker.alerts.state import AlertStates, Standing
from worker.alerts.threads import Threads
from worker.alerts.wording import csv_of, text_of
from worker.clock import Clock
from worker.log_events import logger
from worker.refresher.leases import Watch as LeaseWatch
from worker.syncs.definition.bounds import seconds
from worker.syncs.errors import SyncBusy
from worker.syncs.run.lease import held

LOOK_S = 1.0
"""Seconds between two looks at which alerts are due."""
FOLDER_S = 5.0
"""Seconds until a new file is noticed, at the most."""
LEASE = "*alerts"
"""The name of the lease. It shares a table with others, and no connection or sync can have such a name."""


class Watch:
    """Any number may run, in any processes: one checks the alerts, the others stand by."""

    def __init__(self, settings: Settings, store: Engine, log: Log, clock: Clock, folder: Path) -> None:
        self._store = store
        self._clock = clock
        self._folder = folder
        self._findings = Findings(settings, store)
        self._states = AlertStates(store)
        self._notifier = Notifier(settings, store, log)
        self._threads = Threads(self._states, log, self._notifier)
        self._leases = LeaseWatch()
        self._due: dict[str, float] = {}
        self._told: set[str] = set()
        self._stop = threading.Event()

    async def run(self, stop: asyncio.Event) -> None:
        """Work until ``stop`` is set; an alert that is being checked is finished first."""
        working = asyncio.create_task(asyncio.to_thread(self._run))
        asked = asyncio.create_task(stop.wait())
        await asyncio.wait([working, asked], return_when=asyncio.FIRST_COMPLETED)
        self._stop.set()
        asked.cancel()
        await working

    def _run(self) -> None:
        while not self._stop.is_set():
            if self._alerts():  # without alerts the store is left in peace
                try:
                    self._work()
                except SyncBusy:
                    pass  # another process looks
                except WritebackError as error:
                    logger().warning("alert.waiting", reason=str(error))
            self._stop.wait(FOLDER_S)
        self._notifier.close()

    def _work(self) -> None:
        with held(self._store, LEASE, monotonic=self._clock.monotonic, watch=self._leases) as holding:
            read_at = float("-inf")
            alerts: list[Alert] = []
            while not self._stop.is_set() and not holding.lost:
                now = self._clock.monotonic()
                if now - read_at >= FOLDER_S:
                    alerts, read_at = self._alerts(), now
                    if not alerts:
                        return
                for alert in alerts:
                    if now >= self._due.get(alert.name, 0.0) and not holding.lost:
                        self._due[alert.name] = now + seconds(alert.every)
                        self.look(alert)
                self.follow_up()
                self._stop.wait(LOOK_S)

    def _alerts(self) -> list[Alert]:
        found, wrong = ALERTS.readable(self._folder)
        for reason in set(wrong) - self._told:
            logger().error("alert.unreadable", reason=reason)
        self._told = set(wrong)
        return list(found.values())

    def look(self, alert: Alert) -> None:
        """Check the alert once, send its messages, and note what was told. Raises ``StoreUnavailable``."""
        standing = self._states.standing(alert.name)
        if standing.paused:
            return
        now, error = self._clock.now(), ""
        for said in self.says(alert, standing, now):
            try:
                self._tell(alert, said, now)
            except StoreUnavailable:
                raise
            except WritebackError as problem:  # tried again at the next look
                error = str(problem)
                logger().error("alert.not_told", alert=alert.name, reason=error)
        self._states.looked(alert.name, now=now, error=error)

    def follow_up(self) -> None:
        """Post rows into the threads of messages that are delivered by now."""
        self._threads.answer(self._clock.now())

    def says(self, alert: Alert, standing: Standing, now: float) -> list[Raise | Clear]:
        """What the alert has to say now. While its query fails it says so, and no earlier finding is over."""
        repeat = seconds(alert.repeat) if alert.repeat else None
        try:
            findings = self._findings.of(alert, now)
        except StoreUnavailable:
            raise
        except WritebackError as error:
            broken = {key: told for key, told in standing.told.items() if key == FAILED}
            return list(decide([failing(alert, error)], broken, repeat=repeat, now=now))
        return list(decide(findings, standing.told, repeat=repeat, now=now))

    def messages(self, alert: Alert, said: Raise | Clear) -> list[Message]:
        """The messages for it; none when the alert has no text for that."""
        text = text_of(alert, said)
        if not text:
            return []
        if isinstance(said, Clear):
            occasion = f"{said.told.key}:{said.told.since}:over"
        else:
            occasion = f"{said.finding.key}:{said.since}:{said.times}"
        return self._notifier.messages(alert, text, occasion, self._findings.standings(), csv_of(alert, said))

    def send_test(self, alert: Alert) -> list[Message]:
        """Send a test to everybody the alert could tell. Returns when the log has the messages."""
        said = f"{alert.name}: this is a test; nothing is wrong"
        everybody = alert.model_copy(update={"to": (*alert.to, *alert.otherwise), "otherwise": ()})
        messages = self._notifier.messages(everybody, said, f"test:{self._clock.now()}", {})
        self._notifier.tell(messages)
        self._notifier.close()
        return messages

    def check(self, alert: Alert) -> None:
        """Check that the alert can be looked at and told. Raises what is wrong with it."""
        self._notifier.check(alert)
        self._findings.of(alert, self._clock.now())

    def _tell(self, alert: Alert, said: Raise | Clear, now: float) -> None:
        messages = self.messages(alert, said)
        threads = self._threads.of(alert.name, messages, now)
        self._notifier.tell(messages)
        if isinstance(said, Clear):
            self._states.over(alert.name, [said.told.key])
            logger().info("alert.over", alert=alert.name, key=said.told.key)
            return
        finding = said.finding
        self._states.tell(alert.name, Told(finding.key, said.since, now, said.times, finding.reason), threads)
        logger().warning("alert.told", alert=alert.name, key=finding.key, count=finding.count, times=said.times)
