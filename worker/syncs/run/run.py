"""One run of a sync, from taking its lease to its last event in the log; and the outcomes of the events."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import Engine

from connectors import registry
from connectors.connections.store import Connections
from topics.errors import LogUnavailable, WritebackError
from topics.event.event import new_id
from topics.log import Log, Partition, Producer
from topics.settings import Settings
from worker.clock import Clock
from worker.log_events import logger
from worker.refresher.leases import Watch
from worker.syncs.definition.model import Sync
from worker.syncs.errors import GuardStopped, SyncBusy
from worker.syncs.plan.destination import Found, compared
from worker.syncs.plan.file import PlanFile, unpacked
from worker.syncs.plan.guard import trips
from worker.syncs.plan.maker import Counts
from worker.syncs.plan.plan import Plan, Planner, open_source
from worker.syncs.plan.target import Target, target_of
from worker.syncs.run.lease import HeldLease, held
from worker.syncs.run.sending import Sender, others, recovered, removals
from worker.syncs.snapshot.blocks import key_from
from worker.syncs.source.shape import Refused
from worker.syncs.state.runs import Run, Runs, State, ends_of
from worker.syncs.state.sent import Outcomes
from worker.syncs.state.syncs import Standing, Syncs, fence

CLOSE_S = 5.0


def _silent(_count: int) -> None:
    return


@dataclass(frozen=True)
class Asked:
    """How a run was asked for.

    ``yes``: run whatever the guards say. ``failed``: send rows again whose event is a dead letter.
    ``plan``: carry out this plan, and nothing else. ``due``: the moment of the schedule that the run is for.
    ``patience``: seconds to wait for another process that runs the sync.

    For progress: ``reading`` is called with the number of rows read, then ``planned`` with the number of events to
    send, then ``sending`` with the number that the log has taken.
    """

    by: str
    yes: bool = False
    failed: bool = False
    plan: PlanFile | None = None
    due: float | None = None
    patience: float = 0.0
    reading: Callable[[int], None] = _silent
    sending: Callable[[int], None] = _silent
    planned: Callable[[int], None] = _silent


@dataclass(frozen=True)
class Ended:
    """``refused``: the first rows that no event could be made of."""

    run: Run
    refused: list[Refused]


@dataclass(frozen=True)
class Runner:
    """Runs the syncs of one installation."""

    settings: Settings
    store: Engine
    log: Log
    clock: Clock
    watch: Watch = field(default_factory=Watch)
    """What is known of other processes' leases, kept from one run to the next."""

    @contextmanager
    def planner(self, sync: Sync) -> Iterator[Planner]:
        """Open source and destination. Raises ``BadSync``, ``SourceFailed``, ``UnknownConnection``, ..."""
        connections = Connections(self.store, self.settings.secret_key)
        connection = connections.get(sync.connection)
        source = open_source(sync, self.settings)
        try:
            connector = registry.build_to_ask(connections, connection)
            yield Planner(self.store, source, target_of(sync, source.shape, connection, connector))
        finally:
            source.warehouse.close()

    def plan(
        self, sync: Sync, path: Path, *, failed: bool = False, tick: Callable[[int], None] = _silent
    ) -> tuple[Plan, Target]:
        """What a run would send now. Sends nothing, and changes nothing."""
        self.outcomes().catch_up()
        with self.planner(sync) as planner:
            standing = Syncs(self.store).standing(sync.name)
            return planner.make(standing, path, failed=failed, tick=tick), planner.target

    def at_the_destination(self, plan: Plan, target: Target, limit: int) -> Found:
        """Compare the first changes of a plan with their records at the destination. Each costs one API call.

        Raises ``CallFailed``, ``SecretsLocked``, ``SourceFailed``.
        """
        connections = Connections(self.store, self.settings.secret_key)
        secrets = connections.secrets(target.connection)
        tokens = connections.tokens(target.connection, secrets)
        connector = registry.build(target.connection, secrets, tokens=tokens)
        return compared(target, connector, plan.file.lines(), limit)

    def run(self, sync: Sync, asked: Asked) -> Ended:
        """Send all changes to the log. Returns when the log has them, not when they are delivered.

        Raises ``SyncBusy``, ``GuardStopped`` (nothing was sent), and what stops a run: ``SourceFailed``,
        ``LogUnavailable``, ``StoreUnavailable``. The next run goes on where this one was.
        """
        monotonic = self.clock.monotonic
        with held(self.store, sync.name, monotonic=monotonic, patience=asked.patience, watch=self.watch) as holding:
            syncs, runs = Syncs(self.store), Runs(self.store)
            syncs.claim(sync.name, holding.epoch)
            if asked.due is not None and not _still_due(syncs.standing(sync.name), asked.due):
                raise SyncBusy(f"sync {sync.name}: another process has just run it")
            run: Run | None = None
            try:
                with self.planner(sync) as planner:
                    outcomes = self.outcomes()
                    outcomes.begin()
                    outcomes.catch_up()
                    run = self._begin(planner.target, holding, asked)
                    refused = self._carry_out(planner, holding, run, asked)
            except BaseException as error:
                self._failed(sync, run, asked, error)
                if isinstance(error, GuardStopped) and asked.due is not None:
                    with holding.writing() as connection:
                        fence(connection, sync.name, holding.epoch, due=asked.due)
                raise
            runs.end(run.id, "ok", error="", now=self.clock.now())
            ended = runs.get(run.id)
            assert ended is not None
            return Ended(ended, refused)

    def outcomes(self) -> Outcomes:
        return Outcomes(self.store, self.log)

    def _begin(self, target: Target, holding: HeldLease, asked: Asked) -> Run:
        """A new run, after the batch of one that was cut off is finished. A cut-off run of mode full is continued."""
        runs, sync, slug = Runs(self.store), target.sync, target.connection.slug
        self.log.ensure_topics([self.log.names.events_spec(slug, target.connection.partitions)])
        for found in runs.unfinished(sync.name):
            self._finish(found, target, holding, asked)
            before = runs.get(found.id)
            assert before is not None
            if asked.plan is None and before.after is not None and before.mode == sync.mode == "full":
                runs.adopt(before, holding.epoch)
                return before
            runs.leave(before, holding.epoch, now=self.clock.now())
        now, epoch = self.clock.now(), holding.epoch
        return runs.begin(sync.name, slug, sync.mode, run=new_id(), epoch=epoch, asked_by=asked.by, now=now)

    def _finish(self, before: Run, target: Target, holding: HeldLease, asked: Asked) -> None:
        journal = Runs(self.store).journal(before.id)
        if journal is None:
            return
        already = recovered(self.log, target, ends_of(before), threading.Event().wait)
        refused: list[Refused] = []  # not reported here: the next run refuses the same rows
        with self._sender(target, before, holding, refused.append, asked.sending) as sender:
            sender.finish_cut_off(unpacked(journal), already)

    @contextmanager
    def _sender(
        self,
        target: Target,
        run: Run,
        holding: HeldLease,
        refuse: Callable[[Refused], None],
        tick: Callable[[int], None],
    ) -> Iterator[Sender]:
        producer = self.log.producer(name="sync")
        topic = self.log.names.events_topic(target.connection.slug)
        places = [Partition(topic, number) for number in range(self.log.topics(topic)[topic])]
        try:
            yield Sender(
                store=self.store,
                log=self.log,
                producer=producer,
                target=target,
                run=run,
                holding=holding,
                standing=Syncs(self.store).standing(run.sync),
                tick=tick,
                refuse=refuse,
                ends=self.log.end_offsets(places),
            )
        finally:
            _close(producer, holding)

    def _carry_out(self, planner: Planner, holding: HeldLease, run: Run, asked: Asked) -> list[Refused]:
        sync = planner.target.sync
        standing = Syncs(self.store).standing(sync.name)
        with ExitStack() as stack:
            if asked.plan is not None:
                planner.check(standing, asked.plan)
                file, counts = asked.plan, None
            else:
                folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="writeback-sync-")))
                after = key_from(run.after) if sync.mode == "full" and run.after is not None else None
                plan = planner.make(standing, folder / "plan", failed=asked.failed, after=after, tick=asked.reading)
                file, counts = plan.file, plan.counts
            told = file.foot()
            self._guard(sync, standing, counts or _counts(told), asked)
            self._note_planned(run, sync, told)
            asked.planned(sum(told[kind] for kind in ("added", "changed", "removed")))
            refused = list(counts.reasons) if counts else []
            sender = stack.enter_context(self._sender(planner.target, run, holding, refused.append, asked.sending))
            if sync.mode == "mirror" and told["removed"]:
                sender.carry_out(removals(file.lines()))
                sender.carry_out(others(file.lines()))
            else:
                sender.carry_out(file.lines())
            sender.finish(told["cursor"], asked.due)
        return refused

    def _guard(self, sync: Sync, standing: Standing, counts: Counts, asked: Asked) -> None:
        found = [] if asked.yes else list(trips(sync, counts, standing.rows))
        if found:
            raise GuardStopped(
                f"sync {sync.name} stopped before it sent anything: {'; '.join(found)}. See `writeback syncs plan "
                f"{sync.name}`; `writeback syncs run {sync.name} --yes` does it all the same"
            )

    def _note_planned(self, run: Run, sync: Sync, told: dict[str, Any]) -> None:
        noted = {name: told[name] for name in ("read", "unchanged", "held", "refused")}
        if sync.mode == "diff":
            noted["removed"] = told["removed"]
        Runs(self.store).planned(run.id, noted)

    def _failed(self, sync: Sync, run: Run | None, asked: Asked, error: BaseException) -> None:
        """Note the failure in the history. If the store is away, the run stays ``running`` until the next one."""
        said = "interrupted" if isinstance(error, KeyboardInterrupt) else _told(error)
        runs, now = Runs(self.store), self.clock.now()
        try:
            if run is not None:
                state: State = "stopped" if isinstance(error, GuardStopped) else "failed"
                runs.end(run.id, state, error=said, now=now)
            elif isinstance(error, Exception):
                names = (sync.name, sync.connection[:63], sync.mode)
                runs.not_begun(*names, run=new_id(), asked_by=asked.by, error=said, now=now)
        except WritebackError as unavailable:
            logger().warning("store.unavailable", error=str(unavailable))


def _told(error: BaseException) -> str:
    """The message of one of our errors; any other is a bug, so its type is named too."""
    if isinstance(error, WritebackError):
        return str(error) or type(error).__name__
    return f"{type(error).__name__}: {error}"


def _close(producer: Producer, holding: HeldLease) -> None:
    """With the lease lost, wait for no answer of the log: the journal has the batch, and the new holder sends it."""
    try:
        producer.close(0.0 if holding.lost else CLOSE_S)
    except LogUnavailable as error:
        if not holding.lost:
            raise
        logger().warning("log.unavailable", error=str(error))


def _still_due(standing: Standing, due: float) -> bool:
    return not standing.paused and (standing.due is None or standing.due < due)


def _counts(told: dict[str, Any]) -> Counts:
    """The counts that the guards need, of a plan that was made earlier."""
    counts = Counts(read=told["read"])
    counts.kinds.update({kind: told[kind] for kind in ("added", "changed", "removed")})
    counts.nulls.update(told["nulls"])
    return counts
