"""An audit of contributions without a chain: the rules of `ContributionAudit` for the in-memory channel.

Time does not pass by itself: a window is over once no party can go on without that.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from fedchain.contribution.losses import utilities_e6
from fedchain.contribution.outcome import outcome_of_votes
from fedchain.contribution.shapley import shapley_840
from fedchain.errors import TransactionError
from fedchain.protocol.actions import (
    AuditStage,
    AwaitAudit,
    CommitLabels,
    Conclude,
    Freeze,
    PostLosses,
    RevealSeed,
    Vote,
)
from fedchain.protocol.audits import MAX_LOSS_E6, AuditState
from fedchain.types import PartyId

AUDIT_ACTIONS = (CommitLabels, Freeze, PostLosses, RevealSeed, Vote, AwaitAudit, Conclude)
SOUND, FALSE = 1, 2
_NO_VOTE = 0


@dataclass
class AuditRecord:
    """One job's audit.

    Attributes:
        roster: the active party first.
        state: as the parties see it; None until the labels are committed.
    """

    roster: Sequence[PartyId]
    state: AuditState | None = None
    _commitments: dict[PartyId, bytes] = field(default_factory=dict)
    _seeds: dict[PartyId, bytes] = field(default_factory=dict, repr=False)
    _is_late: bool = False

    def carry_out(self, party: PartyId, action: object, *, has_begun: bool, restarted: bool) -> tuple[bool, object]:
        """One action of a party: (False, None) if it cannot be done yet.

        Args:
            has_begun: whether the first round has.
            restarted: whether the party was killed before: then what it did is not done again.
        """
        if isinstance(action, AwaitAudit):
            state = self.reached(action.stage)
            return state is not None, state
        if isinstance(action, Conclude):
            state = self.conclude()
            return state is not None, state
        if restarted and self._has_done(party, action):
            return True, None
        if isinstance(action, CommitLabels):
            self.commit_labels(party, action, has_begun=has_begun)
        elif isinstance(action, Freeze):
            self.freeze(party, action)
        elif isinstance(action, PostLosses):
            self.post(party, action)
        elif isinstance(action, RevealSeed):
            self.reveal(party, action)
        elif isinstance(action, Vote):
            self.vote(party, action)
        else:
            raise TypeError(f"{type(action).__name__} is no action of an audit")
        return True, None

    def commit_labels(self, party: PartyId, action: CommitLabels, *, has_begun: bool) -> None:
        """Once, by the active party, before the first round."""
        self._only(party == self.roster[0], "NotActiveParty")
        self._only(not has_begun, "RoundHasBegun")
        self._only(self.state is None, "LabelsCommitted")
        none = (0,) * len(self.roster)
        nothing = (b"",) * len(self.roster)
        self.state = AuditState(
            action.terms, nothing, nothing, votes=none, reasons=none, seeds=nothing, commitments=nothing
        )

    def freeze(self, party: PartyId, action: Freeze) -> None:
        """Once, by each party."""
        state, place = self._known(), self.roster.index(party)
        self._only(not state.outputs[place], "AlreadyFrozen")
        self._only(any(action.outputs) and any(action.shard), "CommitmentMissing")
        self._commitments[party] = _commitment(party, action.seed)
        self.state = replace(
            state, outputs=_with(state.outputs, place, action.outputs), shards=_with(state.shards, place, action.shard)
        )

    def post(self, party: PartyId, action: PostLosses) -> None:
        """Once, by the active party, after all have frozen."""
        state = self._known()
        self._only(party == self.roster[0], "NotActiveParty")
        self._only(self._all_frozen, "NotAllFrozen")
        self._only(not state.losses_root and not self._is_late, "PostingIsOver")
        most = state.terms.rows * MAX_LOSS_E6
        sound = len(action.sums) == 2 ** len(self.roster) and all(0 <= one <= most for one in action.sums)
        self._only(sound, "SumsOutOfBounds")
        self._only(not action.weak & ~(2 ** len(self.roster) - 2) and any(action.root), "WeakMaskInvalid")
        shares = shapley_840(utilities_e6(action.sums, state.terms.rows))
        self.state = replace(
            state, losses_root=action.root, loss_sums=tuple(action.sums), shares840=tuple(shares), weak=action.weak
        )

    def reveal(self, party: PartyId, action: RevealSeed) -> None:
        """Once, by each party, after the losses are posted."""
        state = self._known()
        self._only(bool(state.losses_root) and not state.seed and not self._is_late, "RevealingIsOver")
        self._only(_commitment(party, action.seed) == self._commitments[party], "SeedIsAnother")
        self._seeds[party] = action.seed
        if len(self._seeds) == len(self.roster):
            self._combine()

    def vote(self, party: PartyId, action: Vote) -> None:
        """Once, by each passive party, after the seed is known."""
        state, place = self._known(), self.roster.index(party)
        self._only(place > 0, "NotAnAuditor")
        self._only(bool(state.seed) and not self._is_late and not state.outcome, "VotingIsOver")
        self._only(not state.votes[place], "AlreadyVoted")
        self.state = replace(
            state,
            votes=_with(state.votes, place, SOUND if action.sound else FALSE),
            reasons=_with(state.reasons, place, action.reason),
        )

    def reached(self, stage: AuditStage) -> AuditState | None:
        """The state once it has come so far, or its time for that is over; None before."""
        state = self.state
        if state is None:
            return None
        done = {
            "labels": True,
            "frozen": self._all_frozen,
            "posted": bool(state.losses_root),
            "seeded": bool(state.seed),
            "voted": bool(state.seed) and all(state.votes[1:]),
        }[stage]
        timed = stage in ("posted", "seeded", "voted")
        return state if done or state.outcome or (timed and self._is_late) else None

    def conclude(self) -> AuditState | None:
        """The state with its outcome; None while the audit can still go on."""
        state = self._known()
        if not state.outcome:
            if not self._is_late and not self.reached("voted"):
                return None
            # nothing is drawn without an auditor's seed, nor without the active party's
            unseen = "unaudited" if self.roster[0] in self._seeds else "failed"
            outcome = self._outcome(state) if state.seed else unseen
            self.state = state = replace(state, outcome=outcome, silent=self._silent(state))
        return state

    def let_time_pass(self) -> bool:
        """The window under way is over; False where none is."""
        state = self.state
        if state is None or state.outcome or self._is_late or not self._all_frozen:
            return False
        if state.losses_root and not state.seed and {self.roster[0]} < set(self._seeds):
            self._combine()
        else:
            self._is_late = True
        return True

    def _has_done(self, party: PartyId, action: object) -> bool:
        if self.state is None:
            return False
        place = self.roster.index(party)
        return {
            CommitLabels: True,
            Freeze: bool(self.state.outputs[place]),
            PostLosses: bool(self.state.losses_root),
            RevealSeed: party in self._seeds,
            Vote: bool(self.state.votes[place]),
        }[type(action)]

    @property
    def _all_frozen(self) -> bool:
        return self.state is not None and all(self.state.outputs)

    def _combine(self) -> None:
        state = self._known()
        seeds = [self._seeds.get(party, bytes(32)) for party in self.roster]
        seed = hashlib.sha256(b"fedchain-simulated-seed" + state.losses_root + b"".join(seeds)).digest()
        self.state = replace(state, seed=seed)

    @staticmethod
    def _outcome(state: AuditState) -> str:
        voting = [vote for vote in state.votes[1:] if vote != _NO_VOTE]
        return outcome_of_votes(len(voting), voting.count(FALSE)).text

    def _silent(self, state: AuditState) -> tuple[int, ...]:
        """What each party let pass, in the contract's bits."""
        silent = []
        for place, party in enumerate(self.roster):
            bits = 2 if not place and not state.losses_root else 0
            bits |= 4 if state.losses_root and party not in self._seeds else 0
            bits |= 8 if place and state.seed and not state.votes[place] else 0
            silent.append(bits)
        return tuple(silent)

    def _known(self) -> AuditState:
        self._only(self.state is not None, "LabelsMissing")
        assert self.state is not None
        return self.state

    @staticmethod
    def _only(holds: bool, otherwise: str) -> None:
        if not holds:
            raise TransactionError("ContributionAudit", otherwise)


def _commitment(party: PartyId, seed: bytes) -> bytes:
    return hashlib.sha256(party.encode() + b"\x00" + seed).digest()


def _with(values: tuple[bytes, ...] | tuple[int, ...], place: int, value: bytes | int) -> tuple:  # type: ignore[type-arg]
    return (*values[:place], value, *values[place + 1 :])
