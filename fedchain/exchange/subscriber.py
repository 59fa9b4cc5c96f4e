"""Reads the chain forward, block by block, and brings each job's events to its inbox.

One thread. The block cursor is in the node's state; events are delivered before the cursor moves, and an event that
was recorded as delivered is not delivered again. Reading never goes beyond the head, nor beyond as many blocks below it
as this node waits for. Before it goes on, and now and then while nothing comes, the thread looks whether the last block
read still stands: after a reorganisation it goes back to one that does, and delivers what lies above anew.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from functools import partial

import structlog

from fedchain.chain import ChainClient, Consortium, JobPolicy
from fedchain.chain.events import ChainEvent, JobProposed, RequestOpened
from fedchain.chain.inference_events import RequestAsked
from fedchain.errors import ChainError, ChainUnreachableError, WrongChainError
from fedchain.exchange.directory import Directory
from fedchain.exchange.fetcher import Fetcher
from fedchain.exchange.inbox import Inbox
from fedchain.exchange.records import Cursor
from fedchain.exchange.state import NodeState
from fedchain.exchange.waits import Waits
from fedchain.messages import Envelope
from fedchain.types import JobId, Phase

log = structlog.get_logger(__name__)

FIRST_RANGE = 200
LARGEST_RANGE = 5000
"""Blocks per eth_getLogs: more while answers come easily, half as many when the node refuses."""

_IDLE_AFTER_SECONDS = 2.0
_LOOK_AGAIN_SECONDS = 1.0
_REFUSALS = 20
_LONGEST_PAUSE_SECONDS = 2.0

JobHandler = Callable[[JobProposed, Inbox], None]
RequestHandler = Callable[[RequestOpened | RequestAsked, Inbox], None]


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
        on_request: the same for inference requests of a job of mine (my own ones included), opened or asked strictly.
        poll_seconds: longest pause between looks at the head while a job waits; shorter just after an event.
        idle_poll_seconds: pause while nobody waits.
        confirmations: a block counts once so many lie above it; 0 where blocks are final at once.
        waits: the node's register of waits.
        on_reorganisation: called after this node has gone back, with each job that it follows; must return quickly.
        on_look: called about once a second while the chain answers; must return quickly.
        on_equivocation: called with job, sender and second envelope when a slot is found to hold two digests.
        on_replay: called with job, sender, first and second envelope when a ciphertext comes again in another round.
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
        confirmations: int = 0,
        waits: Waits | None = None,
        on_reorganisation: Callable[[JobId], None] = lambda job_id: None,
        on_look: Callable[[], None] = lambda: None,
        on_equivocation: Callable[[JobId, str, Envelope], None] = lambda job_id, sender, envelope: None,
        on_replay: Callable[[JobId, str, Envelope, Envelope], None] = lambda job_id, sender, first, second: None,
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
        self._confirmations = confirmations
        self._waits = waits or Waits()
        self._on_reorganisation = on_reorganisation
        self._on_look = on_look
        self._on_equivocation = on_equivocation
        self._on_replay = on_replay
        self._range = FIRST_RANGE
        self._began: dict[JobId, int] = {}
        self._at_hash: bytes | None = None
        self._looked_at = 0.0
        self._inboxes: dict[JobId, Inbox] = {}
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="subscriber", daemon=True)
        self._active_at = 0.0
        self.head, self.reorganisations = -1, 0
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

    def look(self) -> None:
        """Look at the chain now, if somebody waits for it; returns at once."""
        with self._lock:
            busy = any(inbox.waiting for inbox in self._inboxes.values())
        if busy:
            self._wake.set()

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
        inbox = self._open(job_id, job.roster, job.policy, job.phase)
        if from_block is None:
            return inbox
        self._began[job_id] = from_block
        if not job.phase.is_over:
            inbox.phase = Phase.PROPOSED
        self._replay(inbox, from_block)
        return inbox

    def _replay(self, inbox: Inbox, from_block: int) -> None:
        """Deliver a job's events up to the cursor again; payloads by reference are fetched when they are asked for."""
        inbox.arrivals.eager = False
        start = from_block
        while start <= self._at:
            events, end = self._events(start, self._at)
            inbox.deliver([one for one in events if getattr(one, "job_id", None) == inbox.job_id], end)
            start = end + 1
        inbox.arrivals.eager = True

    def _events(self, start: int, last: int) -> tuple[list[ChainEvent], int]:
        """Events from a block on, and up to which; fewer blocks at a time where the node refuses so many."""
        while True:
            end = min(last, start + self._range - 1)
            try:
                events = self._consortium.events(start, end)
            except ChainUnreachableError:
                raise
            except ChainError as error:
                if self._range == 1 or self._client.head() < end:  # or blocks went away after their number was asked
                    raise
                self._range = max(1, self._range // 2)
                log.info("reading fewer blocks at a time", blocks=self._range, error=str(error))
                continue
            if end - start + 1 == self._range:
                self._range = min(2 * self._range, LARGEST_RANGE)
            return events, end

    # -- the thread -------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        outage_since: float | None = None
        pause = self._poll_seconds
        refusals = 0
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
                refusals += 1
                if isinstance(error, ChainError) and not isinstance(error, WrongChainError) and refusals < _REFUSALS:
                    # blocks that vanish between two questions, a node behind the one that was asked before
                    log.warning("chain refuses, asking again from the cursor", block=self._at, error=str(error))
                    self._note_trouble(str(error))
                    self._stop.wait(min(0.05 * refusals, _LONGEST_PAUSE_SECONDS))
                    continue
                self.failure = error
                log.error("reading the chain ended", block=self._at, error=str(error), exc_info=True)
                self._fail_all(error)
                return
            if refusals:
                refusals = 0
                self._note_trouble("")
            if outage_since is not None:
                seconds = round(time.monotonic() - outage_since, 1)
                log.info("chain answers again", block=self._at, outage_seconds=seconds)
                outage_since = None
                self._note_trouble("")
            if not moved:
                self._wake.wait(self._interval())

    def _interval(self) -> float:
        with self._lock:
            waiting = [inbox for inbox in self._inboxes.values() if inbox.waiting]
        quiet = time.monotonic() - self._active_at
        if waiting and all(inbox.is_overlapping for inbox in waiting):
            return self._poll_seconds  # a round is closed while its party computes; and whoever commits nudges it
        if waiting:
            # in proportion to the wait so far: little is lost when an answer is near, a long wait costs few requests
            return min(self._poll_seconds, max(self._poll_seconds / 8, quiet / 8))
        return self._idle_poll_seconds / 2 if quiet < _IDLE_AFTER_SECONDS else self._idle_poll_seconds

    def _step(self) -> bool:
        """Read one range of blocks; whether there was one."""
        tip = self.head = self._client.head()
        head = tip - self._confirmations
        is_time_to_look = self._is_time_to_look()
        if is_time_to_look:
            self._on_look()
        if (head < 0 and self._at <= 0) or (head == self._at and not is_time_to_look):
            return False
        if self._has_been_reorganised(head):
            self._go_back(head)
            return True
        if head == self._at:
            return False
        found = self._range_up_to(head)
        if found is None:
            return True
        events, last = found
        fresh = [event for event in events if not self._state.is_seen(event.block_hash, event.log_index)]
        self._route(fresh, last.number)
        self._state.advance(last, [(e.block_hash, e.log_index, e.block_number) for e in fresh])
        self._at, self._at_hash = last.number, last.hash
        if fresh:
            self._active_at = time.monotonic()
        return True

    def _range_up_to(self, head: int) -> tuple[list[ChainEvent], Cursor] | None:
        """Events after the cursor, and the block they go up to; None if the chain changed between two questions."""
        events, end = self._events(self._at + 1, head)
        if events and events[-1].block_number == end:
            return events, Cursor(end, events[-1].block_hash)
        # the last block holds no event that would tell its hash: the events must lie between two equal answers
        before = self._client.block_hash(end)
        events = self._consortium.events(self._at + 1, end)
        return (events, Cursor(end, before)) if self._client.block_hash(end) == before else None

    def _is_time_to_look(self) -> bool:
        """About once a second; then the last block is looked at though there is no new one: it may be another."""
        now = time.monotonic()
        if now - self._looked_at < _LOOK_AGAIN_SECONDS:
            return False
        self._looked_at = now
        return True

    def _followed(self) -> list[Inbox]:
        """Inboxes of jobs that are not over."""
        with self._lock:
            return [inbox for inbox in self._inboxes.values() if inbox.job_id in self._began]

    def _has_been_reorganised(self, head: int) -> bool:
        """Whether the last block read is on the chain no more."""
        if self._at < 0 or self._at_hash is None:
            return False
        return head < self._at or self._client.block_hash(self._at) != self._at_hash

    def _go_back(self, head: int) -> None:
        """Set the cursor to a block that still stands, and bring the inboxes to it.

        Raises:
            WrongChainError: the chain is another one: it was reset.
        """
        self._state.require_genesis(self._client.genesis_hash())
        standing = next(
            (
                one
                for one in self._state.read_blocks()
                if one.number <= head and self._client.block_hash(one.number) == one.hash
            ),
            None,
        )
        if standing is None:
            standing = Cursor(0, self._client.genesis_hash())
        self.reorganisations += 1
        log.warning("the chain was reorganised, reading again", read=self._at, standing=standing.number, head=head)
        self._state.rewind(standing)
        self._at, self._at_hash = standing.number, standing.hash
        for inbox in self._followed():  # not those of jobs that had ended before: nobody waits for what came then
            inbox.rewind(Phase.PROPOSED)
            self._replay(inbox, self._began[inbox.job_id])
            self._on_reorganisation(inbox.job_id)

    def _route(self, events: Iterable[ChainEvent], end: int) -> None:
        by_job: dict[JobId, list[ChainEvent]] = {}
        calls: list[Callable[[], None]] = []
        for event in events:
            self._directory.observe(event)
            job_id = getattr(event, "job_id", None)
            if isinstance(event, JobProposed) and self._me in event.roster:
                inbox = self._open(event.job_id, event.roster, event.policy, Phase.PROPOSED)
                self._began[event.job_id] = event.block_number
                calls.append(lambda event=event, inbox=inbox: self._on_job(event, inbox))  # type: ignore[misc]
            inbox_or_none = None if job_id is None else self.inbox(job_id)
            if inbox_or_none is None:
                continue
            by_job.setdefault(inbox_or_none.job_id, []).append(event)
            if isinstance(event, (RequestOpened, RequestAsked)):
                calls.append(lambda event=event, inbox=inbox_or_none: self._on_request(event, inbox))  # type: ignore[misc]
        with self._lock:
            inboxes = list(self._inboxes.values())
        for inbox in inboxes:
            inbox.deliver(by_job.get(inbox.job_id, ()), end)
        for call in calls:
            call()

    def _open(self, job_id: JobId, roster: tuple[str, ...], policy: JobPolicy, phase: Phase) -> Inbox:
        with self._lock:
            inbox = self._inboxes.get(job_id)
            if inbox is None:
                inbox = Inbox(
                    job_id=job_id,
                    me=self._me,
                    roster=tuple(roster),
                    max_payload_bytes=policy.max_payload_bytes,
                    max_uplinks=policy.max_uplinks_per_round,
                    directory=self._directory,
                    fetcher=self._fetcher,
                    on_wait=self._wake.set,
                    phase=phase,
                    pipelined=policy.pipelined,
                    on_equivocation=partial(self._on_equivocation, job_id),
                    on_replay=partial(self._on_replay, job_id),
                    waits=self._waits,
                )
                self._inboxes[job_id] = inbox
            return inbox

    def _resume_at(self) -> int:
        cursor = self._state.cursor()
        if cursor is None:
            return -1
        self._at_hash = cursor.hash
        head = self._client.head() - self._confirmations
        self._at = cursor.number
        if self._has_been_reorganised(head):
            self._go_back(head)
        return self._at

    def _note_trouble(self, trouble: str) -> None:
        with self._lock:
            for inbox in self._inboxes.values():
                inbox.trouble = trouble

    def _fail_all(self, error: BaseException) -> None:
        with self._lock:
            inboxes = list(self._inboxes.values())
        for inbox in inboxes:
            inbox.fail(error)
