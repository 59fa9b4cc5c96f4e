"""Faults on the record: read, proven, voted on, overturned. The binding of `AnomalyRecord` and `FaultProofs`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from eth_utils.crypto import keccak

from fedchain.chain.abi import CODEC, checksum
from fedchain.chain.artifacts import ANOMALIES, LEDGER, PROOFS
from fedchain.chain.decoder import job_id_of
from fedchain.chain.gas import VOTE_GAS
from fedchain.chain.reads import envelope_values, job_id_bytes
from fedchain.chain.stewarding import Read, Vote, Write
from fedchain.chain.transaction import Receipt
from fedchain.messages.envelope import Envelope
from fedchain.types import Answer, JobId, Kind, Reason, VotePhase

MAX_OVERTURN_REASON_BYTES = 256
"""As in `AnomalyRecord`."""

VOTE_SECONDS = 3600
"""How long votes are committed, and then as long revealed; as in `AnomalyRecord`."""

_RECORDED_ONLY = frozenset(
    {
        Reason.ACCEPTED,
        Reason.SENDER_SUSPENDED,
        Reason.STATISTIC_OUTLIER,
        Reason.STATISTIC_CHALLENGED,
        Reason.AUDIT_SILENT,
    }
)

CHALLENGE_SECONDS = 7 * 86_400
"""How long after its acceptance a contribution may be challenged; as in `AnomalyRecord`."""


@dataclass(frozen=True)
class Fault:
    """Mirrors `AnomalyRecord.Fault`.

    Attributes:
        fault_id: its number, from 1.
        party: address of who is at fault.
        answer: what was done; a party that was suspended already is only recorded.
        round: the job's.
        block_number: when it was recorded.
        evidence: an uplink's id or a proof's hash, 32 bytes; zeros for a deadline.
    """

    fault_id: int
    party: str
    reason: Reason
    answer: Answer
    overturned: bool
    round: int
    block_number: int
    job_id: JobId
    evidence: bytes


@dataclass(frozen=True)
class Ballot:
    """The votes on a flagged statistic.

    Attributes:
        opened: when voting began, seconds of the chain's clock; 0 where there is nothing to vote on.
        committed: how many committed to a vote.
        voting: how many revealed theirs.
        confirming: how many of those found the statistic false.
        phase: of the votes as of the newest block.
    """

    opened: int
    committed: int
    voting: int
    confirming: int
    phase: VotePhase

    def phase_at(self, seconds: int) -> VotePhase:
        """The phase in a block of that time, if nobody counts before: a chain where nothing happens has an old block.

        Args:
            seconds: of the chain's clock.
        """
        if not self.opened or self.phase is VotePhase.TALLIED:
            return self.phase
        if seconds < self.opened + VOTE_SECONDS:
            return VotePhase.COMMITTING
        return VotePhase.REVEALING if seconds < self.opened + 2 * VOTE_SECONDS else VotePhase.TALLYING


@dataclass(frozen=True)
class ContributionAcceptance:
    """Where an accepted contribution is.

    Attributes:
        party: address of who sent it.
        accepted_at: seconds since 1970; until `CHALLENGE_SECONDS` later what it declares may be challenged.
        block_number: of the block with its event and payload.
    """

    job_id: JobId
    party: str
    accepted_at: int
    block_number: int


class Faults:
    """The anomaly record of a deployment, and the proofs that it takes; `Consortium.faults`.

    Args:
        read: asks a contract: its name, the function's, arguments; gives the values of the answer.
        write: sends a transaction: the same; gives its receipt.
        chain_id: of the chain.
        addresses: of the contracts there, by name.
        write_within: sends a transaction that is not estimated: gas limit, contract, function, arguments. What depends
            on a deadline is sent so: a node may estimate with the time of the block before.

    Every read asks the newest block. Every write waits until it is mined and raises `TransactionError` with the
    contract's typed error when it reverts, `ChainUnreachableError` when the node does not answer, `ConfigError` without
    a sender.
    """

    def __init__(
        self,
        read: Read,
        write: Write,
        chain_id: int,
        addresses: Mapping[str, str],
        write_within: Callable[..., Receipt],
    ) -> None:
        self._read = read
        self._write = write
        self._write_within = write_within
        self._chain_id = chain_id
        self._addresses = addresses

    # -- the record ---------------------------------------------------------------------------------------------------

    def count(self) -> int:
        """How many faults were recorded; their numbers are 1..count()."""
        return int(self._read(ANOMALIES, "faultCount")[0])

    def fault(self, fault_id: int) -> Fault:
        """A fault.

        Raises:
            TransactionError: `UnknownFault(…)`.
        """
        (found,) = self._read(ANOMALIES, "faultOf", fault_id)
        return Fault(
            fault_id=fault_id,
            party=found["party"],
            reason=Reason(found["reason"]),
            answer=Answer(found["answer"]),
            overturned=found["overturned"],
            round=found["round"],
            block_number=found["blockNumber"],
            job_id=job_id_of(found["jobId"]),
            evidence=found["evidence"],
        )

    def tally_of(self, address: str) -> tuple[int, int]:
        """How many faults of a party count: those that stand, and others; see `is_answered`."""
        upheld, overturned = self._read(ANOMALIES, "faultsOf", address)
        return upheld, overturned

    def statistics(self, job_id: JobId, kind: Kind) -> tuple[int, ...]:
        """The last declared statistics of a job and kind, at most 32, oldest first, scale 1e6."""
        return tuple(self._read(ANOMALIES, "statisticsOf", job_id_bytes(job_id), int(kind))[0])

    def overturn(self, fault_id: int, reason: str) -> Vote:
        """Steward: vote that a fault be overturned, for this public reason.

        Args:
            fault_id: its number.
            reason: 1..`MAX_OVERTURN_REASON_BYTES` bytes; only votes for the same reason count together.
        """
        return Vote.of(self._write(ANOMALIES, "overturn", fault_id, reason), self._addresses[ANOMALIES])

    def upheld_in(self, address: str, job_id: JobId) -> int:
        """How many faults of a party in a job count, and stand; see `is_answered`."""
        return int(self._read(ANOMALIES, "upheldIn", address, job_id_bytes(job_id))[0])

    def flag(self, party: str, job_id: JobId, round: int, evidence: bytes, statistic_e6: int, score_e6: int) -> Receipt:
        """Active party: flag the statistic of a histogram that it decrypted; recorded only, nobody votes on it.

        Nobody else can recompute it, so that it accuses nobody: it tells stewards where to look. Public.

        Args:
            party: address of the passive party that sent the histogram.
            job_id: in Training or Evaluating.
            round: of the job, 1 to the one in force.
            evidence: the slot's id, 32 bytes, not zero.
            statistic_e6: scale 1e6, uint64.
            score_e6: how far out it lies, scale 1e6, uint64, above the policy's 5e6.

        Raises:
            TransactionError: `NotActiveParty(…)`, `FlagInvalid(…)`, `ScoreTooLow(…)`, `AlreadyFlagged(…)` (one for each
                party and round), `WrongPhase(…)` …
        """
        return self._write(ANOMALIES, "flag", party, job_id_bytes(job_id), round, evidence, statistic_e6, score_e6)

    def challenge(self, uplink_id: bytes) -> Receipt:
        """Roster party: say that the statistic which an accepted contribution declared is false, and open the votes.

        Recorded only, as STATISTIC_CHALLENGED of its sender; then votes as on a flag, `StatisticChallenged` tells until
        when. Public.

        Args:
            uplink_id: of the contribution, 32 bytes; once, not where it was flagged, and within `CHALLENGE_SECONDS`
                after it was accepted.

        Raises:
            TransactionError: `NothingDeclared(…)`, `ChallengerIsTarget(…)`, `AlreadyChallenged(…)`, `NotOnRoster(…)`,
                `ChallengeTooLate(…)` …
        """
        return self._write(ANOMALIES, "challenge", uplink_id)

    def contribution(self, uplink_id: bytes) -> ContributionAcceptance | None:
        """Where an accepted contribution is; None for any other uplink.

        Args:
            uplink_id: 32 bytes.
        """
        job_id, party, accepted_at, block_number = self._read(LEDGER, "contributionOf", uplink_id)
        if not block_number:
            return None
        return ContributionAcceptance(job_id_of(job_id), party, accepted_at, block_number)

    # -- votes on a flag ----------------------------------------------------------------------------------------------

    def ballot(self, fault_id: int) -> Ballot:
        """The votes on a fault; all zero where there is nothing to vote on."""
        (found,) = self._read(ANOMALIES, "ballotOf", fault_id)
        (phase,) = self._read(ANOMALIES, "votePhaseOf", fault_id)
        return Ballot(found["opened"], found["committed"], found["voting"], found["confirming"], VotePhase(phase))

    def commitment(self, fault_id: int, address: str) -> bytes | None:
        """What a party committed to, 32 bytes; None if nothing, or once it is revealed."""
        (found,) = self._read(ANOMALIES, "commitmentOf", fault_id, address)
        return bytes(found) if any(found) else None

    def commit_vote(self, fault_id: int, commitment: bytes) -> Receipt:
        """Roster party: commit to a vote on a flag; see `vote_commitment`. Reveals that one votes, not what."""
        return self._write_within(VOTE_GAS, ANOMALIES, "commitVote", fault_id, commitment)

    def reveal_vote(self, fault_id: int, confirms: bool, salt: bytes) -> Receipt:
        """Roster party: reveal the vote that one committed to; public from then on."""
        return self._write_within(VOTE_GAS, ANOMALIES, "revealVote", fault_id, confirms, salt)

    def tally(self, fault_id: int) -> Receipt:
        """Anyone: count the votes on a flag, once."""
        return self._write_within(VOTE_GAS, ANOMALIES, "tally", fault_id)

    # -- proofs -------------------------------------------------------------------------------------------------------

    def is_proven(self, evidence: bytes) -> bool:
        """Whether a proof with this evidence was accepted."""
        return bool(self._read(PROOFS, "isProven", evidence)[0])

    def equivocation_evidence(self, party: str, envelope: Envelope) -> bytes:
        """What identifies two digests for the slot of this envelope, 32 bytes."""
        (slot,) = self._read(LEDGER, "slotOf", party, envelope_values(envelope))
        return keccak(CODEC.encode(("uint8", "bytes32"), (int(Reason.EQUIVOCATION), slot)))

    def prove_equivocation(
        self, party: str, first: Envelope, first_signature: bytes, second: Envelope, second_signature: bytes
    ) -> Receipt:
        """Anyone: show two digests for one slot; the party is suspended at once. Both become public.

        Args:
            party: who sent both.
            first: an uplink.
            first_signature: the party's, 65 bytes; empty for an uplink that the ledger accepted.
            second: another of the same slot.
            second_signature: likewise.
        """
        halves = (envelope_values(first), first_signature, envelope_values(second), second_signature)
        return self._write(PROOFS, "proveEquivocation", party, *halves)

    def served_statement(self, digest: bytes, served: bytes) -> bytes:
        """What a party signs with a payload that it serves, 32 bytes.

        Args:
            digest: 32 bytes, that of an uplink, which was asked for.
            served: 32 bytes, the digest of what is served.
        """
        types = ("string", "uint256", "address", "bytes32", "bytes32")
        return keccak(
            CODEC.encode(types, ("fedchain payload", self._chain_id, self._addresses[LEDGER], digest, served))
        )

    def prove_payload_mismatch(self, party: str, envelope: Envelope, served: bytes, signature: bytes) -> Receipt:
        """Anyone: show that a party served another payload than it committed to; a strike for it.

        Args:
            party: who served.
            envelope: an accepted uplink of its.
            served: 32 bytes, the digest of what it served for that uplink's digest.
            signature: the party's, 65 bytes, over `served_statement`.
        """
        return self._write(PROOFS, "provePayloadMismatch", party, envelope_values(envelope), served, signature)

    def prove_replay(
        self, party: str, first: Envelope, first_signature: bytes, second: Envelope, second_signature: bytes
    ) -> Receipt:
        """Anyone: show one ciphertext in two rounds, attempts or jobs; a strike for the party. Both become public.

        Args:
            party: who sent both.
            first: an uplink.
            first_signature: the party's, 65 bytes; empty for an uplink that the ledger accepted.
            second: another with the same digest.
            second_signature: likewise.
        """
        halves = (envelope_values(first), first_signature, envelope_values(second), second_signature)
        return self._write(PROOFS, "proveReplay", party, *halves)


def is_answered(reason: Reason, *, repeated: bool) -> bool:
    """Whether a fault is to be answered by a strike or suspension, and so counts; as `AnomalyPolicy.answerTo`.

    It counts also where the party was suspended before and the record's answer is none.

    Args:
        reason: the fault's.
        repeated: whether another one of the party in the job, for the same reason, stands.
    """
    if reason in (Reason.DEADLINE_MISSED, Reason.MISSING):
        return repeated
    return reason not in _RECORDED_ONLY


def payload_evidence(party: str, digest: bytes) -> bytes:
    """What identifies another payload than that of a digest in `Faults.is_proven`.

    Args:
        party: address of who served it.
        digest: 32 bytes, which was asked for.
    """
    values = (int(Reason.PAYLOAD_MISMATCH), checksum(party), digest)
    return keccak(CODEC.encode(("uint8", "address", "bytes32"), values))


def replay_evidence(first: bytes, second: bytes) -> bytes:
    """What identifies a replay in `Faults.is_proven`.

    Args:
        first, second: ids of the two uplinks, 32 bytes, in any order.
    """
    lower, higher = sorted((first, second))
    return keccak(CODEC.encode(("uint8", "bytes32", "bytes32"), (int(Reason.REPLAY), lower, higher)))


def vote_commitment(fault_id: int, party: str, confirms: bool, salt: bytes) -> bytes:
    """What a party commits to before it reveals its vote, 32 bytes.

    Args:
        fault_id: the flag.
        party: the party's address.
        confirms: whether it recomputed the statistic and found it false.
        salt: 32 secret random bytes.
    """
    types = ("uint256", "address", "bool", "bytes32")
    return keccak(CODEC.encode(types, (fault_id, checksum(party), confirms, salt)))
