"""Contribution audits, typed: commitments, losses, seeds, votes, outcomes. The binding of `ContributionAudit`."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from eth_utils.crypto import keccak

from fedchain.chain.abi import CODEC, checksum
from fedchain.chain.artifacts import AUDITS
from fedchain.chain.audit_events import LossesPosted
from fedchain.chain.decoder import job_id_of
from fedchain.chain.events import ChainEvent
from fedchain.chain.gas import AUDIT_GAS
from fedchain.chain.reads import job_id_bytes
from fedchain.chain.stewarding import Read, Write
from fedchain.chain.transaction import Receipt
from fedchain.errors import ChainError, TransactionError
from fedchain.protocol.audits import AuditState, LabelTerms
from fedchain.types import AuditOutcome, AuditReason, JobId

WriteWithin = Callable[..., Receipt]
Events = Callable[[int, int], list[ChainEvent]]

PAGE = 100
"""How many of a party's audits are asked for at once."""


class Audits:
    """The contribution audits of a consortium; `Consortium.audits` is one.

    Every method raises `ChainUnreachableError` when the chain's node does not answer; those that write wait until it is
    mined, and raise `TransactionError` with the contract's typed error. Everything that is written is public.

    Args:
        read: calls a view: contract, function, arguments.
        write: sends a transaction: the same.
        write_within: sends a transaction that is not estimated: gas limit, contract, function, arguments. What depends
            on a deadline is sent so: a node may estimate with the time of the block before.
        events: the contracts' events in a closed range of blocks.
    """

    def __init__(self, read: Read, write: Write, write_within: WriteWithin, events: Events) -> None:
        self._read = read
        self._write = write
        self._write_within = write_within
        self._events = events

    def commit_labels(self, job_id: JobId, terms: LabelTerms) -> Receipt:
        """Active party: commit to the held-out labels and the audit's terms, once, in Training before round 1.

        Raises:
            TransactionError: `TermsInvalid()`, `AuditAlreadyBegun(…)`, `WrongPhase(…)`, `WrongRound(…)` …
        """
        values = (
            terms.root, terms.rows, terms.opened_rows, terms.window_seconds, terms.dispute_seconds, terms.budget,
        )  # fmt: skip
        return self._write(AUDITS, "commitLabels", job_id_bytes(job_id), values)

    def freeze(self, job_id: JobId, outputs: bytes, shard: bytes, seed_commitment: bytes) -> Receipt:
        """Roster party: commit to its outputs on the held-out rows, its shard and its seed, once, in Evaluating.

        Args:
            job_id: the job.
            outputs: root of its outputs, 32 bytes, not zero.
            shard: the digest of its shard as it will be recorded, 32 bytes, not zero.
            seed_commitment: see `seed_commitment`.

        Raises:
            TransactionError: `NoAudit(…)`, `AlreadyFrozen(…)`, `CommitmentInvalid()`, `WrongPhase(…)` …
        """
        return self._write(AUDITS, "freeze", job_id_bytes(job_id), outputs, shard, seed_commitment)

    def post(self, job_id: JobId, losses_root: bytes, sums: Sequence[int], weak_mask: int) -> Receipt:
        """Active party: post the loss tree's root and sums, once; the contract computes the shares from the sums.

        Args:
            job_id: in Evaluating, all parties have frozen.
            losses_root: 32 bytes, not zero.
            sums: of all held-out rows' losses per coalition, scale 1e6, 2^p of them, each 0..rows * 1e15.
            weak_mask: bit i for the passive party at roster position i; bit 0 is not set.

        Raises:
            TransactionError: `NotFrozen(…)`, `AlreadyPosted(…)`, `LossesInvalid(…)`, `WeakMaskInvalid(…)` …
        """
        return self._write_within(AUDIT_GAS, AUDITS, "post", job_id_bytes(job_id), losses_root, list(sums), weak_mask)

    def reveal(self, job_id: JobId, seed: bytes) -> Receipt:
        """Roster party: reveal the seed that it committed to, once, after the losses are posted and within the window.

        Raises:
            TransactionError: `NotPosted(…)`, `SeedDiffers(…)`, `AlreadyRevealed(…)`, `DeadlineOver(…)` …
        """
        return self._write_within(AUDIT_GAS, AUDITS, "reveal", job_id_bytes(job_id), seed)

    def vote(self, job_id: JobId, sound: bool, reason: AuditReason) -> Receipt:
        """Passive party: say what it found, once, after the seed is known and before the audit is concluded.

        Args:
            job_id: the job.
            sound: whether everything that was opened and posted fits together.
            reason: SOUND if and only if `sound`.

        Raises:
            TransactionError: `SeedUnknown(…)`, `AlreadyVoted(…)`, `VoteInvalid(…)`, `NotAuditor(…)` …
        """
        return self._write_within(AUDIT_GAS, AUDITS, "vote", job_id_bytes(job_id), sound, int(reason))

    def conclude(self, job_id: JobId) -> Receipt:
        """Anyone: fix the outcome, once: all have voted, or a window is over; faults that follow are recorded.

        Raises:
            TransactionError: `NotConcludable(…)`: something is still waited for; `AlreadyConcluded(…)`.
        """
        return self._write_within(AUDIT_GAS, AUDITS, "conclude", job_id_bytes(job_id))

    def state(self, job_id: JobId) -> AuditState | None:
        """How far a job's audit is, None if it has none.

        Raises:
            ChainError: the block in which the losses were posted does not have them.
        """
        try:
            (found,) = self._read(AUDITS, "auditOf", job_id_bytes(job_id))
        except TransactionError as error:
            if error.reason.startswith("NoAudit("):
                return None
            raise
        terms, outcome = found["terms"], AuditOutcome(found["outcome"])
        return AuditState(
            terms=LabelTerms(
                root=terms["root"],
                rows=terms["rows"],
                opened_rows=terms["openedRows"],
                window_seconds=terms["windowSeconds"],
                dispute_seconds=terms["disputeSeconds"],
                budget=terms["budget"],
            ),
            outputs=_given(found["outputs"]),
            shards=_given(found["shards"]),
            losses_root=_given([found["lossesRoot"]])[0],
            loss_sums=self._posted(job_id, found["postedBlock"]).sums if found["postedBlock"] else (),
            shares840=found["shares840"],
            weak=found["weakMask"],
            seed=_given([found["seed"]])[0],
            silent=found["silent"] if outcome else (),
            votes=found["votes"],
            reasons=found["reasons"],
            outcome=outcome.text,
            deadline=found["deadline"],
            seeds=_given(found["seeds"]),
            commitments=_given(found["commitments"]),
        )

    def history(self, address: str) -> list[tuple[JobId, AuditOutcome]]:
        """The concluded audits of all jobs in which a party was on the roster, in the order of their conclusion."""
        job_ids = audits_of(self._read, address)
        return [(one, AuditOutcome(self._read(AUDITS, "outcomeOf", job_id_bytes(one))[0])) for one in job_ids]

    def _posted(self, job_id: JobId, block: int) -> LossesPosted:
        for event in self._events(block, block):
            if isinstance(event, LossesPosted) and event.job_id == job_id:
                return event
        raise ChainError(f"block {block} holds no losses of job {job_id}; deployment and chain do not fit together")


def audits_of(read: Read, address: str) -> list[JobId]:
    """The jobs of a party's concluded audits, in their order; asked in pages, so that no call outgrows a node's gas."""
    job_ids: list[JobId] = []
    while page := read(AUDITS, "auditsOf", address, len(job_ids), PAGE)[0]:
        job_ids += map(job_id_of, page)
    return job_ids


def _given(words: Sequence[bytes]) -> tuple[bytes, ...]:
    """Words of 32 bytes, b"" where they are zero: nothing was given."""
    return tuple(word if any(word) else b"" for word in words)


def seed_commitment(job_id: JobId, party: str, seed: bytes) -> bytes:
    """What a party commits to before it reveals its seed, 32 bytes.

    Args:
        job_id: the job.
        party: the party's address.
        seed: 32 secret random bytes.
    """
    values = (job_id_bytes(job_id), checksum(party), seed)
    return keccak(CODEC.encode(("bytes32", "address", "bytes32"), values))


def combined_seed(job_id: JobId, losses_root: bytes, seeds: Sequence[bytes]) -> bytes:
    """The seed that decides which rows are opened, 32 bytes, as `ContributionAudit` computes it.

    Args:
        job_id: the job.
        losses_root: as posted, 32 bytes.
        seeds: in roster order, 32 bytes; empty for who did not reveal one.
    """
    full = [seed or bytes(32) for seed in seeds]
    return keccak(CODEC.encode(("bytes32", "bytes32", "bytes32[]"), (job_id_bytes(job_id), losses_root, full)))
