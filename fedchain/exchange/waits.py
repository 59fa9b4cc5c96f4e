"""Whom a node waits for, for what, since when, and how long at most: every wait is entered here while it lasts.

Soft and hard deadlines are learned from a party's own times: how long this node has waited for the same kind of thing
of the same party in the same job. Soft is their median plus five times their median absolute deviation, hard three
times that, and neither is above the job's own deadline. Source of the rule: `[policy]` in docs/reference/job.md.
"""

from __future__ import annotations

import itertools
import statistics
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

import structlog

from fedchain.anomaly.pace import is_implausibly_fast
from fedchain.types import JobId, Kind

log = structlog.get_logger(__name__)

SOFT_FLOOR_SECONDS = 5.0
"""Whoever is always on time is not called late for a few seconds."""

LEARN_FROM = 5
"""Samples before there are learned deadlines."""

_SAMPLES = 64
_DEVIATIONS = 5.0
_HARD_FACTOR = 3.0

THE_CHAIN = "the chain"
"""Who is waited for until a transaction is mined, or the chain's node answers."""

ABOUTS = frozenset(
    {
        "accreditation",  # of this node, by a steward
        "attempt",  # of a round that was not accepted, by the active party
        "audit_step",  # of a party, in an audit
        "conclusion",  # of an audit
        "mining",  # of a transaction
        "outage",  # of the chain
        "phase",  # of a job
        "proofs",  # of faults, before a party gives up
        "restored",  # what a reorganisation took back
        "rotation",  # of this node's key
        "round",  # to be begun by the active party
        "settling",  # of contributions, which was refused or did not arrive
        "verdict",  # on the uplinks of a pipelined round
        "view",  # that the chain's node shows what its events told
        *(kind.name.lower() for kind in Kind),  # a message
    }
)
"""What a wait may be about. Each has a kill test: `tests/unit/exchange/test_wait_kinds.py` says where."""


@dataclass(frozen=True)
class Patience:
    """A job's policy about parties that are late.

    Attributes:
        deadline_seconds: of each wait.
        at_soft_deadline: `warn`: say so in the log; `nothing`.
        at_hard_deadline: `wait`: on, until `deadline_seconds`; `abort`: give up.
    """

    deadline_seconds: float
    at_soft_deadline: Literal["warn", "nothing"] = "warn"
    at_hard_deadline: Literal["wait", "abort"] = "wait"


@dataclass
class Wait:
    """One wait, while it lasts.

    Attributes:
        number: counts up in one process.
        job_id: empty for what belongs to no job.
        about: the kind of thing, one of `ABOUTS`.
        what: it, in words.
        who: names of those who are waited for.
        since: seconds since 1970.
        begun: `time.monotonic()` seconds.
        limit_seconds: when the wait ends in any case.
        soft_seconds, hard_seconds: the learned deadlines, None while there are not enough samples.
        patience: the job's policy, None where there is none.
        is_fast: once it is over: whether the answer came faster than the work behind it can plausibly take.
        is_late, is_overdue: whether it has passed its soft, and its hard deadline.
    """

    number: int
    job_id: str
    about: str
    what: str
    who: tuple[str, ...]
    since: float
    begun: float
    limit_seconds: float
    soft_seconds: float | None = None
    hard_seconds: float | None = None
    patience: Patience | None = None
    is_fast: bool = field(default=False, init=False)
    is_late: bool = field(default=False, init=False)
    is_overdue: bool = field(default=False, init=False)

    @property
    def is_for_parties(self) -> bool:
        """Whether parties are waited for, not the chain."""
        return THE_CHAIN not in self.who

    @property
    def standing(self) -> Literal["waiting", "late", "overdue"]:
        """`late` from the soft deadline on, `overdue` from the hard one on."""
        return "overdue" if self.is_overdue else "late" if self.is_late else "waiting"

    @property
    def give_up_at(self) -> float:
        """`time.monotonic()` seconds: the limit, or the hard deadline where the job's policy says so."""
        seconds = self.limit_seconds
        if self.hard_seconds is not None and self.patience is not None and self.patience.at_hard_deadline == "abort":
            seconds = min(seconds, self.hard_seconds)
        return self.begun + seconds

    def seconds(self, now: float | None = None) -> float:
        """How long it has lasted."""
        return (time.monotonic() if now is None else now) - self.begun


Listener = Callable[[Wait, float, bool], None]


class Waits:
    """A node's register of waits. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)
        self._current: dict[int, Wait] = {}
        self._samples: dict[tuple[str, str, str], deque[float]] = {}
        self._misses: dict[str, Counter[str]] = {}
        self._listeners: list[Listener] = []

    @contextmanager
    def on(
        self,
        who: Sequence[str],
        about: str,
        what: str,
        deadline: float,
        *,
        job_id: str = "",
        patience: Patience | None = None,
    ) -> Iterator[Wait]:
        """Enter a wait for as long as the block lasts; when it ends without an error, its time is a sample.

        Args:
            who: names of those who are waited for; may be changed in the wait while it lasts.
            about, what: see `Wait`.
            deadline: in `time.monotonic()` seconds.
            job_id: the job.
            patience: its policy; without it nothing is learned.

        Raises:
            ValueError: `about` is none of `ABOUTS`.
        """
        if about not in ABOUTS:
            raise ValueError(f"a wait about '{about}', which is none of: {', '.join(sorted(ABOUTS))}")
        begun = time.monotonic()
        wait = Wait(
            number=next(self._numbers),
            job_id=job_id,
            about=about,
            what=what,
            who=tuple(who),
            since=time.time(),
            begun=begun,
            limit_seconds=max(0.0, deadline - begun),
            patience=patience,
        )
        wait.soft_seconds, wait.hard_seconds = self.deadlines(job_id, wait.who, about, wait.limit_seconds)
        with self._lock:
            self._current[wait.number] = wait
        awaited, arrived = wait.who, False
        try:
            yield wait
            arrived = True
        finally:
            if not arrived or wait.hard_seconds is not None:
                self.look(wait)
            seconds = wait.seconds()
            with self._lock:
                del self._current[wait.number]
                listeners = list(self._listeners)
            if arrived and patience is not None and len(awaited) == 1:
                self._look_back(wait, awaited[0], seconds)
                if not wait.is_fast:  # else the next one like it would be no surprise
                    self.learn(job_id, awaited[0], about, seconds)
            for listener in listeners:
                listener(wait, seconds, arrived)

    def learn(self, job_id: str, who: str, about: str, seconds: float) -> None:
        """Add a sample of a party's times."""
        with self._lock:
            self._samples.setdefault((job_id, who, about), deque(maxlen=_SAMPLES)).append(seconds)

    def deadlines(
        self, job_id: str, who: Iterable[str], about: str, limit_seconds: float
    ) -> tuple[float | None, float | None]:
        """Soft and hard deadline for a wait, in seconds from its beginning; the latest of several parties'.

        Returns:
            None for both while a party has fewer than `LEARN_FROM` samples.
        """
        softs = []
        with self._lock:
            for one in who:
                samples = self._samples.get((job_id, one, about), ())
                if len(samples) < LEARN_FROM:
                    return None, None
                softs.append(soft_deadline(samples))
        if not softs:
            return None, None
        soft = max(softs)
        return min(soft, limit_seconds), min(_HARD_FACTOR * soft, limit_seconds)

    def current(self, job_id: str | None = None) -> list[Wait]:
        """The waits under way, the oldest first; of one job, or all."""
        with self._lock:
            return [one for one in self._current.values() if job_id is None or one.job_id == job_id]

    def look(self, wait: Wait) -> None:
        """Take note if a wait has passed one of its deadlines: each is told, and counted, once."""
        seconds = wait.seconds()
        with self._lock:
            late = not wait.is_late and wait.soft_seconds is not None and seconds > wait.soft_seconds
            hard = wait.limit_seconds if wait.hard_seconds is None else wait.hard_seconds
            overdue = not wait.is_overdue and seconds > hard
            wait.is_late, wait.is_overdue = wait.is_late or late, wait.is_overdue or overdue
            if overdue and wait.is_for_parties:
                self._misses.setdefault(wait.job_id, Counter()).update(wait.who)
            misses = dict(self._misses.get(wait.job_id, ()))
        if (late or overdue) and (wait.patience is None or wait.patience.at_soft_deadline == "warn"):
            log.warning(
                "still waiting",
                passed="hard deadline" if overdue else "soft deadline",
                job=wait.job_id,
                who=", ".join(wait.who),
                what=wait.what,
                seconds=round(seconds, 1),
                misses={name: misses[name] for name in wait.who if name in misses},
            )

    def _look_back(self, wait: Wait, who: str, seconds: float) -> None:
        """Take note of an answer that came too fast; that is told, and changes nothing.

        It is a sign of work that was not done (a constant, something sent before), or of a stall of this very node,
        which began to wait when the answer was there already.
        """
        with self._lock:
            samples = list(self._samples.get((wait.job_id, who, wait.about), ()))
        wait.is_fast = is_implausibly_fast(seconds, samples)
        if wait.is_fast:
            log.warning(
                "answered faster than its work can take",
                job=wait.job_id,
                who=who,
                what=wait.what,
                seconds=round(seconds, 3),
                shortest_before=round(min(samples), 3),
            )

    def misses(self, job_id: str) -> dict[str, int]:
        """How many hard deadlines each party has missed in a job."""
        with self._lock:
            return dict(self._misses.get(job_id, ()))

    def forget(self, job_id: JobId) -> None:
        """A job has ended: what was learned of its parties goes."""
        with self._lock:
            self._misses.pop(job_id, None)
            self._samples = {key: samples for key, samples in self._samples.items() if key[0] != job_id}

    def listen(self, listener: Listener) -> None:
        """Call `listener(wait, seconds, arrived)` when a wait ends; `arrived` is False when it ended with an error."""
        with self._lock:
            self._listeners.append(listener)

    def line(self, wait: Wait) -> dict[str, Any]:
        """A wait as flat JSON values, for status lines."""
        misses = self.misses(wait.job_id)
        return {
            "wait": wait.number,
            "job": wait.job_id,
            "about": wait.about,
            "what": wait.what,
            "who": list(wait.who),
            "since": round(wait.since, 3),
            "seconds": round(wait.seconds(), 3),
            "soft_seconds": wait.soft_seconds,
            "hard_seconds": wait.hard_seconds,
            "limit_seconds": round(wait.limit_seconds, 3),
            "status": wait.standing,
            "misses": {name: misses[name] for name in wait.who if name in misses},
        }


def soft_deadline(samples: Iterable[float]) -> float:
    """Median plus five median absolute deviations, never below `SOFT_FLOOR_SECONDS`."""
    times = list(samples)
    median = statistics.median(times)
    deviation = statistics.median(abs(one - median) for one in times)
    return max(SOFT_FLOOR_SECONDS, median + _DEVIATIONS * deviation)
