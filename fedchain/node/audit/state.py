"""What the contracts hold of a job now, against what its events make of it."""

from __future__ import annotations

from fedchain.chain import Consortium, RequestStatus
from fedchain.errors import TransactionError
from fedchain.node.audit.asking import Asking
from fedchain.node.audit.checklist import Checklist
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
