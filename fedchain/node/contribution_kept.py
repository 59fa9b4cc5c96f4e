"""Rechecks what a node keeps of an audit of contributions: the opening, against the chain and against its own shard.

A passive party's node keeps its own leaf bits of the opened rows, the commitments to leaf weights, and how many
training rows came to the nodes that it saw. The active party's has the model itself: all counts and leaf weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from fedchain.contribution.open_model import open_model
from fedchain.crypto.merkle import check_payload
from fedchain.data.holdout import holdout
from fedchain.errors import ContributionError, DigestMismatchError, MessageError, SealError
from fedchain.federation.auditing import CONTEXT
from fedchain.federation.kept import KeptAudit
from fedchain.federation.opening import Auditor, opened_rows
from fedchain.federation.session import Keys
from fedchain.federation.spec import JobSpec
from fedchain.messages import AuditOpening, LeafWeights, decode
from fedchain.messages.auditing import ActiveOpening
from fedchain.model.shard import Shard
from fedchain.node.audit.checklist import Checklist
from fedchain.node.audit.stores import StateFolder
from fedchain.node.audit.story import Story, Uplink
from fedchain.node.jobfiles import JobFiles
from fedchain.protocol.audits import AuditState
from fedchain.types import Kind, PartyId, Reason

OPENING = "opening"
UNSEEN_COVERS = "covers of nodes that no auditor saw, and leaf weights of rounds of a model that the job continued"
_OWN_BITS = "own leaf bits of the opened rows: the active party's node does not keep them, and its table is not read"


def check_kept(
    checks: Checklist, beyond: list[str], story: Story, folder: StateFolder, audit: AuditState | None
) -> None:
    """Check it.

    Args:
        checks: takes what is compared.
        beyond: takes what cannot be, and why, one line each.
        story: of the job.
        folder: of the node.
        audit: of the job, as the chain has it.

    Raises:
        ConfigError: no finished job in the folder.
        ModelFormatError: a file in it is damaged.
    """
    files = JobFiles(folder.path, story.job_id)
    _, shard, session = files.load()
    kept = files.load_audit()
    if audit is None or not audit.seed:
        beyond.append("what the node keeps of the audit: no seed was drawn, so nothing was opened")
        return
    if kept is None:
        beyond.append("opened rows: this node has kept nothing of the audit")
        return
    checker = _Checker(checks, beyond, story, folder, shard, kept)
    if kept.finding:
        what = f"this node found the contributions false when it voted: {kept.finding}"
        checks.check(OPENING, False, what, party=story.proposal.roster[0])
    if kept.opening:
        spec, aligned_rows = JobSpec.from_bytes(story.proposal.spec), len(session.ids)
        checker.check_drawn(spec, aligned_rows, audit)
        checker.check_uplink(session.keys)
        checker.recheck(audit, spec.sampled_rows(aligned_rows))
    else:
        beyond.append("opened rows: nothing was opened to this node")
        beyond.append(UNSEEN_COVERS)
    checker.check_commitments()


@dataclass(frozen=True)
class _Checker:
    checks: Checklist
    beyond: list[str]
    story: Story
    folder: StateFolder
    shard: Shard
    kept: KeptAudit

    @property
    def _active(self) -> str:
        """Address of the active party."""
        return self.story.proposal.roster[0]

    def recheck(self, audit: AuditState, trained: int) -> None:
        """All that an auditor checks, with what this node knows; `trained` rows each tree was grown with."""
        kept, rows = self.kept, opened_rows(audit)
        if len(kept.opened_positions) != len(rows):
            self.checks.check(OPENING, False, f"{len(kept.opened_positions)} rows were kept, {len(rows)} are drawn")
            return
        commitments = kept.commitments
        covers: tuple[Mapping[int, int], ...] | None = kept.covers
        if self.shard.index == 0:
            commitments, covers = self._committed(), self._counted()
            self.beyond.append(_OWN_BITS)
            self._check_model()
        else:
            self.beyond.append(UNSEEN_COVERS)
        auditor = Auditor(
            self.shard, audit, kept.opened_positions, kept.own_bits, kept.earlier_rounds, commitments, covers, trained
        )
        try:
            auditor.check(kept.opening)
        except ContributionError as error:
            self.checks.check(OPENING, False, f"{error.reason.name}: {error}", party=self._active)
        else:
            self.checks.check(OPENING, True)

    def check_drawn(self, spec: JobSpec, aligned: int, audit: AuditState) -> None:
        """Without classes anybody can tell which rows the job holds out: the opened ones are those."""
        if spec.algorithm.objective in ("binary", "multiclass"):
            return
        expected = np.flatnonzero(
            holdout(np.zeros(aligned), spec.holdout.fraction, spec.holdout.seed, stratified=False)
        )
        rows = opened_rows(audit)
        fits = len(expected) == audit.terms.rows and np.array_equal(expected[rows], self.kept.opened_positions)
        self.checks.check(OPENING, fits, "opened rows are not those that the job holds out", party=self._active)

    def _check_model(self) -> None:
        """At the active party: what was opened is the model that it has, with all training counts and leaf weights."""
        try:
            opened = decode(self.kept.opening, ActiveOpening).model
        except MessageError:
            return  # the recheck says so
        self.checks.check(
            OPENING,
            opened == open_model(self.shard).to_bytes(),
            "the opened model is not that of this node's shard: other covers, leaf weights or margins",
            party=self._active,
        )

    def _counted(self) -> tuple[Mapping[int, int], ...]:
        """At the active party: training rows of every node of the trees of this job."""
        trees = self.shard.trees[len(self.shard.base_margins) * self.kept.earlier_rounds :]
        return tuple(dict(zip(tree.shape.nodes, tree.covers, strict=True)) for tree in trees)

    def _committed(self) -> tuple[bytes, ...] | None:
        """At the active party: the commitments that it sent with the job's rounds; None if one is out of reach."""
        rounds = len(self.shard.trees) // len(self.shard.base_margins) - self.kept.earlier_rounds
        found = []
        for number in range(1, rounds + 1):
            try:
                commitment = self._sent_commitment(number)
            except MessageError:
                commitment = None
            if commitment is None:
                what = (
                    f"leaf weights against training: the payload of round {number} is not on the chain, nor kept here"
                )
                self.beyond.append(what)
                return None
            found.append(commitment)
        return tuple(found)

    def check_uplink(self, keys: Keys) -> None:
        """What was kept is what the active party has sent."""
        sent = self._sent(Kind.AUDIT)
        payload = _payload(self.folder, sent[-1]) if sent else b""
        if not payload:
            self.checks.unreachable(OPENING)
            self.beyond.append("the uplink of the opening: its payload is not on the chain, nor in the state folder")
            return
        try:
            sealed = decode(payload, AuditOpening).sealed
            opening = keys.unseal(sealed, CONTEXT, PartyId(self.shard.roster[0]))
        except (MessageError, SealError) as error:
            self.checks.check(OPENING, False, f"uplink: {error}", party=self._active)
            return
        same = opening == self.kept.opening
        self.checks.check(OPENING, same, "what was kept is not what the uplink holds", party=self._active)

    def check_commitments(self) -> None:
        """Commitments to leaf weights that were kept are those of the chain, as far as it has their payloads."""
        for number, commitment in enumerate(self.kept.commitments or (), start=1):
            try:
                sent = self._sent_commitment(number)
            except MessageError as error:
                self.checks.check(OPENING, False, f"leaf weights of round {number}: {error}", party=self._active)
                continue
            if sent is None:
                self.checks.unreachable(OPENING)
            else:
                what = f"kept commitment to the leaf weights of round {number}"
                self.checks.equal(OPENING, commitment, sent, what, party=self._active)

    def _sent_commitment(self, number: int) -> bytes | None:
        """What the active party sent last for a round, None where its payload is out of reach.

        Raises:
            MessageError: it is no such message.
        """
        sent = [uplink for uplink in self._sent(Kind.LEAF_WEIGHTS) if uplink.event.envelope.round == number]
        payload = _payload(self.folder, sent[-1]) if sent else b""
        return decode(payload, LeafWeights).commitment if payload else None

    def _sent(self, kind: Kind) -> list[Uplink]:
        """The active party's accepted uplinks of a kind, in chain order."""
        return [
            uplink
            for uplink in self.story.uplinks
            if uplink.event.envelope.kind is kind
            and uplink.event.reason == Reason.ACCEPTED
            and uplink.event.sender == self._active
        ]


def _payload(folder: StateFolder, uplink: Uplink) -> bytes:
    """An uplink's payload from the chain or the folder; empty where neither has it."""
    if uplink.payload:
        return uplink.payload
    for path in folder.payload(uplink.event.envelope.digest):
        payload = path.read_bytes()
        try:
            check_payload(payload, uplink.event.envelope.digest, str(path))
        except DigestMismatchError:
            continue
        return payload
    return b""
