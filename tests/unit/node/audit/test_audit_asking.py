"""The router's rules in Python: what is allowed passes, and each rule that is broken is noticed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest

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
from fedchain.node.audit.asking import Asking
from fedchain.types import JobId, Phase, Reason

JOB = JobId("0x" + "11" * 32)
ACTIVE, PASSIVE, OTHER = ("0x" + f"{digit}" * 40 for digit in "123")
ROSTER = (ACTIVE, PASSIVE)
FIRST = 2**31
PLACE: dict[str, Any] = {"block_number": 1, "block_hash": b"", "log_index": 0, "transaction_hash": b"", "job_id": JOB}
BODY = b"sealed"
SHA = hashlib.sha256(BODY).digest()
ROOT = b"\x07" * 32

TERMS = TermsSet(by=ACTIVE, quota=10, window_seconds=60, answer_seconds=600, **PLACE)
RESERVED = Reserved(requester=PASSIVE, first=0, count=4, window=3, **PLACE)
ANCHORED = ReceiptsAnchored(requester=PASSIVE, index=0, root=ROOT, count=4, **PLACE)
ASKED = RequestAsked(request_id=FIRST, requester=PASSIVE, digest=SHA, sealed=BODY, **PLACE)
OPENED = RequestOpened(request_id=FIRST, requester=PASSIVE, **PLACE)
SECONDS = 60
IN_WINDOW = 3
"""Windows of the quota last `SECONDS`; block n is mined n seconds after the third one began."""
EXPIRED = RequestClosed(request_id=FIRST, by=ACTIVE, outcome=RequestStatus.EXPIRED, **PLACE)


def refused(reason: Reason, requester: str = PASSIVE, request_id: int = FIRST) -> RequestRefused:
    return RequestRefused(request_id=request_id, requester=requester, digest=SHA, reason=reason, **PLACE)


def broken(
    events: Iterable[ChainEvent],
    phase: Phase = Phase.COMPLETED,
    roster: tuple[str, ...] = ROSTER,
    suspended: frozenset[str] = frozenset(),
    terms: TermsSet | None = TERMS,
) -> list[str]:
    """What the rules say against the events, after terms were set as they may be."""
    asking, found = Asking(lambda number: SECONDS * IN_WINDOW + number), []

    def require(holds: bool, event: ChainEvent, what: str) -> None:
        if not holds:
            found.append(f"{type(event).__name__}: {what}")

    if terms is not None:
        asking.take(terms, require, Phase.PROPOSED, roster, set())
        assert asking.terms == Terms(10, 60, 600)
    for event in events:
        asking.take(event, require, phase, roster, set(suspended))
    return found


def test_what_the_router_allows_passes() -> None:
    events = [
        RESERVED,
        replace(RESERVED, first=4, count=4),
        replace(RESERVED, first=8, count=10, window=4, block_number=SECONDS),
        replace(RESERVED, requester=ACTIVE, count=10),
        ANCHORED,
        replace(ANCHORED, index=1, count=14),
        ASKED,
        replace(ASKED, request_id=FIRST + 1, sealed=bytes(4096), digest=hashlib.sha256(bytes(4096)).digest()),
        replace(OPENED, request_id=FIRST + 2),
        refused(Reason.RATE_EXCEEDED, request_id=FIRST + 3),
        refused(Reason.NOT_ON_ROSTER, OTHER, FIRST + 4),
        refused(Reason.SENDER_SUSPENDED, OTHER, FIRST + 5),
        EXPIRED,
        replace(EXPIRED, request_id=FIRST + 1, by=PASSIVE, outcome=RequestStatus.DONE),
        replace(EXPIRED, request_id=FIRST + 2, outcome=RequestStatus.REJECTED),
    ]
    assert broken(events) == []
    third = (*ROSTER, OTHER)
    assert broken([ASKED, replace(EXPIRED, by=OTHER, block_number=602)], roster=third) == []
    assert broken([refused(Reason.WRONG_PHASE)], Phase.TRAINING) == []
    assert broken([refused(Reason.SENDER_SUSPENDED)], suspended=frozenset({PASSIVE})) == []


@pytest.mark.parametrize(
    ("event", "phase"),
    [
        (TERMS, Phase.ALIGNING),
        (RESERVED, Phase.EVALUATING),
        (replace(RESERVED, requester=OTHER), Phase.COMPLETED),
        (replace(RESERVED, first=1), Phase.COMPLETED),
        (replace(RESERVED, count=0), Phase.COMPLETED),
        (replace(RESERVED, window=4), Phase.COMPLETED),
        (replace(RESERVED, block_number=SECONDS), Phase.COMPLETED),
        (refused(Reason.RATE_EXCEEDED), Phase.COMPLETED),  # there is room
        (replace(RESERVED, count=11), Phase.COMPLETED),
        (replace(RESERVED, count=MAX_RESERVED + 1), Phase.COMPLETED),
        (replace(ANCHORED, count=1), Phase.COMPLETED),  # nothing is reserved
        (ASKED, Phase.EVALUATING),
        (replace(ASKED, requester=OTHER), Phase.COMPLETED),
        (replace(ASKED, digest=ROOT), Phase.COMPLETED),
        (replace(ASKED, sealed=b"", digest=hashlib.sha256(b"").digest()), Phase.COMPLETED),
        (
            replace(ASKED, sealed=bytes(MAX_SEALED_BYTES + 1), digest=hashlib.sha256(bytes(4097)).digest()),
            Phase.COMPLETED,
        ),
        (OPENED, Phase.TRAINING),
        (EXPIRED, Phase.COMPLETED),  # nothing was opened
        (refused(Reason.NOT_ON_ROSTER), Phase.COMPLETED),
        (refused(Reason.WRONG_PHASE), Phase.COMPLETED),
        (refused(Reason.SENDER_SUSPENDED), Phase.COMPLETED),
        (refused(Reason.RATE_EXCEEDED), Phase.TRAINING),
        (refused(Reason.RATE_EXCEEDED, OTHER), Phase.COMPLETED),
        (refused(Reason.SLOT_TAKEN), Phase.COMPLETED),
    ],
)
def test_each_broken_rule_is_noticed(event: ChainEvent, phase: Phase) -> None:
    (what,) = broken([event], phase)
    assert what.startswith(type(event).__name__)


def test_terms_belong_to_the_active_party_before_training() -> None:
    for terms, phase in ((replace(TERMS, by=PASSIVE), Phase.PROPOSED), (TERMS, Phase.TRAINING)):
        assert len(broken([terms], phase, terms=None)) == 1
    assert broken([TERMS], Phase.ALIGNING, terms=None) == []
    assert len(broken([RESERVED], terms=None)) == 1
    assert len(broken([ASKED], terms=None)) == 1


@pytest.mark.parametrize(
    "second",
    [
        replace(RESERVED, first=4, count=7),  # above the quota of its window
        RESERVED,  # the same serials once more
        replace(ANCHORED, index=1),
        replace(ANCHORED, count=5),
        replace(ANCHORED, count=0),
        replace(ANCHORED, root=bytes(32)),
        replace(ANCHORED, requester=ACTIVE),
    ],
)
def test_what_was_reserved_bounds_what_comes_after_it(second: ChainEvent) -> None:
    assert len(broken([RESERVED, second])) == 1


def test_a_request_has_one_number_and_one_end() -> None:
    third = (*ROSTER, OTHER)
    assert len(broken([ASKED, ASKED])) == 1
    assert len(broken([ASKED, refused(Reason.RATE_EXCEEDED)])) == 1
    assert len(broken([ASKED, EXPIRED, EXPIRED])) == 1
    assert len(broken([refused(Reason.SIZE_OUT_OF_BOUNDS), EXPIRED])) == 1
    assert len(broken([ASKED, replace(EXPIRED, by=OTHER)])) == 1
    assert len(broken([ASKED, replace(EXPIRED, by=OTHER, outcome=RequestStatus.DONE)], roster=third)) == 1
    assert len(broken([OPENED, replace(EXPIRED, by=OTHER)], roster=third)) == 1


def asked(count: int, *, first: int = 0, **changed: Any) -> list[ChainEvent]:
    return [replace(ASKED, request_id=FIRST + first + place, **changed) for place in range(count)]


def test_strict_requests_count_against_the_quota_of_their_window() -> None:
    late = refused(Reason.RATE_EXCEEDED, request_id=FIRST + 10)
    assert broken([*asked(10), late]) == []
    assert len(broken([*asked(11)])) == 1
    assert len(broken([*asked(9), late])) == 1, "there is room for one more"
    assert broken([*asked(10), *asked(10, first=10, block_number=SECONDS)]) == [], "another window"
    assert broken([*asked(10), *asked(10, first=10, requester=ACTIVE)]) == [], "another party"
    assert broken([RESERVED, *asked(6), late]) == []
    assert len(broken([RESERVED, *asked(7)])) == 1
    assert len(broken([*asked(7), RESERVED])) == 1


def test_others_end_a_strict_request_only_once_its_time_is_over() -> None:
    third = (*ROSTER, OTHER)
    early, late = (replace(EXPIRED, by=OTHER, block_number=number) for number in (601, 602))
    assert broken([ASKED, late], roster=third) == []
    assert len(broken([ASKED, early], roster=third)) == 1
