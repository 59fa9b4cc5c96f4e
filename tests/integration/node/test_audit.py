"""Audits of jobs on a real chain: honest, with rejected uplinks, aborted; and records that were tampered with."""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from fedchain.chain import (
    Account,
    BatchLeaf,
    ChainClient,
    Consortium,
    Deployment,
    DevChain,
    JobProposed,
    RequestStatus,
    Sender,
    Terms,
    UplinkJudged,
    seed_commitment,
)
from fedchain.chain.events import ChainEvent
from fedchain.crypto.merkle import payload_digest
from fedchain.errors import ConfigError
from fedchain.exchange import Access, NodeState, PayloadStore
from fedchain.exchange.records import OutgoingSlot
from fedchain.federation.spec import JobSpec
from fedchain.messages import (
    AuditOpening,
    BlindedIds,
    Contribution,
    Envelope,
    Gradients,
    Histogram,
    LeafWeights,
    Message,
    PredictAnswer,
    PredictRequest,
    ShardDigest,
    Split,
    encode,
)
from fedchain.model.shard import model_digest
from fedchain.node.audit import AuditReport, StateFolder, audit_job
from fedchain.node.jobpolicy import policy_of
from fedchain.protocol.audits import LabelTerms
from fedchain.types import INLINE_LIMIT, AuditReason, JobId, Kind
from tests.certificates import STAND_IN_KEY, stand_in_certificate

pytestmark = pytest.mark.timeout(60)

ORDER = b"\x0a" * 32
BIG = bytes(range(256)) * 500  # 125 KiB: by reference
SHARDS = (b"\x04" * 32, b"\x05" * 32)


@dataclass
class Pair:
    """Two accredited parties that act on chain by hand; the first one is active."""

    parties: tuple[Consortium, Consortium]
    names: tuple[str, str]
    reader: Consortium

    @property
    def addresses(self) -> list[str]:
        return [one.sender.address for one in self.parties if one.sender is not None]

    def spec(self, *, pipelined: bool = False) -> JobSpec:
        consumption = "pipelined" if pipelined else "strict"
        return JobSpec.from_toml_text(
            f'name = "audited"\n[policy]\nconsumption = "{consumption}"\nmax_payload_bytes = 1048576\n'
            f'[algorithm]\ntrees = 3\n[[parties]]\nname = "{self.names[0]}"\nrole = "active"\nlabel = "y"\n'
            f'[[parties]]\nname = "{self.names[1]}"\nrole = "passive"\n'
        )

    def propose(self, *, pipelined: bool = False) -> JobId:
        spec = self.spec(pipelined=pipelined)
        return self.parties[0].propose(spec.to_bytes(), self.addresses, policy_of(spec))

    def submit(self, job: JobId, who: int, message: Message, round: int, step: int = 0, **changes: Any) -> bytes:
        """Uplink a message; returns its id."""
        payload = encode(message)
        statistic = changes.pop("statistic_e6", 0)
        envelope = Envelope(
            bytes.fromhex(job[2:]), round, 0, step, message.kind, bytes(20), payload_digest(payload), len(payload),
            statistic,
        )  # fmt: skip
        envelope = replace(envelope, **changes)
        inline = payload if len(payload) <= INLINE_LIMIT else b""
        _, judged = self.parties[who].submit(envelope, inline)
        assert judged is not None
        return judged.uplink_id

    def aligned(self, *, pipelined: bool = False, job: JobId | None = None) -> JobId:
        job = self.propose(pipelined=pipelined) if job is None else job
        for party in self.parties:
            party.accept(job)
        self.submit(job, 0, BlindedIds(0, 1, 5, b"points"), 0)
        self.submit(job, 1, BlindedIds(1, 1, 5, b"others"), 0)
        for party in self.parties:
            party.declare_aligned(job, ORDER, 5)
        return job

    def round(self, job: JobId, number: int) -> None:
        self.parties[0].begin_round(job, number)
        self.submit(job, 0, Gradients(b"\x1f", b"\x1f", 5, BIG), number)
        self.submit(job, 1, Histogram((0,), (((b"\x04", 1),),), b"sums"), number, 1)
        self.submit(job, 0, Split(()), number, 2)
        self.submit(job, 0, LeafWeights(b"\x03" * 32, b"sealed", True, 1), number, 3)

    def finish(self, job: JobId, after: int, shares: tuple[int, int] = (300_000, 200_000)) -> None:
        for party in self.parties:
            party.declare_stop(job, after)
        round = after + 1
        message = Contribution(7, (-900_000, -650_000, -750_000, -400_000), shares)
        uplink = self.submit(job, 0, message, round, statistic_e6=1)
        self.parties[0].record_contribution(job, uplink, list(shares), -400_000, -900_000)
        for who in range(2):
            self.submit(job, who, ShardDigest(SHARDS[who]), round, 1)

    def audit(self, job: JobId, *folders: Path) -> AuditReport:
        return audit_job(self.reader, job, [StateFolder(folder) for folder in folders])


@pytest.fixture
def pair(chain: DevChain, deployment: Deployment, bank: Sender, steward: Consortium) -> Pair:
    parties, names = [], []
    for number in range(2):
        account = Account.create()
        bank.transfer(account.address, 10**18)
        client = ChainClient(chain.rpc_url)
        party = Consortium(client, deployment, Sender(client, account))
        names.append(f"audited-{number}-{secrets.token_hex(4)}")
        party.register(names[-1], "127.0.0.1:1", stand_in_certificate(names[-1]), STAND_IN_KEY)
        steward.accredit(account.address)
        parties.append(party)
    return Pair((parties[0], parties[1]), (names[0], names[1]), Consortium(ChainClient(chain.rpc_url), deployment))


def test_an_honest_job_is_sound_and_its_story_complete(pair: Pair) -> None:
    job = pair.aligned()
    pair.round(job, 1)
    pair.round(job, 2)
    pair.finish(job, 2)
    report = pair.audit(job)

    assert report.is_consistent, report.mismatches
    assert (report.verdict, report.phase, report.job_name) == ("sound", "completed", "audited")
    assert [one.standing for one in report.parties] == ["sound", "sound"]
    assert [(one.name, one.role, one.accepted) for one in report.parties] == [
        (pair.names[0], "active", 9),
        (pair.names[1], "passive", 4),
    ]
    assert report.model_digest == model_digest(SHARDS)
    assert [(one.round, one.attempt, one.accepted) for one in report.rounds] == [
        (0, 0, 2),
        (1, 0, 4),
        (2, 0, 4),
        (3, 0, 3),
    ]
    told = "\n".join(f"{one.who} {one.what}" for one in report.moments)
    for words in (
        "proposed the job to",
        "accepted the job",
        "declared 5 aligned rows",
        "began round 2",
        "phase training",
        "declared the stop after round 2",
        "recorded the contributions",
        "committed to its shard",
    ):
        assert words in told
    assert report.checks["inline payloads"].checked == 11
    assert (report.checks["inline payloads"].unreachable, report.checks["payload files"].unreachable) == (2, 2)
    for name in ("spec digest", "uplink ids", "slots are unique", "verdicts", "shard digests", "contribution",
                 "the contracts' state", "block hashes", "events follow the contracts' rules"):  # fmt: skip
        assert report.checks[name].checked > 0
        assert report.checks[name].failed == 0
    json.dumps(report.as_dict())


def test_a_pipelined_job_with_batches_and_a_round_tried_again_is_sound(pair: Pair) -> None:
    job = pair.aligned(pipelined=True)
    active, passive = pair.parties
    active.begin_round(job, 1)
    leaf = BatchLeaf(0, Kind.GRADIENTS, bytes(20), payload_digest(b"x"), 1)
    active.submit_batch(job, 1, 0, [leaf, replace(leaf, step=1)])
    active.begin_round(job, 2)
    passive.submit_batch(job, 1, 0, [replace(leaf, kind=Kind.HISTOGRAM)])
    active.retry_round(job, 1)
    passive.submit_batch(job, 2, 0, [replace(leaf, kind=Kind.HISTOGRAM)])  # overtaken: nobody's fault
    active.submit_batch(job, 1, 1, [leaf])
    report = pair.audit(job)

    assert report.is_consistent, report.mismatches
    assert report.verdict == "sound"
    assert report.parties[1].overtaken == 1
    assert report.checks["payload files"].unreachable == 4
    assert [(one.round, one.attempt) for one in report.rounds] == [(0, 0), (1, 0), (2, 0), (1, 1)]


def test_who_is_overtaken_or_kept_waiting_in_a_strict_job_is_sound(pair: Pair, chain: DevChain) -> None:
    """The active party goes on, tries again and delivers late while the passive party's uplinks are on their way."""
    job = pair.aligned()
    active, passive = pair.parties
    sums = Histogram((0,), (((b"\x04", 1),),), b"sums")
    pair.round(job, 1)
    for goes_on in (active.begin_round, active.retry_round, active.retry_round):
        before = passive.job(job)
        goes_on(job, 2)
        pair.submit(job, 1, sums, before.round, 9, attempt=before.attempt)
    pair.submit(job, 1, sums, 2, 1, attempt=2)
    report = pair.audit(job)
    assert report.is_consistent, report.mismatches
    assert (report.parties[1].overtaken, report.parties[1].strikes, report.parties[1].standing) == (3, 0, "sound")
    pair.submit(job, 1, sums, 2, 9, attempt=1)  # after one of the attempt in force
    pair.submit(job, 1, sums, 1, 1, digest=b"\x01" * 32, size=98_305)
    report = pair.audit(job)
    assert report.is_consistent, report.mismatches
    assert (report.parties[1].overtaken, report.parties[1].strikes) == (3, 2)
    assert (dict(report.parties[1].rejected), report.verdict) == ({"WRONG_ATTEMPT": 1, "WRONG_ROUND": 1}, "faults")


@pytest.mark.parametrize("payload", [b"x", b"y"])
def test_small_payloads_of_pipelined_rounds_are_checked_in_the_state_file(
    pair: Pair, tmp_path: Path, payload: bytes
) -> None:
    job = pair.aligned(pipelined=True)
    digest = payload_digest(b"x")
    pair.parties[0].begin_round(job, 1)
    pair.parties[0].submit_batch(job, 1, 0, [BatchLeaf(0, Kind.GRADIENTS, bytes(20), digest, 1)])
    state = NodeState(tmp_path / "node.sqlite", chain_id=1337, genesis_hash=bytes(32))
    state.prepare(OutgoingSlot(job, 1, 0, 0, Kind.GRADIENTS, "").holding(digest, 1, 0, payload))
    report = pair.audit(job, tmp_path)  # the node may be running
    state.close()
    assert (report.checks["payload files"].checked, report.checks["payload files"].unreachable) == (1, 0)
    assert [one.check for one in report.mismatches] == ([] if payload == b"x" else ["payload files"])


def test_rejected_uplinks_are_faults_with_their_reason_codes_and_the_record_still_matches(pair: Pair) -> None:
    job = pair.aligned()
    pair.round(job, 1)
    pair.submit(job, 1, Histogram((0,), (((b"\x04", 1),),), b"others"), 1, 1)  # a second digest in one slot
    pair.submit(job, 1, Split(()), 1, 5)  # not its to send
    report = pair.audit(job)

    assert report.is_consistent, report.mismatches
    assert report.verdict == "faults"
    sound, faulty = report.parties
    assert sound.standing == "sound"
    assert faulty.standing == "faults"
    assert (dict(faulty.rejected), faulty.strikes) == ({"SLOT_TAKEN": 1, "KIND_NOT_ALLOWED": 1}, 2)
    assert any("uplink rejected, SLOT_TAKEN: histogram, round 1" in one.what for one in report.moments)


def test_an_aborted_job_says_by_whom_and_what_was_missing(pair: Pair) -> None:
    job = pair.propose()
    pair.parties[0].accept(job)
    pair.parties[0].abort(job, "it takes too long")
    report = pair.audit(job)

    assert report.is_consistent, report.mismatches
    assert report.phase == "aborted"
    assert report.aborted == f"it takes too long (by {pair.names[0]})"
    assert [one.standing for one in report.parties] == ["sound", "missing"]
    assert report.parties[1].missing == ("acceptance",)
    assert report.verdict == "missing"


def test_uplinks_that_an_abort_or_the_end_of_a_request_overtook_are_nobodys_fault(pair: Pair) -> None:
    aborted = pair.aligned()
    pair.parties[0].begin_round(aborted, 1)
    pair.parties[0].abort(aborted, "enough")
    pair.submit(aborted, 1, Histogram((0,), (((b"\x04", 1),),), b"sums"), 1, 1)
    completed = pair.aligned()
    pair.round(completed, 1)
    pair.finish(completed, 1)
    number = pair.parties[1].open_request(completed)
    pair.submit(completed, 1, PredictRequest(1, bytes(4)), number)
    pair.parties[0].close_request(completed, number, RequestStatus.REJECTED)
    pair.submit(completed, 0, PredictAnswer(1, b"sealed"), number, 1)
    for job in (aborted, completed):
        report = pair.audit(job)
        assert report.is_consistent, report.mismatches
        assert sum(one.overtaken for one in report.parties) == 1
        assert [one.strikes for one in report.parties] == [0, 0]
    assert report.parties[0].missing == (f"answer to request {number}",)


def test_reservations_anchors_and_strict_requests_are_told_and_checked(pair: Pair) -> None:
    active, passive = (party.inference for party in pair.parties)
    job = pair.propose()
    active.set_terms(job, Terms(10, 366 * 86_400))
    pair.aligned(job=job)
    pair.round(job, 1)
    pair.finish(job, 1)
    passive.reserve(job, 4)
    passive.anchor(job, b"\x07" * 32, 3)
    asked = passive.ask(job, [b"sealed", b"", b"another"])
    numbers = [one.request_id for one in asked]
    pair.submit(job, 0, PredictAnswer(1, b"bits"), numbers[0])
    active.close_many(job, [(numbers[0], RequestStatus.DONE), (numbers[2], RequestStatus.REJECTED)])
    report = pair.audit(job)

    assert report.is_consistent, report.mismatches
    told = [moment.what for moment in report.moments]
    assert f"set the terms for inference: each party may ask for 10 rows in {366 * 86_400} s" in told
    assert "reserved 4 rows of its quota: serials 0 to 3" in told
    assert f"anchored receipts, number 0, about 3 serials; root 0x{'07' * 32}" in told
    assert f"asked strictly, request {numbers[1]} rejected, SIZE_OUT_OF_BOUNDS" in told
    assert any(one.startswith(f"asked strictly, request {numbers[0]}: 6 sealed bytes, digest 0x") for one in told)
    assert f"closed request {numbers[2]}: rejected" in told
    assert report.parties[0].missing == (f"answer to request {numbers[2]}",)


def test_a_contribution_audit_and_its_settlement_are_told_and_checked(pair: Pair, steward: Consortium) -> None:
    active, passive = pair.parties
    job = pair.aligned()
    active.audits.commit_labels(job, LabelTerms(b"\x01" * 32, 5, 3, 3600, 600, 100))
    pair.round(job, 1)
    for party in pair.parties:
        party.declare_stop(job, 1)
    for party, address, shard in zip(pair.parties, pair.addresses, SHARDS, strict=True):
        party.audits.freeze(job, b"\x0f" * 32, shard, seed_commitment(job, address, shard))
    message = Contribution(5, (-900_000, -650_000, -750_000, -400_000), (300_000, 200_000))
    uplink = pair.submit(job, 0, message, 2, statistic_e6=1)
    active.record_contribution(job, uplink, [300_000, 200_000], -400_000, -900_000)
    active.audits.post(job, b"\x02" * 32, (4_500_000, 3_250_000, 3_750_000, 2_000_000), 0)
    for party, shard in zip(pair.parties, SHARDS, strict=True):
        party.audits.reveal(job, shard)
    passive.audits.vote(job, False, AuditReason.LOSSES)
    pair.submit(job, 1, AuditOpening(b"sealed"), 2, step=3)
    passive.audits.conclude(job)
    for who in range(2):
        pair.submit(job, who, ShardDigest(SHARDS[who]), 2, 1)
    active.settlements.settle(job)
    active.settlements.dispute(job, "it erred")
    steward.settlements.resolve(job, False, "so it did not")
    report = pair.audit(job)

    assert report.is_consistent, report.mismatches
    told = [moment.what for moment in report.moments]
    assert f"committed to 5 held-out labels, 3 of them to be opened; root 0x{'01' * 32}; 100 points to settle" in told
    assert "found the contributions false (LOSSES)" in told
    assert "the contribution audit ended: disputed" in told
    first, second = (f"{name} {points} (withheld: outcome)" for name, points in zip(pair.names, (60, 40), strict=True))
    assert f"the contributions were settled: {first}, {second}" in told
    assert told[-1] == "stewards decided that the settlement is void: so it did not"


@pytest.mark.parametrize("name", ["LabelsCommitted", "AuditVoted", "JobSettled"])
def test_a_contribution_audit_of_which_an_event_is_withheld_does_not_match(
    pair: Pair, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    active, passive = pair.parties
    job = pair.aligned()
    active.audits.commit_labels(job, LabelTerms(b"\x01" * 32, 5, 3, 3600, 600, 100))
    pair.round(job, 1)
    for party in pair.parties:
        party.declare_stop(job, 1)
    for party, address, shard in zip(pair.parties, pair.addresses, SHARDS, strict=True):
        party.audits.freeze(job, b"\x0f" * 32, shard, seed_commitment(job, address, shard))
    active.audits.post(job, b"\x02" * 32, (4_500_000, 3_250_000, 3_750_000, 2_000_000), 0)
    for party, shard in zip(pair.parties, SHARDS, strict=True):
        party.audits.reveal(job, shard)
    passive.audits.vote(job, True, AuditReason.SOUND)
    passive.audits.conclude(job)
    for who in range(2):
        pair.submit(job, who, ShardDigest(SHARDS[who]), 2, 1)
    active.settlements.settle(job)
    honest = pair.reader.events
    assert pair.audit(job).is_consistent
    monkeypatch.setattr(pair.reader, "events", lambda start, end: _only_of(job, honest(start, end), _without(name)))
    assert pair.audit(job).verdict == "mismatch"


def test_payload_files_are_checked_where_a_state_folder_is_given(pair: Pair, tmp_path: Path) -> None:
    job = pair.aligned()
    pair.round(job, 1)
    payload = encode(Gradients(b"\x1f", b"\x1f", 5, BIG))
    PayloadStore(tmp_path / "outgoing").put(payload, Access(job, (pair.addresses[1],)))
    report = pair.audit(job, tmp_path)
    assert report.is_consistent, report.mismatches
    assert (report.checks["payload files"].checked, report.checks["payload files"].unreachable) == (1, 0)

    file = tmp_path / "outgoing" / payload_digest(payload).hex()
    changed = bytearray(file.read_bytes())
    changed[70_000] ^= 1
    file.write_bytes(changed)
    report = pair.audit(job, tmp_path)
    assert [one.check for one in report.mismatches] == ["payload files"]
    assert str(file) in report.mismatches[0].detail
    assert report.verdict == "mismatch"
    assert [one.standing for one in report.parties] == ["sound", "sound"]  # who changed the file, the chain cannot tell
    with pytest.raises(ConfigError, match="no such state folder"):
        pair.audit(job, tmp_path / "none")


def test_shares_that_do_not_follow_from_the_utilities_speak_against_the_active_party(pair: Pair) -> None:
    job = pair.aligned()
    pair.round(job, 1)
    pair.finish(job, 1, shares=(400_000, 100_000))
    report = pair.audit(job)
    assert [(one.check, one.party) for one in report.mismatches] == [("contribution", pair.addresses[0])]
    assert "Shapley" in report.mismatches[0].detail
    assert report.parties[0].standing == "mismatch"


def test_a_proposal_that_is_no_job_spec_is_its_proposers_fault(pair: Pair) -> None:
    job = pair.parties[0].propose(b"{}", pair.addresses, policy_of(pair.spec()))
    report = pair.audit(job)
    assert report.is_consistent, report.mismatches
    assert report.parties[0].standing == "faults"
    assert "no valid job spec" in report.parties[0].faults[0]


Tamper = Callable[[list[ChainEvent]], list[ChainEvent]]


def _each(change: Callable[[UplinkJudged], ChainEvent]) -> Tamper:
    """Change the first inline uplink of round 1."""

    def tamper(events: list[ChainEvent]) -> list[ChainEvent]:
        changed = list(events)
        for index, event in enumerate(changed):
            if isinstance(event, UplinkJudged) and event.envelope.round == 1 and event.payload:
                changed[index] = change(event)
                return changed
        return changed

    return tamper


def _without(name: str) -> Tamper:
    def tamper(events: list[ChainEvent]) -> list[ChainEvent]:
        index = next((i for i, event in enumerate(events) if type(event).__name__ == name), None)
        return events if index is None else events[:index] + events[index + 1 :]

    return tamper


def _other_spec(events: list[ChainEvent]) -> list[ChainEvent]:
    return [replace(one, spec=b"{}") if isinstance(one, JobProposed) else one for one in events]


def _other_digest(event: UplinkJudged) -> UplinkJudged:
    payload = event.payload + b"!"
    envelope = replace(event.envelope, digest=payload_digest(payload), size=len(payload))
    return replace(event, payload=payload, envelope=envelope)


@pytest.mark.parametrize(
    ("tamper", "check"),
    [
        (_each(lambda event: replace(event, payload=event.payload[:-1] + b"\x00")), "inline payloads"),
        (_each(lambda event: replace(event, payload=b"")), "inline payloads"),
        (_each(_other_digest), "uplink ids"),
        (_each(lambda event: replace(event, sender="0x" + "11" * 20)), "events follow the contracts' rules"),
        (_each(lambda event: replace(event, block_hash=hashlib.sha256(b"").digest())), "block hashes"),
        (_without("UplinkJudged"), "counts of verdicts"),
        (_without("RoundBegan"), "events follow the contracts' rules"),
        (_without("StopDeclared"), "the contracts' state"),
        (_without("StrikeRecorded"), "strikes"),
        (_without("ShardRecorded"), "the contracts' state"),
        (_other_spec, "spec digest"),
    ],
    ids=["payload", "no payload", "digest", "sender", "block", "lost uplink", "lost round", "lost stop", "lost strike",
         "lost shard", "spec"],
)  # fmt: skip
def test_answers_of_the_chains_node_that_were_tampered_with_do_not_match(
    pair: Pair, monkeypatch: pytest.MonkeyPatch, tamper: Tamper, check: str
) -> None:
    job = pair.aligned()
    pair.round(job, 1)
    pair.submit(job, 1, Split(()), 1, 5)
    pair.finish(job, 1)
    assert pair.audit(job).is_consistent
    honest = pair.reader.events
    monkeypatch.setattr(pair.reader, "events", lambda start, end: _only_of(job, honest(start, end), tamper))
    report = pair.audit(job)
    assert check in {one.check for one in report.mismatches}
    assert report.verdict == "mismatch"


def _only_of(job: JobId, events: list[ChainEvent], tamper: Tamper) -> list[ChainEvent]:
    return tamper([event for event in events if getattr(event, "job_id", None) == job])


def test_a_state_that_contradicts_the_events_does_not_match(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    job = pair.aligned()
    honest = pair.reader.job
    monkeypatch.setattr(pair.reader, "job", lambda job_id: replace(honest(job_id), aligned_rows=6, round=4))
    details = [one.detail for one in pair.audit(job).mismatches]
    assert len(details) == 2
    assert "round and attempt: expected (0, 0), found (4, 0)" in details
