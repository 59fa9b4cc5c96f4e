"""Votes of this node's party on flagged statistics: recomputed from what is on the chain, sealed, revealed, counted.

1. A declared statistic that lies far from the last ones is flagged by the contract; that is nobody's fault as yet.
2. Within an hour, each receiver that can recompute it commits to a vote: false, or sound.
3. In the next hour it reveals its vote; the salt comes from its key, so that nothing has to be kept in between.
4. Then anybody counts. Two thirds of at least two votes make the flag a fault of its own.

Only what can be recomputed is voted on: the payload of a contribution, which lies on the chain as a whole. Nobody can
check a norm inside ciphertext, so such flags stay flags. This keeps no state of its own: flags, commitments and votes
are the chain's, and a node that is started again goes on where the chain is.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass

import structlog

from fedchain.chain import Ballot, Consortium, Fault, UplinkJudged
from fedchain.chain.fault_votes import commit_vote, reveal_vote
from fedchain.chain.faults import VOTE_SECONDS
from fedchain.chain.overdue import next_block_time
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
from fedchain.types import Kind, Reason, Status, VotePhase

log = structlog.get_logger(__name__)

LOOK_SECONDS = 5.0
OLDEST_SECONDS = 7 * 86_400
"""Flags of before are left as they are."""

TOLERANCE_E6 = 1
"""By so much may a statistic differ that another machine's logarithm has computed."""

_TURN_SECONDS = 30
"""The first party of the roster counts as soon as it may, each other one so much later, if nobody has by then."""


@dataclass
class _Flag:
    """A flag on which this node's party may vote.

    Attributes:
        fault: the record.
        place: of this party on the roster.
        can_vote: False once it is known that this node cannot.
    """

    fault: Fault
    place: int
    can_vote: bool = True


class Voter:
    """Looks at the record of faults now and then, in a thread of its own.

    Args:
        consortium: with the node's sender.
        address: of the node's party.
        look_seconds: pause between two looks.
    """

    def __init__(self, consortium: Consortium, *, address: str, look_seconds: float = LOOK_SECONDS) -> None:
        self._consortium = consortium
        self._address = address
        self._look_seconds = look_seconds
        self._open: dict[int, _Flag] = {}
        self._seen: int | None = None  # faults up to this number were looked at
        self._troubled = False
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
        now = next_block_time(self._consortium)
        self._take_in(now)
        for number, flag in list(self._open.items()):
            if self._stop.is_set():
                return
            try:
                if not self._go_on(flag, now):
                    del self._open[number]
            except TransactionError as error:  # too late, or somebody was faster: the next look tells
                log.info("a step of a vote was refused", fault=number, job=flag.fault.job_id, error=str(error))
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

    def _take_in(self, now: int) -> None:
        """New faults from the newest back, the first time back to the oldest that may still be open."""
        newest = self._consortium.faults.count()
        found = []
        for number in range(newest, self._seen or 0, -1):
            fault = self._consortium.faults.fault(number)
            if self._seen is None and now - self._consortium.client.block_time(fault.block_number)[1] > OLDEST_SECONDS:
                break
            place = self._place_of(fault)
            if place is not None:
                found.append(_Flag(fault, place))
        self._seen = newest
        self._open |= {flag.fault.fault_id: flag for flag in reversed(found)}

    def _place_of(self, fault: Fault) -> int | None:
        """This party's place on the roster, None where it does not vote on that."""
        if fault.reason is not Reason.STATISTIC_OUTLIER or fault.party == self._address or fault.overturned:
            return None
        roster = self._consortium.job(fault.job_id).roster
        return roster.index(self._address) if self._address in roster else None

    def _go_on(self, flag: _Flag, now: int) -> bool:
        """Do what is due; whether there will be more to do."""
        faults, number = self._consortium.faults, flag.fault.fault_id
        ballot = faults.ballot(number)
        phase = ballot.phase_at(now)
        if phase in (VotePhase.NONE, VotePhase.TALLIED) or faults.fault(number).overturned:
            return False
        if phase is VotePhase.TALLYING:
            return self._count(flag, ballot, now)
        if not flag.can_vote or self._consortium.participant(self._address).status is not Status.ACCREDITED:
            return True
        committed = faults.commitment(number, self._address) is not None
        if phase is VotePhase.REVEALING and committed:
            found_false = reveal_vote(self._consortium, number)
            self._tell("revealed a vote on a flagged statistic", flag, vote="false" if found_false else "sound")
        elif phase is VotePhase.COMMITTING and not committed:
            judged = self._judge(flag.fault)
            if judged is None:
                flag.can_vote = False
                return True
            commit_vote(self._consortium, number, is_false=judged)
            self._tell("committed to a vote on a flagged statistic", flag)  # what it says, nobody knows before the hour
        return True

    def _count(self, flag: _Flag, ballot: Ballot, now: int) -> bool:
        if not ballot.voting:
            return False  # nothing would follow
        if now < ballot.opened + 2 * VOTE_SECONDS + _TURN_SECONDS * flag.place:
            return True
        self._consortium.faults.tally(flag.fault.fault_id)
        self._tell("counted the votes on a flagged statistic", flag, voting=ballot.voting, false=ballot.confirming)
        return False

    def _judge(self, fault: Fault) -> bool | None:
        """Whether the declared statistic is false; None where that cannot be told from the chain."""
        events = self._consortium.events(fault.block_number, fault.block_number)
        flagged = [one for one in events if isinstance(one, UplinkJudged) and one.uplink_id == fault.evidence]
        if not flagged:
            return None  # flagged by the active party, of what only it can see
        verdict = is_false(flagged[0])
        if verdict is None:
            log.info("a flagged statistic cannot be recomputed here", fault=fault.fault_id, job=fault.job_id)
        return verdict

    def _tell(self, what: str, flag: _Flag, **values: object) -> None:
        log.warning(
            what, job=flag.fault.job_id, fault=flag.fault.fault_id, party=self._name(flag.fault.party), **values
        )

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
