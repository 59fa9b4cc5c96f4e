"""Votes of this node's party on declared statistics: recomputed from the chain, challenged, sealed, revealed, counted.

1. A declared statistic that lies far from the last ones is flagged by the contract; that is nobody's fault as yet. One
   that is false without being far out, a receiver challenges: each recomputes those of its jobs as they are accepted.
2. Within an hour, each receiver that can recompute it commits to a vote: false, or sound.
3. In the next hour it reveals its vote; the salt comes from its key, so that nothing has to be kept in between.
4. Then anybody counts. Two thirds of at least two votes make a fault of its own of it.

Only what can be recomputed is voted on: the payload of a contribution, which lies on the chain as a whole. Nobody can
check a norm inside ciphertext, so such flags stay flags. This keeps no state of its own: flags, commitments and votes
are the chain's, and a node that is started again goes on where the chain is. What is due, the chain's clock says
(`chainclock`): a node whose own clock is wrong sends nothing that the contract would refuse.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

import structlog

from fedchain.chain import Ballot, Consortium, Fault, UplinkJudged
from fedchain.chain.fault_votes import commit_vote, reveal_vote
from fedchain.chain.faults import VOTE_SECONDS
from fedchain.contribution.leaf_mask import Shares
from fedchain.crypto.merkle import payload_digest
from fedchain.errors import (
    ChainError,
    ChainUnreachableError,
    ConfigError,
    FedchainError,
    MessageError,
    TransactionError,
)
from fedchain.messages import Contribution, decode
from fedchain.node.chainclock import PATIENCE_SECONDS, ChainClock
from fedchain.types import JobId, Kind, Reason, Status, VotePhase

log = structlog.get_logger(__name__)

LOOK_SECONDS = 5.0
OLDEST_SECONDS = 7 * 86_400
"""Flags of before are left as they are."""

OLDEST_BLOCKS = 1000
"""After a start, contributions of so many blocks are looked at, and of each block from then on."""

MOST_OPEN = 8
"""So many sound statistics of one job are voted on at a time, and as many false ones: votes cost gas, flags others."""

TOLERANCE_E6 = 1
"""By so much may a statistic differ that another machine's logarithm has computed."""

_TURN_SECONDS = 30
"""The first in turn counts or challenges as soon as it may, each other party so much later, if nobody has by then."""

_MARGIN_SECONDS = 30
"""What is sent in the last seconds of an hour may be mined in the next."""

_SKEW_SECONDS = 120
"""A clock that is off by more is worth a warning."""


@dataclass
class _Flag:
    """A flag on which this node's party may vote.

    Attributes:
        fault: the record.
        place: of this party on the roster.
        is_false: as recomputed; None where that cannot be told from the chain.
        can_vote: False once it is known that this node cannot.
        rest_until: by the steady clock; after a step that was refused.
    """

    fault: Fault
    place: int
    is_false: bool | None
    can_vote: bool = True
    rest_until: float = 0.0


@dataclass(frozen=True)
class _Challenge:
    """A contribution whose declared statistic is false, and that nobody has flagged so far.

    Attributes:
        due: when it is this party's turn to challenge it, by the chain's clock.
    """

    job_id: JobId
    due: int


class Voter:
    """Looks at the record of faults now and then, in a thread of its own.

    Args:
        consortium: with the node's sender.
        address: of the node's party.
        look_seconds: pause between two looks.
        clock: the chain's.
    """

    def __init__(
        self,
        consortium: Consortium,
        *,
        address: str,
        look_seconds: float = LOOK_SECONDS,
        clock: ChainClock | None = None,
    ) -> None:
        self._consortium = consortium
        self._address = address
        self._look_seconds = look_seconds
        self._clock = ChainClock(consortium.client) if clock is None else clock
        self._open: dict[int, _Flag] = {}
        self._seen: int | None = None  # faults up to this number were looked at
        self._read: int | None = None  # contributions up to this block were recomputed
        self._false: dict[bytes, _Challenge] = {}
        self._troubled = self._told_of_skew = False
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="voter", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def close(self) -> None:
        """Stop; what is due then is done after the next start."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(5.0)

    def look(self) -> None:
        """Take in new flags, and do what is due on each.

        Raises:
            ChainError: the chain does not answer as it should; the next look goes on.
        """
        head = self._clock.look()
        self._warn_of_skew()
        self._recompute(head)
        self._take_in()
        self._challenge()
        for number, flag in list(self._open.items()):
            if self._stop.is_set():
                return
            if time.monotonic() < flag.rest_until:
                continue
            try:
                if not self._go_on(flag):
                    del self._open[number]
            except TransactionError as error:  # somebody was faster, or the chain's clock is not what it seems
                log.warning("a step of a vote was refused", fault=number, job=flag.fault.job_id, error=str(error))
                flag.rest_until = time.monotonic() + PATIENCE_SECONDS
            except ConfigError as error:  # committed under a key that has been rotated away
                log.warning("a vote cannot be revealed", fault=number, job=flag.fault.job_id, error=str(error))
                flag.can_vote = False

    def _run(self) -> None:
        while not self._stop.wait(self._look_seconds):
            try:
                self.look()
                self._troubled = False
            except ChainUnreachableError:
                continue  # the subscriber tells of outages
            except FedchainError as error:
                if not self._troubled:
                    log.warning("flags are not looked at; this is tried again", error=str(error))
                self._troubled = True
            except Exception:  # a defect here must not end the voting for good
                log.exception("flags were not looked at")

    def _warn_of_skew(self) -> None:
        skew = self._clock.skew
        if skew is None or self._told_of_skew or abs(skew) <= _SKEW_SECONDS:
            return
        log.warning("this machine's clock is not the chain's; votes go by the chain's", seconds_ahead=skew)
        self._told_of_skew = True

    def _take_in(self) -> None:
        """New faults from the newest back, the first time back to the oldest that may still be open."""
        newest = self._consortium.faults.count()
        oldest = self._clock.latest - OLDEST_SECONDS
        found = []
        for number in range(newest, self._seen or 0, -1):
            fault = self._consortium.faults.fault(number)
            if self._seen is None and self._consortium.client.block_time(fault.block_number)[1] < oldest:
                break
            self._false.pop(fault.evidence, None)  # somebody was faster
            place = self._place_of(fault)
            if place is not None:
                found.append((fault, place))
        self._seen = newest
        for fault, place in reversed(found):
            flag = _Flag(fault, place, self._judge(fault))
            if self._has_room(fault.job_id, flag.is_false):
                self._open[fault.fault_id] = flag
            else:
                log.warning("too many flags of one job: there is no vote on this one", **self._words(fault))

    def _has_room(self, job_id: JobId, is_false: bool | None) -> bool:
        """False ones are counted by themselves: whoever floods a job with sound ones hides none of them."""
        alike = [one for one in self._open.values() if one.fault.job_id == job_id and one.is_false is is_false]
        return len(alike) < MOST_OPEN

    def _place_of(self, fault: Fault) -> int | None:
        """This party's place on the roster, None where there is nothing for it to vote on."""
        if fault.party == self._address or fault.overturned:
            return None
        roster = self._consortium.job(fault.job_id).roster
        if self._address not in roster or not self._consortium.faults.ballot(fault.fault_id).opened:
            return None
        return roster.index(self._address)

    def _recompute(self, head: int) -> None:
        """The statistics that contributions of this party's jobs declare, in the blocks since the last look."""
        start = max(0, head - OLDEST_BLOCKS) if self._read is None else self._read + 1
        while start <= head and not self._stop.is_set():
            end = min(head, start + OLDEST_BLOCKS - 1)
            events = self._consortium.events(start, end)
            judged = [one for one in events if isinstance(one, UplinkJudged) and one.reason == Reason.ACCEPTED]
            for uplink in judged:
                if is_false(uplink):
                    self._note_false(uplink)
            self._read, start = end, end + 1

    def _note_false(self, uplink: UplinkJudged) -> None:
        roster = self._consortium.job(uplink.job_id).roster
        if self._address not in roster or uplink.sender == self._address:
            return
        mine = sum(one.job_id == uplink.job_id for one in self._false.values())
        if mine >= MOST_OPEN:
            return
        accepted_at = self._consortium.client.block_time(uplink.block_number)[1]
        if accepted_at < self._clock.latest - OLDEST_SECONDS:
            return
        turn = [one for one in roster if one != uplink.sender].index(self._address)
        due = accepted_at + _TURN_SECONDS * turn
        self._false[uplink.uplink_id] = _Challenge(uplink.job_id, due)
        log.warning(
            "the statistic that a contribution declares is false", job=uplink.job_id, party=self._name(uplink.sender)
        )

    def _challenge(self) -> None:
        """Open votes on false statistics that nobody has flagged, when it is this party's turn."""
        for uplink_id, one in list(self._false.items()):
            if self._clock.earliest < one.due or not self._has_room(one.job_id, is_false=True):
                continue
            if self._consortium.participant(self._address).status is not Status.ACCREDITED:
                continue
            del self._false[uplink_id]
            try:
                self._consortium.faults.challenge(uplink_id)
            except TransactionError as error:  # another party was faster, or it was flagged before this node looked
                log.info("a challenge was refused", job=one.job_id, error=str(error))
            else:
                log.warning("challenged a false statistic; its receivers vote now", job=one.job_id)

    def _go_on(self, flag: _Flag) -> bool:
        """Do what is due; whether there will be more to do."""
        faults, number = self._consortium.faults, flag.fault.fault_id
        ballot = faults.ballot(number)
        phase, now = ballot.phase_at(self._clock.earliest), self._clock.earliest
        if phase is not ballot.phase_at(self._clock.latest):
            if self._clock.is_patient:
                return True  # the next block tells
            phase, now = ballot.phase_at(self._clock.latest), self._clock.latest
        if phase in (VotePhase.NONE, VotePhase.TALLIED) or faults.fault(number).overturned:
            return False
        if phase is VotePhase.TALLYING:
            return self._count(flag, ballot, now)
        if not flag.can_vote or self._consortium.participant(self._address).status is not Status.ACCREDITED:
            return True
        hours = 1 if phase is VotePhase.COMMITTING else 2
        if now > ballot.opened + hours * VOTE_SECONDS - _MARGIN_SECONDS:
            return True
        committed = faults.commitment(number, self._address) is not None
        if phase is VotePhase.REVEALING and committed:
            found_false = reveal_vote(self._consortium, number)
            self._tell("revealed a vote on a declared statistic", flag, vote="false" if found_false else "sound")
        elif phase is VotePhase.COMMITTING and not committed:
            if flag.is_false is None:
                flag.can_vote = False
                return True
            commit_vote(self._consortium, number, is_false=flag.is_false)
            self._tell("committed to a vote on a declared statistic", flag)  # which one, nobody knows before the hour
        return True

    def _count(self, flag: _Flag, ballot: Ballot, now: int) -> bool:
        if not ballot.voting:
            return False  # nothing would follow
        if now < ballot.opened + 2 * VOTE_SECONDS + _TURN_SECONDS * flag.place:
            return True
        self._consortium.faults.tally(flag.fault.fault_id)
        self._tell("counted the votes on a declared statistic", flag, voting=ballot.voting, false=ballot.confirming)
        return False

    def _judge(self, fault: Fault) -> bool | None:
        """Whether the declared statistic is false; None where that cannot be told from the chain."""
        for earlier in (0, OLDEST_BLOCKS - 1):  # a flag stands in its uplink's block, a challenge soon after it
            events = self._consortium.events(max(0, fault.block_number - earlier), fault.block_number)
            flagged = [one for one in events if isinstance(one, UplinkJudged) and one.uplink_id == fault.evidence]
            if flagged:
                break
        else:
            return None
        verdict = is_false(flagged[0])
        if verdict is None:
            log.info("a flagged statistic cannot be recomputed here", fault=fault.fault_id, job=fault.job_id)
        return verdict

    def _tell(self, what: str, flag: _Flag, **values: object) -> None:
        log.warning(what, **self._words(flag.fault), **values)

    def _words(self, fault: Fault) -> dict[str, object]:
        return {"job": fault.job_id, "fault": fault.fault_id, "party": self._name(fault.party)}

    def _name(self, address: str) -> str:
        try:
            return self._consortium.participant(address).name or address
        except ChainError:
            return address


def is_false(uplink: UplinkJudged) -> bool | None:
    """Recompute the statistic that an accepted uplink declares.

    Args:
        uplink: with its payload, as the chain has it.

    Returns:
        Whether the declared one is another. None of kinds whose statistic nobody can recompute, and where the payload
        is not there, or is not the one that was committed to. Bytes that are no contribution have no such statistic.
    """
    envelope = uplink.envelope
    if envelope.kind is not Kind.CONTRIBUTION or not uplink.payload:
        return None
    if payload_digest(uplink.payload) != envelope.digest:
        return None
    try:
        message = decode(uplink.payload, Contribution)
    except MessageError:
        return True
    found = Shares(message.utilities_e6, message.shares_e6).statistic_e6
    return abs(found - envelope.statistic_e6) > TOLERANCE_E6
