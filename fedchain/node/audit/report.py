"""What an audit says: the story in order, a verdict for each party, and what did not match."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any, Literal

from fedchain.node.audit.checklist import Mismatch, Tally

Standing = Literal["sound", "faults", "missing", "mismatch"]


@dataclass(frozen=True)
class Moment:
    """Something that happened, in words.

    Attributes:
        block: number.
        transaction: hash, hex with 0x.
        who: a party's name, or an address that is nobody's on the roster.
        what: one line.
    """

    block: int
    transaction: str
    who: str
    what: str


@dataclass(frozen=True)
class RoundSummary:
    """One attempt at a round (0: alignment; an id from 2^31 up: an inference request).

    Attributes:
        first_block, last_block: of its uplinks, and of its beginning.
        accepted, rejected: uplinks.
        bytes: of the accepted uplinks' payloads.
    """

    round: int
    attempt: int
    first_block: int
    last_block: int
    accepted: int
    rejected: int
    bytes: int


@dataclass(frozen=True)
class PartyVerdict:
    """The record of one party.

    Attributes:
        name: in the registry.
        address: its account.
        role: `active`, `passive`, or `stranger` (not on the roster, and sent uplinks to the job all the same).
        accepted: uplinks accepted.
        rejected: reason code to number of uplinks that were rejected for it and count as a fault.
        overtaken: rejected uplinks that are nobody's fault: an abort or another attempt came first.
        strikes: recorded in this job.
        missing: what was due from it when the job ended, or is due now.
        faults: other faults than rejected uplinks, one line each.
        mismatches: contradictions in what is recorded of it.
    """

    name: str
    address: str
    role: str
    accepted: int
    rejected: Counter[str]
    overtaken: int
    strikes: int
    missing: tuple[str, ...]
    faults: tuple[str, ...]
    mismatches: int

    @property
    def standing(self) -> Standing:
        """The verdict, the worst first: `mismatch`, `faults`, `missing`, `sound`."""
        if self.mismatches:
            return "mismatch"
        if self.rejected or self.faults:
            return "faults"
        return "missing" if self.missing else "sound"

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "name": self.name,
            "address": self.address,
            "role": self.role,
            "verdict": self.standing,
            "uplinks": {"accepted": self.accepted, "rejected": dict(self.rejected), "overtaken": self.overtaken},
            "strikes": self.strikes,
            "missing": list(self.missing),
            "faults": list(self.faults),
            "mismatches": self.mismatches,
        }


@dataclass(frozen=True)
class AuditReport:
    """The outcome of an audit.

    Attributes:
        job_id: the job.
        job_name: of the spec; empty where the spec is no job spec.
        phase: of the job, lower case.
        aborted: by whom and why; empty for a job that was not aborted.
        head: the last block read.
        model_digest: hex, once the job is completed.
        moments: the story, without the uplinks that were accepted.
        rounds: in the order in which they began.
        parties: the roster in order, then strangers.
        checks: what was checked, by name.
        mismatches: what did not match.
    """

    job_id: str
    job_name: str
    phase: str
    aborted: str
    head: int
    model_digest: str | None
    moments: tuple[Moment, ...]
    rounds: tuple[RoundSummary, ...]
    parties: tuple[PartyVerdict, ...]
    checks: dict[str, Tally]
    mismatches: tuple[Mismatch, ...]

    @property
    def is_consistent(self) -> bool:
        """Whether nothing contradicts anything else."""
        return not self.mismatches

    @property
    def verdict(self) -> str:
        """The overall one: `mismatch`, `faults`, `missing` or `sound`."""
        if self.mismatches:
            return "mismatch"
        found = {party.standing for party in self.parties}
        return next((one for one in ("faults", "missing") if one in found), "sound")

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "job_id": self.job_id,
            "job_name": self.job_name,
            "phase": self.phase,
            "aborted": self.aborted or None,
            "block": self.head,
            "model_digest": self.model_digest,
            "verdict": self.verdict,
            "parties": [party.as_dict() for party in self.parties],
            "rounds": [vars(one) for one in self.rounds],
            "story": [vars(one) for one in self.moments],
            "checks": {name: vars(tally) for name, tally in self.checks.items()},
            "mismatches": [vars(one) for one in self.mismatches],
        }
