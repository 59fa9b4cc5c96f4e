"""A node's jobs: checks what is proposed, takes part, keeps the outcome; one thread for each job."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import TypeVar

import structlog
from structlog.contextvars import bind_contextvars

from fedchain.chain import JobProposed
from fedchain.chain.artifacts import AUDITS
from fedchain.compute.executor import Executor
from fedchain.crypto.dlog import DlogTable
from fedchain.data.digest import table_digest
from fedchain.data.table import Table
from fedchain.errors import (
    ChainError,
    ChainUnreachableError,
    ConfigError,
    DataError,
    FedchainError,
    StoppingError,
)
from fedchain.exchange import Exchange, Inbox
from fedchain.exchange.channel import JobChannel, shorten
from fedchain.exchange.outages import through_outages
from fedchain.exchange.records import JobRecord
from fedchain.federation.auditing import REMEMBERED, seed_of
from fedchain.federation.checkpoint import checkpoint_of
from fedchain.federation.party import JobOutcome, job_party
from fedchain.federation.spec import JobSpec
from fedchain.federation.tables import read_party_table
from fedchain.model.shard import model_digest
from fedchain.node.admission import Admission, require_size
from fedchain.node.agreeing import agreed
from fedchain.node.checkpoints import find_checkpoint
from fedchain.node.config import NodeConfig
from fedchain.node.driver import OnStage, run_job
from fedchain.node.jobfiles import JobFiles
from fedchain.node.jobpolicy import patience_of
from fedchain.node.journal import Journal
from fedchain.node.pace import Pace
from fedchain.node.progress import ProgressBoard
from fedchain.node.setepochs import SetEpochs
from fedchain.node.settlements import has_open_audit
from fedchain.node.settling import Settler
from fedchain.node.terms import check_terms, terms_of
from fedchain.protocol.actions import Party, Stage
from fedchain.types import JobId, PartyId, Phase, Role

log = structlog.get_logger(__name__)

T = TypeVar("T")

_OUTAGE_SECONDS = 600.0
"""How long the chain may be away when a job is to begin; from then on the job's own deadline counts."""


def _require_same(table: Table, journal: Journal) -> None:
    """What was recorded and sent before a restart came from the very table that was read now.

    Raises:
        DataError: it is another one.
    """
    digest = table_digest(table)
    if journal.remember("table", lambda: digest) != digest:
        raise DataError(
            f"{table.source}: changed since this node began the job; put the table back as it was, or abort the job"
        )


class Jobs:
    """Runs jobs that have this node on their roster.

    Args:
        config: the node's.
        exchange: its traffic.
        address: its address.
        executor: for heavy local work.
        board: is told of progress.
        settler: settles the contributions of jobs that are completed.

    Attributes:
        table_lock: held while the node's table is read for a job; whoever replaces the table holds it, too.
    """

    def __init__(
        self,
        config: NodeConfig,
        exchange: Exchange,
        *,
        address: str,
        executor: Executor,
        board: ProgressBoard,
        settler: Settler,
    ) -> None:
        self._config = config
        self._exchange = exchange
        self._address = address
        self._executor = executor
        self._board = board
        self._settler = settler
        self._set_epochs = SetEpochs(config.state.folder, config.alignment)
        self._admission = Admission(config.alignment, exchange.consortium, exchange.state.jobs, address)
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._started: set[JobId] = set()
        self.table_lock = threading.Lock()

    def on_job(self, event: JobProposed, inbox: Inbox) -> None:
        """A job was proposed: record it and start to work on it. Called in the subscriber's thread."""
        recorded = self._exchange.state.remember_job(
            JobRecord(event.job_id, event.block_number, event.proposer, event.spec)
        )
        if recorded.status == "proposed":
            self._start(recorded, inbox)

    def resume(self) -> None:
        """After a restart: go on with every job that is not over, from what its journal and the chain hold.

        Raises:
            ConfigError: one of them belongs to another version of the contracts.
        """
        state, consortium = self._exchange.state, self._exchange.consortium
        self._set_epochs.sweep()
        for record in state.jobs():
            if record.status not in ("proposed", "running"):
                if JobFiles(self._config.state.folder, record.job_id).journal.exists:
                    self._clear(record.job_id)  # an earlier process was killed between the job's end and that
                self._show(record.job_id, _name_in(record.spec), record.status, record.error)
                continue
            job = consortium.job(record.job_id)
            if job.phase is Phase.NONE:
                raise ConfigError(
                    f"job {record.job_id} is not over, and is not of these contracts (version "
                    f"{consortium.deployment.version}): jobs end in the version in which they were proposed; set "
                    "[chain] deployment to that version's file until it has ended"
                )
            files = JobFiles(self._config.state.folder, record.job_id)
            if job.phase == Phase.COMPLETED and files.complete:
                digests = [consortium.shard_digest(record.job_id, address) for address in job.roster]
                files.name_model(model_digest([one for one in digests if one is not None]))
                self._settler.owe(record.job_id, files.load()[0])
                self._settle(record, "completed")
            elif job.phase in (Phase.ABORTED, Phase.EXPIRED):
                self._close_ended(record, f"the job was {job.phase.name.lower()} while this node was away")
            else:
                inbox = self._exchange.subscriber.resume(record.job_id, record.block)
                self._start(record, inbox, resumed=record.status == "running")

    def _close_ended(self, record: JobRecord, error: str) -> None:
        """A job was ended while this node was away; what it still owes to its audit is done before all is forgotten."""
        journal = JobFiles(self._config.state.folder, record.job_id).journal
        remembered = journal.remembered(REMEMBERED)
        if remembered is None or not has_open_audit(self._exchange.consortium, record.job_id):
            self._settle(record, "failed", error)
            return
        inbox = self._exchange.subscriber.resume(record.job_id, record.block)
        self._begin(record, lambda: self._end_audit(record, inbox, seed_of(remembered), error))

    def _end_audit(self, record: JobRecord, inbox: Inbox, seed: bytes, error: str) -> None:
        bind_contextvars(job=record.job_id)
        try:
            spec, parties = agreed(self._exchange, record)
            self._channel(inbox, spec, parties, resumed=True).audit.end(seed)
        except StoppingError:
            self._show(record.job_id, _name_in(record.spec), "paused")
            return
        except Exception as failure:
            log.warning("the audit of a job that has ended is left as it is", job=record.job_id, error=str(failure))
        self._settle(record, "failed", error)

    def users_of_table(self) -> list[JobId]:
        """Jobs that are not over here: after a restart they go on from the very table that they began with."""
        return [record.job_id for record in self._exchange.state.jobs() if record.status == "running"]

    def join(self, seconds: float) -> None:
        """Wait for the jobs' threads, at most this long altogether."""
        deadline = time.monotonic() + seconds
        with self._lock:
            threads = list(self._threads)
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    # -- one job ----------------------------------------------------------------------------------------------------

    def _start(self, record: JobRecord, inbox: Inbox, *, resumed: bool = False) -> None:
        self._begin(record, lambda: self._run(record, inbox, resumed))

    def _begin(self, record: JobRecord, work: Callable[[], None]) -> None:
        thread = threading.Thread(target=work, name=f"job-{record.job_id[2:10]}", daemon=True)
        with self._lock:
            if record.job_id in self._started:
                return  # its proposal was delivered again after a crash
            self._started.add(record.job_id)
            self._threads = [one for one in self._threads if one.is_alive()] + [thread]
        thread.start()

    def _run(self, record: JobRecord, inbox: Inbox, resumed: bool) -> None:
        bind_contextvars(job=record.job_id)  # the thread is this job's alone
        name = _name_in(record.spec)
        try:
            spec, parties = self._read(record.job_id, partial(agreed, self._exchange, record), "reading a proposed job")
        except ChainUnreachableError as error:
            self._failed(record, name, error)
            return
        except Exception as error:
            self._abort(record.job_id, f"party {self._config.name} cannot take the spec: {type(error).__name__}")
            self._failed(record, name, error)
            return
        if record.proposer != self._address and not self._config.jobs.takes(spec.name):
            log.info("job declined: not in [jobs] accept", job=record.job_id, name=spec.name)
            self._settle(record, "declined")
            return
        self._exchange.state.set_job_status(record.job_id, "running")
        self._show(record.job_id, spec.name, "running")
        try:
            self._take_part(record, inbox, spec, parties, resumed)
        except StoppingError:
            self._show(record.job_id, name, "paused")
        except Exception as error:
            self._failed(record, name, error)
        else:
            self._settle(record, "completed")

    def _channel(self, inbox: Inbox, spec: JobSpec, parties: Mapping[PartyId, str], *, resumed: bool) -> JobChannel:
        return self._exchange.channel(
            inbox,
            parties,
            deadline_seconds=spec.policy.deadline_seconds,
            resumed=resumed,
            pipelined=spec.policy.pipelined,
            patience=patience_of(spec),
        )

    def _take_part(
        self, record: JobRecord, inbox: Inbox, spec: JobSpec, parties: Mapping[PartyId, str], resumed: bool
    ) -> None:
        channel = self._channel(inbox, spec, parties, resumed=resumed)
        files = JobFiles(self._config.state.folder, record.job_id)
        journal = files.journal
        on_stage = self._on_stage(record.job_id, spec.name)
        started = time.monotonic()
        if resumed:
            log.info("job goes on after a restart", job=record.job_id, name=spec.name)
        try:
            me = PartyId(self._config.name)
            self._set_epochs.require_willing(spec, me)
            if spec.contribution.audit and AUDITS not in self._exchange.consortium.deployment.addresses:
                raise ConfigError(
                    f"job '{spec.name}' asks for an audit of contributions, and this consortium's contracts are of a "
                    "version that has none; `fedchain deploy --upgrade` adds it"
                )
            admit = partial(self._admission.admit, record.job_id, parties)
            self._read(record.job_id, admit, "counting alignments")
            with self.table_lock:  # the job is `running` by now: nobody replaces the table behind it
                table = read_party_table(self._config.table, spec, me)
                _require_same(table, journal)
            log.info(
                "table read",
                rows=len(table),
                blank_ids=table.blank_ids,
                unreadable_ids=table.unreadable_ids,
                repeated_ids=table.repeated_ids,
            )
            checkpoint = find_checkpoint(self._config.state.folder, spec)
            checkpoint_of(spec, me, table, checkpoint)
            dlog, is_active = None, spec.party(self._config.name).role is Role.ACTIVE
            if is_active:
                dlog = DlogTable.load_or_build(executor=self._executor)
                channel.set_terms(terms_of(spec))
            channel.accept()
            if not is_active:
                check = partial(check_terms, self._exchange.consortium, record.job_id, spec)
                self._read(record.job_id, check, "reading the job's terms")
        except StoppingError:
            raise
        except BaseException as error:
            channel.give_up(f"party {channel.me} cannot take part: {type(error).__name__}")
            raise

        def keep(outcome: object) -> None:
            assert isinstance(outcome, JobOutcome)
            extra = {
                "job_id": record.job_id,
                "job_name": spec.name,
                "seconds": round(time.monotonic() - started, 3),
                "own_rows": len(table),
                "blank_ids": table.blank_ids,
                "unreadable_ids": table.unreadable_ids,
                "repeated_ids": table.repeated_ids,
            }
            files.save(spec, outcome, extra)

        def admit_set(peer: PartyId, size: int, own: int) -> None:
            require_size(self._config.alignment, peer, size, own)
            if spec.alignment.cached == me:
                self._set_epochs.charge(record.job_id, peer, size)

        def party() -> Party[JobOutcome]:
            return job_party(
                spec,
                me,
                table,
                executor=self._executor,
                dlog=dlog,
                checkpoint=checkpoint,
                fill_pools=self._config.jobs.fill_pools,
                admit=admit_set,
                cached_sets=self._set_epochs.of_job(record.job_id, journal),
            )

        outcome = run_job(party, channel, on_stage, keep, journal)
        keep(outcome)  # now with the model's digest
        channel.wait_phase(Phase.COMPLETED)
        channel.inbox.forget_before(channel.round + 1)
        if self._settler.owe(record.job_id, spec):
            self._settler.settle(record.job_id)

    def _read(self, job_id: JobId, look: Callable[[], T], what: str) -> T:
        """Read the chain for a job that begins, through outages."""
        until = time.monotonic() + _OUTAGE_SECONDS
        return through_outages(look, lambda: None, until, what, waits=self._exchange.waits, job_id=job_id)

    # -- telling ----------------------------------------------------------------------------------------------------

    def _on_stage(self, job_id: JobId, name: str) -> OnStage:
        started = time.monotonic()
        pace = Pace()

        def on_stage(stage: Stage) -> None:
            rate, left = pace.note(stage)
            self._board.post(
                "stage",
                job=job_id,
                name=name,
                party=self._config.name,
                stage=stage.name,
                done=stage.done,
                total=stage.total,
                detail=stage.detail,
                seconds=round(time.monotonic() - started, 3),
                per_second=None if rate is None else round(rate, 3),
                left_seconds=None if left is None else round(left, 1),
            )

        return on_stage

    def _failed(self, record: JobRecord, name: str, error: Exception) -> None:
        log.error("job failed", job=record.job_id, name=name, error=str(error), kind=type(error).__name__)
        if not isinstance(error, FedchainError):
            log.error("this is a defect of fedchain; please report it", exc_info=error)
        self._settle(record, "failed", f"{type(error).__name__}: {' '.join(str(error).split())}")

    def _settle(self, record: JobRecord, status: str, error: str = "") -> None:
        self._exchange.state.set_job_status(record.job_id, status, error)
        self._clear(record.job_id)
        if status == "completed":
            log.info("job completed", job=record.job_id, name=_name_in(record.spec))
        self._show(record.job_id, _name_in(record.spec), status, error)

    def _clear(self, job_id: JobId) -> None:
        """Delete what a job needed while it ran. The journal goes last: where it is gone, all is."""
        self._exchange.forget(job_id)
        self._set_epochs.release(job_id)
        JobFiles(self._config.state.folder, job_id).journal.forget()

    def _show(self, job_id: JobId, name: str, status: str, error: str = "") -> None:
        self._board.post("job", job=job_id, name=name, party=self._config.name, status=status, error=error)

    def _abort(self, job_id: JobId, reason: str) -> None:
        try:
            self._exchange.consortium.abort(job_id, shorten(reason))
        except ChainError as error:
            log.warning("job could not be aborted on chain", job=job_id, error=str(error))


def _name_in(spec: bytes) -> str:
    try:
        return JobSpec.from_bytes(spec).name
    except ConfigError:
        return "?"
