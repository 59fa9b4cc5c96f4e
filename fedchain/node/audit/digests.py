"""Every digest that a job's record holds, computed again from what it stands for."""

from __future__ import annotations

import hashlib
from collections import Counter

from fedchain.chain import (
    ChainEvent,
    Consortium,
    ParticipantBanned,
    ParticipantReinstated,
    ParticipantSuspended,
    PartyMissing,
    ShardRecorded,
    StrikeRecorded,
    UplinkJudged,
)
from fedchain.contribution.leaf_mask import shapley_e6
from fedchain.errors import MessageError
from fedchain.messages import Contribution, ShardDigest, decode
from fedchain.model.shard import model_digest
from fedchain.node.audit.checklist import Checklist
from fedchain.node.audit.rules import Replay, slot_of
from fedchain.node.audit.story import Story, Uplink
from fedchain.types import INLINE_LIMIT, Kind, Phase, Reason

SPEC, PAYLOADS, IDS, SLOTS = "spec digest", "inline payloads", "uplink ids", "slots are unique"
SHARDS, CONTRIBUTION, STRIKES, BLOCKS = "shard digests", "contribution", "strikes", "block hashes"

_ONCE = (Reason.RATE_EXCEEDED, Reason.DEADLINE_MISSED)
_REPEATED = (Reason.DEADLINE_MISSED, Reason.MISSING)


def check_digests(consortium: Consortium, story: Story, replay: Replay, checks: Checklist) -> str | None:
    """Check all of a story's digests; returns the model's, hex, if the job was completed."""
    proposal = story.proposal
    found = hashlib.sha256(proposal.spec).digest()
    checks.equal(SPEC, found, proposal.spec_digest, "SHA-256 of the spec", block=proposal.block_number)
    for uplink in story.uplinks:
        _check_uplink(consortium, uplink, proposal.policy.pipelined, checks)
    _check_slots(story, checks)
    _check_strikes(story, replay, checks)
    _check_shards(story, checks)
    _check_contribution(story, replay, checks)
    _check_blocks(consortium, story.events, checks)
    if replay.phase is not Phase.COMPLETED or set(replay.shards) != set(proposal.roster):
        return None
    return model_digest([replay.shards[address] for address in proposal.roster])


def _check_uplink(consortium: Consortium, uplink: Uplink, pipelined: bool, checks: Checklist) -> None:
    event, envelope = uplink.event, uplink.event.envelope
    computed = consortium.uplink_id(event.sender, envelope)
    checks.equal(IDS, event.uplink_id, computed, "id of an uplink", party=event.sender, block=event.block_number)
    if event.reason != Reason.ACCEPTED:
        checks.check(
            PAYLOADS,
            uplink.digest is None,
            "a rejected uplink with a payload",
            party=event.sender,
            block=event.block_number,
        )
        return
    if uplink.digest is None:
        may_stay = pipelined and Kind.GRADIENTS <= envelope.kind <= Kind.LEAF_WEIGHTS
        if envelope.size > INLINE_LIMIT or may_stay:
            checks.unreachable(PAYLOADS)
        else:
            checks.check(PAYLOADS, False, "an accepted uplink without it", party=event.sender, block=event.block_number)
        return
    what = f"payload of {envelope.size} bytes"
    checks.equal(
        PAYLOADS,
        (uplink.size, uplink.digest.hex()),
        (envelope.size, envelope.digest.hex()),
        what,
        party=event.sender,
        block=event.block_number,
    )


def _check_slots(story: Story, checks: Checklist) -> None:
    taken: set[tuple[object, ...]] = set()
    for uplink in story.uplinks:
        event = uplink.event
        if event.reason == Reason.ACCEPTED:
            slot = slot_of(event.sender, event.envelope)
            detail = f"two accepted uplinks in the slot {slot}"
            checks.check(SLOTS, slot not in taken, detail, party=event.sender, block=event.block_number)
            taken.add(slot)


def _check_strikes(story: Story, replay: Replay, checks: Checklist) -> None:
    """Each rejected uplink was a strike, but for those of the suspended and those that are nobody's fault.

    What is about a call as a whole is a fault once in a transaction. A missed deadline is a strike from the second time
    on: as many as that at most, since stewards may have overturned the first. Proven faults are not of this check.
    """
    due: Counter[tuple[bytes, str, int]] = Counter()
    before: set[tuple[str, int]] = set()
    suspended: set[str] = set()
    for event in story.events:
        if isinstance(event, (ParticipantSuspended, ParticipantBanned)):
            suspended.add(event.party)
        elif isinstance(event, ParticipantReinstated):
            suspended.discard(event.party)
        if isinstance(event, UplinkJudged):
            is_fault = event.reason not in (Reason.ACCEPTED, Reason.SENDER_SUSPENDED)
            if not is_fault or (event.block_hash, event.log_index) in replay.overtaken:
                continue
            party, reason = event.sender, int(event.reason)
        elif isinstance(event, PartyMissing) and event.party not in suspended:
            party, reason = event.party, int(Reason.MISSING)
        else:
            continue
        key = (event.transaction_hash, party, reason)
        if reason in _ONCE and key in due:
            continue
        due[key] += int(reason not in _REPEATED or (party, reason) in before)
        before.add((party, reason))
    recorded = Counter(
        (event.transaction_hash, event.party, int(event.reason))
        for event in story.events
        if isinstance(event, StrikeRecorded) and (event.reason < Reason.EQUIVOCATION or event.reason in _REPEATED)
    )
    for key in due | recorded:
        _, party, reason = key
        what = f"strikes for {Reason(reason).name} in one transaction"
        if reason in _REPEATED:
            checks.check(STRIKES, recorded[key] <= due[key], what, party=party)
        else:
            checks.equal(STRIKES, recorded[key], due[key], what, party=party)


def _check_shards(story: Story, checks: Checklist) -> None:
    sent: dict[tuple[bytes, str], bytes] = {}
    for uplink in story.uplinks:
        event = uplink.event
        if event.envelope.kind is Kind.SHARD_DIGEST and event.reason == Reason.ACCEPTED:
            try:
                sent[event.transaction_hash, event.sender] = decode(uplink.payload, ShardDigest).digest
            except MessageError as error:
                checks.check(SHARDS, False, str(error), party=event.sender, block=event.block_number)
    for recorded in story.events:
        if isinstance(recorded, ShardRecorded):
            digest = sent.get((recorded.transaction_hash, recorded.party))
            what = "the shard digest that was recorded, against the uplink's"
            checks.equal(SHARDS, recorded.digest, digest, what, party=recorded.party, block=recorded.block_number)


def _check_contribution(story: Story, replay: Replay, checks: Checklist) -> None:
    record = replay.contribution
    if record is None:
        return

    def check(holds: bool, detail: str) -> bool:
        return checks.check(CONTRIBUTION, holds, detail, party=record.by, block=record.block_number)

    def equal(found: object, expected: object, what: str) -> None:
        checks.equal(CONTRIBUTION, found, expected, what, party=record.by, block=record.block_number)

    equal(record.roster, story.proposal.roster, "roster of the record")
    equal(sum(record.shares_e6), record.full - record.empty, "sum of the shares")
    sent = [
        uplink
        for uplink in story.uplinks
        if uplink.event.envelope.kind is Kind.CONTRIBUTION
        and uplink.event.reason == Reason.ACCEPTED
        and uplink.event.sender == record.by
    ]
    if not check(bool(sent), "a record without an accepted uplink"):
        return
    try:
        message = decode(sent[-1].payload, Contribution)
        shares = shapley_e6(message.utilities_e6)
    except (MessageError, ValueError) as error:
        check(False, f"the uplink: {error}")
        return
    equal(record.shares_e6, message.shares_e6, "recorded shares, against the uplink's")
    equal(message.shares_e6, shares, "shares, against the Shapley values of the uplink's utilities")
    ends = (message.utilities_e6[-1], message.utilities_e6[0])
    equal((record.full, record.empty), ends, "recorded utilities of all and of nobody, against the uplink's")


def _check_blocks(consortium: Consortium, events: list[ChainEvent], checks: Checklist) -> None:
    """The blocks that events name are those of the chain."""
    for number, found in sorted({(event.block_number, event.block_hash) for event in events}):
        checks.equal(BLOCKS, found, consortium.client.block_hash(number), "hash of a block in an event", block=number)
