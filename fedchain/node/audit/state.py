"""What the contracts hold of a job now, against what its events make of it."""

from __future__ import annotations

from fedchain.chain import Consortium, RequestStatus
from fedchain.errors import TransactionError
from fedchain.node.audit.asking import Asking
from fedchain.node.audit.checklist import Checklist
from fedchain.node.audit.contributing import Contributing
from fedchain.node.audit.rules import Replay
from fedchain.node.audit.story import Story
from fedchain.types import Reason

STATE, VERDICTS, COUNTS = "the contracts' state", "verdicts", "counts of verdicts"


def check_state(consortium: Consortium, story: Story, replay: Replay, checks: Checklist) -> None:
    """Compare; the story must reach to the head.

    Raises:
        ChainError: the contracts cannot be read.
    """
    proposal, view = story.proposal, consortium.job(story.job_id)

    def equal(found: object, expected: object, what: str, party: str | None = None) -> None:
        checks.equal(STATE, found, expected, what, party=party)

    equal(view.phase.name, replay.phase.name, "phase of the job")
    equal((view.round, view.attempt), (replay.round, replay.attempt), "round and attempt")
    equal(view.proposer, proposal.proposer, "proposer")
    equal(view.roster, proposal.roster, "roster")
    equal(view.policy, proposal.policy, "policy")
    equal(view.spec_digest, proposal.spec_digest, "spec digest")
    equal((view.aligned_digest, view.aligned_rows), replay.order or (bytes(32), 0), "aligned order")
    for address in proposal.roster:
        declared = tuple(
            has(story.job_id, address)
            for has in (consortium.has_accepted, consortium.has_aligned, consortium.has_stopped)
        )
        expected = (address in replay.accepted, address in replay.aligned, address in replay.stopped)
        equal(declared, expected, "accepted, aligned, stopped", address)
        equal(consortium.shard_digest(story.job_id, address), replay.shards.get(address), "shard digest", address)
    record = consortium.contribution(story.job_id)
    made = replay.contribution
    equal(
        None if record is None else (record.roster, record.shares_e6, record.full, record.empty),
        None if made is None else (made.roster, made.shares_e6, made.full, made.empty),
        "contribution record",
    )
    _check_asking(consortium, story, replay.asking, checks)
    if replay.contributing.terms is not None:
        _check_contributing(consortium, story, replay.contributing, checks)
    for number, (requester, status) in replay.asking.requests.items():
        try:
            request = consortium.request(story.job_id, number)
            found: object = (request.requester, request.status)
        except TransactionError as error:
            found = error.reason
        equal(found, (requester, RequestStatus(status)), f"request {number}")
    _check_verdicts(consortium, story, checks)


def _check_asking(consortium: Consortium, story: Story, asking: Asking, checks: Checklist) -> None:
    inference, job_id = consortium.inference, story.job_id
    checks.equal(STATE, inference.terms(job_id), asking.terms, "terms for inference")
    if asking.terms is None:
        return  # then nothing was reserved
    for address in story.proposal.roster:
        reserved = inference.reserved(job_id, address).next
        checks.equal(STATE, reserved, asking.next[address], "serials reserved", party=address)
        roots = asking.anchors.get(address, [])
        expected = (len(roots), asking.anchored[address])
        checks.equal(STATE, inference.anchored(job_id, address), expected, "anchors and their serials", party=address)
        for index, root in enumerate(roots):
            holds = inference.is_anchored(job_id, address, index, root)
            checks.check(STATE, holds, f"anchor {index} has another root", party=address)


def _check_contributing(consortium: Consortium, story: Story, made: Contributing, checks: Checklist) -> None:
    job_id, roster = story.job_id, story.proposal.roster

    def equal(found: object, expected: object, what: str) -> None:
        checks.equal(STATE, found, expected, what)

    audit = consortium.audits.state(job_id)
    terms, posted, concluded = made.terms, made.posted, made.concluded
    if audit is None or terms is None:
        checks.check(STATE, False, "the job has no contribution audit")
        return
    expected = (terms.root, terms.rows, terms.opened_rows, terms.window_seconds, terms.dispute_seconds, terms.budget)
    equal(tuple(vars(audit.terms).values()), expected, "terms of the contribution audit")
    frozen = [made.frozen.get(party) for party in roster]
    equal(audit.outputs, tuple(b"" if one is None else one.outputs for one in frozen), "frozen outputs")
    equal(audit.shards, tuple(b"" if one is None else one.shard for one in frozen), "frozen shards")
    equal(audit.commitments, tuple(b"" if one is None else one.seed_commitment for one in frozen), "frozen seeds")
    equal(audit.seeds, tuple(made.seeds.get(party, b"") for party in roster), "revealed seeds")
    if posted is not None:
        found = (audit.losses_root, audit.loss_sums, audit.shares840, audit.weak)
        equal(found, (posted.losses_root, posted.sums, posted.shares840, posted.weak_mask), "posted losses")
    votes = [made.votes.get(party) for party in roster]
    equal(audit.votes, tuple(0 if one is None else 2 - one.sound for one in votes), "votes on the contributions")
    reasons = tuple(0 if one is None else int(one.audit_reason) for one in votes)
    equal(audit.reasons, reasons, "reasons of those votes")
    equal(audit.outcome, "" if concluded is None else concluded.audit_outcome.text, "outcome of the contribution audit")
    if concluded is not None:
        equal(audit.silent, concluded.silent, "who was silent in the contribution audit")
    _check_settlement(consortium, story, made, checks)


def _check_settlement(consortium: Consortium, story: Story, made: Contributing, checks: Checklist) -> None:
    settlement, settled = consortium.settlements.settlement(story.job_id), made.settled
    checks.equal(STATE, settlement is not None, settled is not None, "whether the job is settled")
    if settlement is None or settled is None:
        return
    resolved = None if made.resolved is None else made.resolved.stands
    withheld = made.withheld_now(story.proposal.roster)
    disputed_by = "" if made.disputed is None else made.disputed.party
    found = (settlement.points, settlement.withheld, settlement.final_at, settlement.disputed_by, settlement.resolved)
    expected = (settled.points, withheld, settled.final_at, disputed_by, resolved)
    checks.equal(STATE, found, expected, "settlement: points, withheld, final at, disputed by, stands")


def _check_verdicts(consortium: Consortium, story: Story, checks: Checklist) -> None:
    newest = {uplink.event.uplink_id: uplink.event for uplink in story.uplinks}
    for event in newest.values():
        verdict = consortium.verdict(event.sender, event.envelope)
        checks.equal(
            VERDICTS,
            (verdict.known, int(verdict.reason), verdict.block_number),
            (True, int(event.reason), event.block_number),
            "verdict of an uplink",
            party=event.sender,
            block=event.block_number,
        )
    accepted = sum(uplink.event.reason == Reason.ACCEPTED for uplink in story.uplinks)
    found = consortium.counts(story.job_id)
    checks.equal(COUNTS, found, (accepted, len(story.uplinks) - accepted), "accepted and rejected uplinks")
