"""A whole job and its predictions, strict and pipelined, on each chain."""

from __future__ import annotations

from eth_abi.abi import encode
from eth_utils.crypto import keccak

from contracts.script.report.uplinks import envelope_of, leaf_of, reasons
from fedchain.types import REQUEST_BASE, Kind, Phase, Reason
from tests.contracts.stage import PAYLOAD, SHARD_DIGEST, Stage

JOBS, LEDGER, ROUTER = "JobManager", "UplinkLedger", "InferenceRouter"


def test_a_job_lives_from_its_proposal_to_a_prediction(stage: Stage) -> None:
    active, passive, other = roster = stage.roster()
    job = stage.propose(roster)
    assert stage.phase(job) is Phase.PROPOSED
    stage.every(roster, "accept", job)
    sent = [
        (active, envelope_of(job, 0, Kind.PUBLIC_KEY, PAYLOAD)),
        (passive, envelope_of(job, 0, Kind.BLINDED_IDS, PAYLOAD)),
    ]
    for party, envelope in sent:
        stage.accept(party, envelope)
    stage.every(roster, "declareAligned", job, b"o" * 32, 100)
    assert stage.phase(job) is Phase.TRAINING
    stage.begin(roster, job, 1)
    training = [
        (active, envelope_of(job, 1, Kind.GRADIENTS, PAYLOAD)),
        (passive, envelope_of(job, 1, Kind.HISTOGRAM, PAYLOAD, recipient=active.address)),
        (active, envelope_of(job, 1, Kind.SPLIT, PAYLOAD, recipient=passive.address)),
        (passive, envelope_of(job, 1, Kind.PARTITION, PAYLOAD, recipient=active.address)),
        (active, envelope_of(job, 1, Kind.LEAF_WEIGHTS, PAYLOAD)),
    ]
    for party, envelope in training:
        stage.accept(party, envelope)
    assert stage.read(LEDGER, "roundOf", job) == (1, 0, 0b011, 0)
    stage.send(other, JOBS, "declareStop", job, 1)
    stage.send(passive, JOBS, "declareStop", job, 1)
    closed = stage.send(active, JOBS, "declareStop", job, 1).only("RoundClosed")
    assert (closed["acceptedMask"], closed["rejectedMask"], closed["missingMask"]) == (0b111, 0, 0)
    assert stage.phase(job) is Phase.EVALUATING

    contribution = envelope_of(job, 2, Kind.CONTRIBUTION, PAYLOAD, statisticE6=7)
    stage.accept(active, contribution)
    uplink_id = stage.read(LEDGER, "uplinkIdOf", active.address, contribution)
    with stage.refused("SharesDoNotSum"):
        stage.send(active, "ContributionLedger", "record", job, uplink_id, [5, -2, 4], -10, -18)
    stage.send(active, "ContributionLedger", "record", job, uplink_id, [5, -2, 4], -10, -17)
    recorded = stage.read("ContributionLedger", "contributionOf", job)
    assert recorded[:4] == (tuple(one.address for one in roster), (5, -2, 4), -10, -17)
    for party in roster:
        assert stage.phase(job) is Phase.EVALUATING
        stage.accept(party, envelope_of(job, 2, Kind.SHARD_DIGEST, PAYLOAD))
    assert stage.phase(job) is Phase.COMPLETED
    assert [stage.read(JOBS, "shardDigestOf", job, one.address) for one in roster] == [SHARD_DIGEST] * 3
    assert stage.read(LEDGER, "countsOf", job) == (11, 0)
    assert all(stage.read(LEDGER, "isAccepted", party.address, one) for party, one in [*sent, *training])

    stage.send(active, ROUTER, "open", job)
    assert stage.read(ROUTER, "isOpen", job, REQUEST_BASE)
    stage.accept(active, envelope_of(job, REQUEST_BASE, Kind.PREDICT_REQUEST, PAYLOAD))
    stage.accept(passive, envelope_of(job, REQUEST_BASE, Kind.PREDICT_ANSWER, PAYLOAD, recipient=active.address))
    stage.send(active, ROUTER, "close", job, REQUEST_BASE, 1)
    late = envelope_of(job, REQUEST_BASE, Kind.PREDICT_ANSWER, PAYLOAD)
    assert stage.submit(other, late) == Reason.WRONG_ROUND
    assert stage.strikes(other) == 0  # overtaken by the request's end
    with stage.refused("JobEnded"):
        stage.send(active, JOBS, "abort", job, "too late")


def test_an_alignment_that_differs_aborts_the_job(stage: Stage) -> None:
    roster = stage.roster(2)
    job = stage.aligning(roster)
    stage.send(roster[0], JOBS, "declareAligned", job, b"o" * 32, 100)
    assert stage.send(roster[1], JOBS, "declareAligned", job, b"o" * 32, 99).all("JobAborted")
    assert stage.phase(job) is Phase.ABORTED


def test_a_batch_is_judged_leaf_by_leaf_and_rounds_overlap_in_a_pipelined_job(stage: Stage) -> None:
    roster = stage.roster(2)
    active, passive = roster
    job = stage.training(roster, pipelined=True)

    def batch(round_: int, attempt: int, *steps: int, kind: Kind = Kind.HISTOGRAM) -> list[int]:
        leaves = [
            envelope_of(job, round_, kind, step=step, digest=bytes([step + 1]) * 32, size=100 + step) for step in steps
        ]
        done = stage.send(passive, LEDGER, "submitBatch", job, round_, attempt, 1, [leaf_of(one) for one in leaves])
        return reasons(done)

    assert batch(1, 0, 0, 1, 2) == [0, 0, 0]
    assert batch(1, 0, 2, 3) == [0]  # the one that was accepted before is not judged again
    stage.begin(roster, job, 2)
    assert batch(1, 0, 4) == [0]
    assert batch(2, 0, 5, kind=Kind.GRADIENTS) == [Reason.KIND_NOT_ALLOWED]
    stage.send(active, JOBS, "retryRound", job, 1)
    assert batch(1, 0, 6) == [Reason.WRONG_ATTEMPT]
    assert batch(2, 0, 7) == [Reason.WRONG_ROUND]
    assert stage.strikes(passive) == 1  # for the kind alone: the others were overtaken
    assert batch(1, 1, 0) == [0]


def test_a_payload_at_the_inline_limit_is_checked_on_chain(stage: Stage) -> None:
    roster = stage.roster(2)
    job = stage.training(roster)
    payload = bytes(i * 31 % 251 for i in range(98_304))
    stage.accept(roster[1], envelope_of(job, 1, Kind.HISTOGRAM, payload), payload)


ENVELOPE = "(bytes32,uint32,uint16,uint32,uint8,address,uint16,bytes32,uint64,uint64)"


def test_ids_bind_chain_contract_party_and_contents(stage: Stage) -> None:
    roster = stage.roster(2)
    active, passive = roster
    number = stage.read(JOBS, "jobCount")
    job = stage.training(roster, pipelined=True)
    spec_digest = stage.read(JOBS, "jobOf", job)["specDigest"]
    place = (stage.client.chain_id, stage.deployed.addresses[JOBS], active.address, spec_digest, number)
    assert job == keccak(encode(["uint256", "address", "address", "bytes32", "uint256"], place))

    sent = [
        envelope_of(job, 1, Kind.HISTOGRAM, step=step, recipient=active.address, digest=bytes([step + 1]) * 32, size=9)
        for step in range(3)
    ]
    done = stage.send(passive, LEDGER, "submitBatch", job, 1, 0, 1, [leaf_of(one) for one in sent])
    for one, judged in zip(sent, done.all("UplinkJudged"), strict=True):
        sender = (stage.client.chain_id, stage.deployed.addresses[LEDGER], passive.address, tuple(one.values()))
        assert judged["uplinkId"] == keccak(encode(["uint256", "address", "address", ENVELOPE], sender))
        assert (judged["sender"], judged["digest"], judged["payload"]) == (passive.address, one["digest"], b"")
        assert judged["measure"] == 1 << 128 | 9 << 64
        assert judged["place"] == int(active.address, 16) << 96 | one["step"] << 64 | 1 << 32 | Kind.HISTOGRAM << 8
