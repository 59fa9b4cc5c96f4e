"""Reads the chain forward, block by block, and brings each job's events to its inbox.

One thread. The block cursor is in the node's state; events are delivered before the cursor moves, and an event that
was recorded as delivered is not delivered again. Reading never goes beyond the head.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable

import structlog

from fedchain.chain import ChainClient, Consortium
from fedchain.chain.events import ChainEvent, JobProposed, RequestOpened
from fedchain.errors import ChainUnreachableError, WrongChainError
from fedchain.exchange.directory import Directory
from fedchain.exchange.fetcher import Fetcher
from fedchain.exchange.inbox import Inbox
from fedchain.exchange.records import Cursor
from fedchain.exchange.state import NodeState
from fedchain.types import JobId, Phase

log = structlog.get_logger(__name__)

MAX_RANGE = 200
"""Blocks per eth_getLogs."""

_IDLE_AFTER_SECONDS = 2.0
_LONGEST_PAUSE_SECONDS = 2.0

JobHandler = Callable[[JobProposed, Inbox], None]
RequestHandler = Callable[[RequestOpened, Inbox], None]


class Subscriber:
    """Routes events to inboxes, and tells the node of new jobs and requests.

    Args:
        client: the chain.
        consortium: its contracts.
        state: holds the cursor.
        directory: is kept up to date with registry events.
        fetcher: handed to the inboxes.
        me: this node's address; jobs without it on their roster are skipped.
        on_job: called in the subscriber's thread for each new job; must return quickly.
        on_request: the same for inference requests of a job of mine (my own ones included).
        poll_seconds: longest pause between looks at the head while a job waits; shorter just after an event.
        idle_poll_seconds: pause while nobody waits.
    """

    def __init__(
        self,
        client: ChainClient,
        consortium: Consortium,
        state: NodeState,
        directory: Directory,
        fetcher: Fetcher,
        *,
        me: str,
        on_job: JobHandler,
        on_request: RequestHandler,
        poll_seconds: float = 0.02,
        idle_poll_seconds: float = 0.2,
    ) -> None:
        self._client = client
        self._consortium = consortium
        self._state = state
        self._directory = directory
        self._fetcher = fetcher
        self._me = me
        self._on_job = on_job
        self._on_request = on_request
        self._poll_seconds = poll_seconds
        self._idle_poll_seconds = idle_poll_seconds
        self._inboxes: dict[JobId, Inbox] = {}
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="subscriber", daemon=True)
        self._active_at = 0.0
        self._at = self._resume_at()
        self.failure: BaseException | None = None

    @property
    def height(self) -> int:
        """The last block read, -1 before the first."""
        return self._at

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    def close(self, reason: BaseException) -> None:
        """Stop reading; whoever waits at an inbox gets `reason`."""
        self._stop.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(5.0)
        self._fail_all(reason)

    def inbox(self, job_id: JobId) -> Inbox | None:
        """The inbox of a job, None if there is none."""
        with self._lock:
            return self._inboxes.get(job_id)

    def resume(self, job_id: JobId, from_block: int | None) -> Inbox:
        """Open a known job's inbox after a restart, before `start`.

        Args:
            job_id: the job.
            from_block: deliver its events again from this block up to the cursor; None for none of them.
        """
        job = self._consortium.job(job_id)
        inbox = self._open(job_id, job.roster, job.policy.max_payload_bytes, job.phase)
        if from_block is not None and job.phase not in (Phase.COMPLETED, Phase.ABORTED):
            inbox.phase = Phase.PROPOSED
        start = self._at + 1 if from_block is None else from_block
        while start <= self._at:
            end = min(self._at, start + MAX_RANGE - 1)
            events = [e for e in self._consortium.events(start, end) if getattr(e, "job_id", None) == job_id]
            inbox.deliver(events, end)
            start = end + 1
        return inbox

    # -- the thread -------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        outage_since: float | None = None
        pause = self._poll_seconds
        while not self._stop.is_set():
            self._wake.clear()
            try:
                moved = self._step()
            except ChainUnreachableError as error:
                now = time.monotonic()
                if outage_since is None:
                    outage_since, pause = now, max(self._poll_seconds, 0.1)
                    log.warning("chain does not answer, trying again from the cursor", block=self._at, error=str(error))
                self._note_trouble(f"{error}; for {now - outage_since:.0f} s now")
                self._stop.wait(pause)
                pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
                continue
            except BaseException as error:
                self.failure = error
                log.error("reading the chain ended", block=self._at, error=str(error), exc_info=True)
                self._fail_all(error)
                return
            if outage_since is not None:
                seconds = round(time.monotonic() - outage_since, 1)
                log.info("chain answers again", block=self._at, outage_seconds=seconds)
                outage_since = None
                self._note_trouble("")
            if not moved:
                self._wake.wait(self._interval())

    def _interval(self) -> float:
        with self._lock:
            busy = any(inbox.waiting for inbox in self._inboxes.values())
        quiet = time.monotonic() - self._active_at
        if busy:
            # in proportion to the wait so far: little is lost when an answer is near, a long wait costs few requests
            return min(self._poll_seconds, max(self._poll_seconds / 8, quiet / 8))
        return self._idle_poll_seconds / 2 if quiet < _IDLE_AFTER_SECONDS else self._idle_poll_seconds

    def _step(self) -> bool:
        """Read one range of blocks; whether there was one."""
        head = self._client.head()
        if head <= self._at:
            if head < self._at:
                raise WrongChainError("the chain's head went back: last block read", self._at, head)
            return False
        end = min(head, self._at + MAX_RANGE)
        fresh = [
            event
            for event in self._consortium.events(self._at + 1, end)
            if not self._state.is_seen(event.block_hash, event.log_index)
        ]
        self._route(fresh, end)
        last = fresh[-1] if fresh else None
        block_hash = last.block_hash if last and last.block_number == end else self._client.block_hash(end)
        self._state.advance(Cursor(end, block_hash), [(e.block_hash, e.log_index, e.block_number) for e in fresh])
        self._at = end
        if fresh:
            self._active_at = time.monotonic()
        return True

    def _route(self, events: Iterable[ChainEvent], end: int) -> None:
        by_job: dict[JobId, list[ChainEvent]] = {}
        calls: list[Callable[[], None]] = []
        for event in events:
            self._directory.observe(event)
            job_id = getattr(event, "job_id", None)
            if isinstance(event, JobProposed) and self._me in event.roster:
                inbox = self._open(event.job_id, event.roster, event.policy.max_payload_bytes, Phase.PROPOSED)
                calls.append(lambda event=event, inbox=inbox: self._on_job(event, inbox))  # type: ignore[misc]
            inbox_or_none = None if job_id is None else self.inbox(job_id)
            if inbox_or_none is None:
                continue
            by_job.setdefault(inbox_or_none.job_id, []).append(event)
            if isinstance(event, RequestOpened):
                calls.append(lambda event=event, inbox=inbox_or_none: self._on_request(event, inbox))  # type: ignore[misc]
        with self._lock:
            inboxes = list(self._inboxes.values())
        for inbox in inboxes:
            inbox.deliver(by_job.get(inbox.job_id, ()), end)
        for call in calls:
            call()

    def _open(self, job_id: JobId, roster: tuple[str, ...], max_payload_bytes: int, phase: Phase) -> Inbox:
        with self._lock:
            inbox = self._inboxes.get(job_id)
            if inbox is None:
                inbox = Inbox(
                    job_id=job_id,
                    me=self._me,
                    roster=tuple(roster),
                    max_payload_bytes=max_payload_bytes,
                    directory=self._directory,
                    fetcher=self._fetcher,
                    on_wait=self._wake.set,
                    phase=phase,
                )
                self._inboxes[job_id] = inbox
            return inbox

    def _resume_at(self) -> int:
        cursor = self._state.cursor()
        if cursor is None:
            return -1
        head = self._client.head()
        if head < cursor.number:
            raise WrongChainError(f"head of the chain that {self._state.path} was written on", cursor.number, head)
        found = self._client.block_hash(cursor.number)
        if found != cursor.hash:
            raise WrongChainError(
                f"block {cursor.number} recorded in {self._state.path}", "0x" + cursor.hash.hex(), "0x" + found.hex()
            )
        return cursor.number

    def _note_trouble(self, trouble: str) -> None:
        with self._lock:
            for inbox in self._inboxes.values():
                inbox.trouble = trouble

    def _fail_all(self, error: BaseException) -> None:
        with self._lock:
            inboxes = list(self._inboxes.values())
        for inbox in inboxes:
            inbox.fail(error)
