"""An audit of contributions before the real contract, for the in-memory channel."""

from __future__ import annotations

from collections.abc import Mapping

from fedchain.chain import Consortium
from fedchain.chain.contribution_audits import seed_commitment
from fedchain.chain.inprocess import InProcessConsortium
from fedchain.protocol.actions import AwaitAudit, CommitLabels, Conclude, Freeze, PostLosses, RevealSeed, Vote
from fedchain.simulation.audits import AuditRecord
from fedchain.types import AuditReason, JobId, PartyId


class ChainAudit(AuditRecord):
    """One job's audit on chain, each party's steps by its own account.

    Args:
        chain: whose time passes when nobody can go on.
        members: each party's view of the chain, roster order.
        job_id: the job.
    """

    def __init__(self, chain: InProcessConsortium, members: Mapping[PartyId, Consortium], job_id: JobId) -> None:
        super().__init__(list(members))
        self._chain, self._members, self._job_id = chain, members, job_id

    def carry_out(self, party: PartyId, action: object, *, has_begun: bool, restarted: bool) -> tuple[bool, object]:
        """See `AuditRecord.carry_out`; what the contract refuses is a `TransactionError`."""
        audits = self._members[party].audits
        if isinstance(action, (AwaitAudit, Conclude)):
            self.state = audits.state(self._job_id)
            if isinstance(action, AwaitAudit):
                found = self.reached(action.stage)
                return found is not None, found
            if self.state is not None and not self.state.outcome:
                if not self._is_late and not self.reached("voted"):
                    return False, None
                audits.conclude(self._job_id)
                self.state = audits.state(self._job_id)
            return True, self.state
        if isinstance(action, CommitLabels):
            audits.commit_labels(self._job_id, action.terms)
        elif isinstance(action, Freeze):
            sender = self._members[party].sender
            assert sender is not None
            commitment = seed_commitment(self._job_id, sender.address, action.seed)
            audits.freeze(self._job_id, action.outputs, action.shard, commitment)
        elif isinstance(action, PostLosses):
            audits.post(self._job_id, action.root, action.sums, action.weak)
        elif isinstance(action, RevealSeed):
            audits.reveal(self._job_id, action.seed)
        elif isinstance(action, Vote):
            audits.vote(self._job_id, action.sound, AuditReason(action.reason))
        return True, None

    def let_time_pass(self) -> bool:
        """The window under way is over; False where none is."""
        state = self._chain.steward.audits.state(self._job_id)
        if state is None or state.outcome or self._is_late or not state.deadline:
            return False
        self._chain.advance(max(0, state.deadline - self._chain.now()) + 1)
        self._is_late = self._chain.steward.audits.state(self._job_id) == state
        return True
