"""What a node proves, with which halves, and that a proof that fails hides nothing."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from fedchain.chain import Consortium, FaultRecorded, JobProposed, UplinkJudged
from fedchain.errors import ChainUnreachableError, TransactionError
from fedchain.exchange.directory import Directory
from fedchain.exchange.prover import Prover, prove_kept
from fedchain.exchange.records import Delivery
from fedchain.exchange.state import NodeState
from fedchain.messages import Envelope
from fedchain.types import Answer, JobId, Kind, Reason

JOB = JobId("0x" + "11" * 32)
MALLORY = "0x" + "AB" * 20
GENESIS = b"\x07" * 32
FIRST = Envelope(b"\x11" * 32, 1, 0, 0, Kind.HISTOGRAM, bytes(20), b"\x01" * 32, 100)
SECOND = replace(FIRST, digest=b"\x02" * 32)
PLACE: dict[str, Any] = {
    "block_number": 1,
    "block_hash": b"\x00" * 32,
    "log_index": 0,
    "transaction_hash": b"\x00" * 32,
}


@dataclass
class Chain:
    """Stands in for a consortium: one block of events, and the proofs that it was given."""

    events_of: list[Any] = field(default_factory=list)
    proven: list[tuple[Any, ...]] = field(default_factory=list)
    known: set[bytes] = field(default_factory=set)
    failure: Exception | None = None
    sender: object = "a sender"
    gate: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.gate.set()
        self.client = SimpleNamespace(head=lambda: 5000, chain_id=1, genesis_hash=lambda: GENESIS)
        self.faults = SimpleNamespace(
            is_proven=lambda evidence: evidence in self.known,
            equivocation_evidence=lambda party, envelope: b"equivocation",
            prove_equivocation=partial_of(self, Reason.EQUIVOCATION),
            prove_payload_mismatch=partial_of(self, Reason.PAYLOAD_MISMATCH),
            prove_replay=partial_of(self, Reason.REPLAY),
        )

    def events(self, start: int, end: int) -> list[Any]:
        """All lie in the block of the proposal."""
        return self.events_of if start <= PLACE["block_number"] <= end else []

    def uplink_id(self, sender: str, envelope: Envelope) -> bytes:
        """Made up."""
        return envelope.digest[:31] + bytes([envelope.round])

    def verdict(self, sender: str, envelope: Envelope) -> Any:
        """What the events say of an uplink."""
        judged = [one for one in self.events_of if isinstance(one, UplinkJudged) and one.envelope == envelope]
        return SimpleNamespace(known=bool(judged), reason=judged[0].reason if judged else Reason.ACCEPTED)

    def accepted(self, envelope: Envelope, reason: Reason = Reason.ACCEPTED) -> None:
        """The ledger has judged an uplink of Mallory's."""
        self.events_of.append(
            UplinkJudged(
                **PLACE, job_id=JOB, sender=MALLORY, uplink_id=b"", reason=reason, envelope=envelope, payload=b""
            )
        )


def partial_of(chain: Chain, reason: Reason) -> Callable[..., Any]:
    def prove(*arguments: Any) -> Any:
        assert chain.gate.wait(10.0)
        if chain.failure is not None:
            raise chain.failure
        chain.proven.append((reason, *arguments))
        recorded = FaultRecorded(
            **PLACE, fault_id=len(chain.proven), party=MALLORY, job_id=JOB, round=1, reason=reason,
            answer=Answer.STRIKE, evidence=b"",
        )  # fmt: skip
        return SimpleNamespace(events=(recorded,))

    return prove


@pytest.fixture
def chain() -> Chain:
    one = Chain()
    one.events_of.append(
        JobProposed(
            **PLACE, job_id=JOB, proposer=MALLORY, spec_digest=b"", roster=(MALLORY,), policy=cast(Any, None), spec=b""
        )
    )
    return one


@pytest.fixture
def state(tmp_path: Path) -> Iterator[NodeState]:
    one = NodeState(tmp_path / "node.sqlite", chain_id=1, genesis_hash=GENESIS)
    yield one
    one.close()


@pytest.fixture
def prover(chain: Chain, state: NodeState, monkeypatch: pytest.MonkeyPatch) -> Iterator[Prover]:
    monkeypatch.setattr("fedchain.exchange.prover._RECORDED_WITHIN_SECONDS", 0.3)
    directory = cast(Directory, SimpleNamespace(name_of=lambda address: "mallory"))
    one = Prover(cast(Consortium, chain), state, directory)
    yield one
    one.close()


def signed(envelope: Envelope) -> Delivery:
    return Delivery(JOB, envelope.round, MALLORY, envelope.to_bytes(), b"signature under " + envelope.digest[:2])


def test_two_signed_uplinks_of_a_slot_prove(chain: Chain, state: NodeState, prover: Prover) -> None:
    state.keep_proof(signed(FIRST))
    state.keep_proof(signed(SECOND))
    state.keep_proof(signed(replace(FIRST, step=1)))
    prover.equivocation(JOB, MALLORY, SECOND)
    prover.finish()
    ((reason, party, *halves),) = chain.proven
    assert (reason, party) == (Reason.EQUIVOCATION, MALLORY)
    assert halves == [FIRST, signed(FIRST).signature, SECOND, signed(SECOND).signature]


def test_an_accepted_uplink_is_a_half_without_signature(chain: Chain, state: NodeState, prover: Prover) -> None:
    chain.accepted(replace(FIRST, step=7))
    chain.accepted(replace(FIRST, digest=b"\x09" * 32), Reason.SLOT_TAKEN)
    chain.accepted(FIRST)
    state.keep_proof(signed(SECOND))
    prover.equivocation(JOB, MALLORY, SECOND)
    prover.finish()
    assert [proof[2:] for proof in chain.proven] == [(FIRST, b"", SECOND, signed(SECOND).signature)]


def test_a_half_that_is_recorded_a_little_later_is_waited_for(
    chain: Chain, state: NodeState, prover: Prover, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fedchain.exchange.prover._RECORDED_WITHIN_SECONDS", 30.0)
    state.remember_delivery(signed(FIRST))
    prover.equivocation(JOB, MALLORY, SECOND)
    state.keep_proof(signed(SECOND))
    prover.finish()
    assert len(chain.proven) == 1


def test_one_half_alone_proves_nothing(chain: Chain, state: NodeState, prover: Prover) -> None:
    state.keep_proof(signed(FIRST))
    prover.equivocation(JOB, MALLORY, SECOND)
    prover.finish()
    assert chain.proven == []


def test_what_somebody_else_has_proven_is_left_out(chain: Chain, state: NodeState, prover: Prover) -> None:
    state.keep_proof(signed(FIRST))
    state.keep_proof(signed(SECOND))
    chain.known.add(b"equivocation")
    prover.equivocation(JOB, MALLORY, SECOND)
    prover.finish()
    assert chain.proven == []


def test_another_payload_is_proven_with_the_uplink_of_its_digest(chain: Chain, prover: Prover) -> None:
    chain.accepted(SECOND)
    chain.accepted(FIRST)
    prover.other_payload(JOB, MALLORY, FIRST.digest, b"\x05" * 32, b"signature")
    prover.finish()
    assert chain.proven == [(Reason.PAYLOAD_MISMATCH, MALLORY, FIRST, b"\x05" * 32, b"signature")]


def test_a_replay_is_proven(chain: Chain, state: NodeState, prover: Prover) -> None:
    again = replace(FIRST, round=2)
    chain.accepted(FIRST)
    state.keep_proof(signed(again))
    prover.replay(JOB, MALLORY, FIRST, again)
    prover.finish()
    assert chain.proven == [(Reason.REPLAY, MALLORY, FIRST, b"", again, signed(again).signature)]


def test_a_replay_of_what_is_neither_accepted_nor_signed_is_not_proven(chain: Chain, prover: Prover) -> None:
    chain.accepted(FIRST)
    chain.accepted(replace(FIRST, round=2), Reason.WRONG_ROUND)
    prover.replay(JOB, MALLORY, FIRST, replace(FIRST, round=2))
    prover.finish()
    assert chain.proven == []


@pytest.mark.parametrize(
    "failure",
    [
        TransactionError("FaultProofs.proveReplay", "AlreadyProven(…)"),
        ChainUnreachableError("nothing answers"),
        RuntimeError("a defect"),
    ],
)
def test_a_proof_that_fails_is_logged_and_raises_nothing(chain: Chain, prover: Prover, failure: Exception) -> None:
    for number in (1, 2, 3):
        chain.accepted(replace(FIRST, round=number))
    chain.failure = failure
    prover.replay(JOB, MALLORY, FIRST, replace(FIRST, round=2))
    prover.finish()
    chain.failure = None
    prover.replay(JOB, MALLORY, FIRST, replace(FIRST, round=3))
    prover.finish()
    assert len(chain.proven) == 1


def test_finishing_ends_in_time_though_the_chain_hangs(chain: Chain, prover: Prover) -> None:
    chain.accepted(FIRST)
    chain.accepted(replace(FIRST, round=2))
    chain.gate.clear()
    prover.replay(JOB, MALLORY, FIRST, replace(FIRST, round=2))
    prover.finish(0.05)
    assert chain.proven == []
    chain.gate.set()
    prover.finish()
    assert len(chain.proven) == 1


def test_a_node_that_only_reads_proves_nothing(chain: Chain, prover: Prover) -> None:
    chain.sender = None
    prover.replay(JOB, MALLORY, FIRST, replace(FIRST, round=2))
    prover.finish()
    assert chain.proven == []


def test_what_was_kept_is_proven_later_once_a_slot(chain: Chain, state: NodeState, tmp_path: Path) -> None:
    for one in (FIRST, SECOND, replace(FIRST, step=1), replace(SECOND, step=1)):
        state.keep_proof(signed(one))
    assert prove_kept(cast(Consortium, chain), tmp_path, JOB) == [1, 2]
    assert sorted(proof[2].step for proof in chain.proven) == [0, 1]
