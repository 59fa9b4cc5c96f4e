"""The router's rules once more, in Python: who may ask a job's model, how often, and how a request ends.

Source: `contracts/src/InferenceRouter.sol`. Windows and deadlines are matters of the blocks' times.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from fedchain.chain import (
    MAX_RESERVED,
    MAX_SEALED_BYTES,
    ChainEvent,
    ReceiptsAnchored,
    RequestAsked,
    RequestClosed,
    RequestOpened,
    RequestRefused,
    RequestStatus,
    Reserved,
    Terms,
    TermsSet,
)
from fedchain.types import Phase, Reason

_CONTENTS = (Reason.SIZE_OUT_OF_BOUNDS, Reason.DIGEST_MISMATCH, Reason.RATE_EXCEEDED)
Require = Callable[[bool, ChainEvent, str], None]
TimeOf = Callable[[int], int]
"""A block's time, seconds since 1970."""


@dataclass
class Asking:
    """What was asked of a job, as its events tell.

    Attributes:
        time_of: a block's time.
        terms: the job's, None until they are set.
        requests: opened, asked and refused ones, with requester and outcome.
        strict: those of them that were asked, and taken.
        refused: those that were rejected as they were asked.
        next: the first serial that a requester has not reserved.
        anchored: serials that its anchors are about.
        anchors: roots of its anchors, in their order.
    """

    time_of: TimeOf
    terms: Terms | None = None
    requests: dict[int, tuple[str, RequestStatus]] = field(default_factory=dict)
    strict: set[int] = field(default_factory=set)
    refused: set[int] = field(default_factory=set)
    next: Counter[str] = field(default_factory=Counter)
    anchored: Counter[str] = field(default_factory=Counter)
    anchors: dict[str, list[bytes]] = field(default_factory=dict)
    _used: Counter[tuple[str, int]] = field(default_factory=Counter)
    _asked_in: dict[int, int] = field(default_factory=dict)

    def is_open(self, request_id: int) -> bool:
        """Whether a request exists and is open."""
        return self.requests.get(request_id, ("", RequestStatus.EXPIRED))[1] is RequestStatus.OPEN

    def take(
        self, event: ChainEvent, require: Require, phase: Phase, roster: tuple[str, ...], suspended: set[str]
    ) -> None:
        """Go on by one event of the router; others are passed over.

        Args:
            event: the next one.
            require: told whether a rule holds, of which event, and what it would break.
            phase: the job's, by now.
            roster: the job's, the active party first.
            suspended: who is, as far as events since the proposal tell.
        """
        done = phase is Phase.COMPLETED
        if isinstance(event, TermsSet):
            early = phase in (Phase.PROPOSED, Phase.ALIGNING)
            require(early and event.by == roster[0] and self.terms is None, event, "terms that nobody may set")
            self.terms = self.terms or Terms(event.quota, event.window_seconds, event.answer_seconds)
        elif isinstance(event, Reserved):
            self._reserve(event, require, done and event.requester in roster)
        elif isinstance(event, ReceiptsAnchored):
            self._anchor(event, require, event.requester in roster)
        elif isinstance(event, (RequestOpened, RequestAsked)):
            fits = done and event.requester in roster and event.request_id not in self.requests
            if isinstance(event, RequestAsked):
                sound = hashlib.sha256(event.sealed).digest() == event.digest
                fits = fits and sound and 1 <= len(event.sealed) <= MAX_SEALED_BYTES and self.terms is not None
                fits = fits and self._has_room(event)
                self.strict.add(event.request_id)
                self._asked_in[event.request_id] = event.block_number
                self._used[event.requester, self._window(event)] += 1
            require(fits, event, "a request that nobody may open")
            self.requests[event.request_id] = (event.requester, RequestStatus.OPEN)
        elif isinstance(event, RequestRefused):
            self._refuse(event, require, done, roster, suspended)
        elif isinstance(event, RequestClosed):
            requester, _ = self.requests.get(event.request_id, ("", RequestStatus.EXPIRED))
            may = event.by in (requester, roster[0])
            if event.request_id in self.strict and event.outcome is RequestStatus.EXPIRED and not may:
                may = event.by in roster and self._is_over(event)
            fits = self.is_open(event.request_id) and may
            require(fits, event, f"the end of request {event.request_id}, which was not open")
            self.requests[event.request_id] = (requester, event.outcome)

    def _window(self, event: ChainEvent) -> int:
        """The window of the quota that a block lies in."""
        seconds = 0 if self.terms is None else self.terms.window_seconds
        return self.time_of(event.block_number) // seconds if seconds else 0

    def _has_room(self, event: RequestAsked | RequestRefused) -> bool:
        """Whether the requester may ask once more in this window."""
        quota = 0 if self.terms is None else self.terms.quota
        return self._used[event.requester, self._window(event)] < quota

    def _is_over(self, event: RequestClosed) -> bool:
        """Whether the time for answers to a strict request is over."""
        seconds = 0 if self.terms is None else self.terms.answer_seconds
        asked_in = self._asked_in.get(event.request_id, event.block_number)
        return self.time_of(event.block_number) > self.time_of(asked_in) + seconds

    def _reserve(self, event: Reserved, require: Require, may: bool) -> None:
        used = self._used[event.requester, event.window] + event.count
        fits = may and self.terms is not None and used <= self.terms.quota
        fits = fits and 1 <= event.count <= MAX_RESERVED and event.first == self.next[event.requester]
        fits = fits and event.window == self._window(event)
        require(fits, event, f"serials {event.first} to {event.first + event.count - 1} of {event.requester}")
        self.next[event.requester] = event.first + event.count
        self._used[event.requester, event.window] = used

    def _anchor(self, event: ReceiptsAnchored, require: Require, may: bool) -> None:
        roots = self.anchors.setdefault(event.requester, [])
        anchored = self.anchored[event.requester] + event.count
        fits = may and event.index == len(roots) and any(event.root)
        fits = fits and event.count >= 1 and anchored <= self.next[event.requester]
        require(fits, event, f"anchor {event.index} of {event.requester}")
        roots.append(event.root)
        self.anchored[event.requester] = anchored

    def _refuse(
        self, event: RequestRefused, require: Require, done: bool, roster: tuple[str, ...], suspended: set[str]
    ) -> None:
        expected = Reason.NOT_ON_ROSTER if event.requester not in roster else Reason.WRONG_PHASE
        if event.reason is Reason.SENDER_SUSPENDED:
            fits = event.requester in suspended or event.requester not in roster
        elif event.requester in suspended:
            fits = False
        elif done and event.requester in roster:
            fits = event.reason in _CONTENTS
            if event.reason is Reason.RATE_EXCEEDED:
                fits = not self._has_room(event)
        else:
            fits = event.reason is expected
        fits = fits and event.request_id not in self.requests
        require(fits, event, f"a request of {event.requester} was refused as {event.reason.name}")
        self.refused.add(event.request_id)
        self.requests[event.request_id] = (event.requester, RequestStatus.REJECTED)
