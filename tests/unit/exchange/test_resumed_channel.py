"""JobChannel of a party that was at it before a restart: what is done on chain is not done again."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import pytest

from fedchain.chain import RequestStatus, Terms
from fedchain.errors import DeadlineError, JobAbortedError, TransactionError
from fedchain.exchange import Inbox, JobChannel
from fedchain.messages import Contribution, PublicKey
from fedchain.types import REQUEST_BASE, Kind, PartyId, Phase
from tests.unit.exchange.ledger import ALPHA, BETA, JOB, ROSTER, Names

PARTIES = {PartyId("alpha"): ALPHA, PartyId("beta"): BETA}
TERMS = Terms(10, 60)
KEY = PublicKey(b"\x01" * 32, b"\x02" * 32, b"", True, b"", bytes(32))


class Chain:
    """Stands in for the consortium: knows what was done, and refuses what is done twice."""

    def __init__(self) -> None:
        self.done: set[str] = set()
        self.calls: list[str] = []
        self.round = 0
        self.knows_terms = True
        self.phases = [Phase.TRAINING]
        self.request_status = RequestStatus.OPEN
        self.client = SimpleNamespace(head=lambda: 1)

    def _do(self, what: str) -> None:
        self.calls.append(what)
        if what in self.done:
            raise TransactionError(what, "AlreadyDeclared()")
        self.done.add(what)

    def job(self, job_id: str) -> Any:
        phase = self.phases.pop(0) if len(self.phases) > 1 else self.phases[0]
        return SimpleNamespace(round=self.round, phase=phase, attempt=0, deadline=0)

    def request(self, job_id: str, request_id: int) -> Any:
        return SimpleNamespace(status=self.request_status, opened_block=1)

    @property
    def inference(self) -> Any:
        return SimpleNamespace(
            knows_terms=lambda: self.knows_terms,
            terms=lambda job_id: TERMS if "terms" in self.done else None,
            set_terms=lambda job_id, terms: self._do("terms"),
        )

    def has_accepted(self, job_id: str, address: str) -> bool:
        return "accept" in self.done

    def has_aligned(self, job_id: str, address: str) -> bool:
        return "align" in self.done

    def has_stopped(self, job_id: str, address: str) -> bool:
        return "stop" in self.done

    def contribution(self, job_id: str) -> object:
        return object() if "record" in self.done else None

    def accept(self, job_id: str) -> None:
        self._do("accept")

    def declare_aligned(self, job_id: str, digest: bytes, rows: int) -> None:
        self._do("align")

    def declare_stop(self, job_id: str, round: int) -> None:
        self._do("stop")
        self.round, self.phases = round + 1, [Phase.EVALUATING]

    def begin_round(self, job_id: str, round: int) -> None:
        if round != self.round + 1:
            raise TransactionError("beginRound", f"WrongRound({self.round + 1}, {round})")
        self.round = round
        self._do(f"begin {round}")

    def record_contribution(self, *_: object) -> None:
        self._do("record")

    def abort(self, job_id: str, reason: str) -> None:
        self._do("abort")


class Publisher:
    """Stands in for the publisher."""

    def __init__(self) -> None:
        self.published: list[Kind] = []

    def publish(self, message: Any, **_: object) -> bytes:
        self.published.append(message.kind)
        return b"\x07" * 32


class Waiting(Inbox):
    """An inbox in which everything that is waited for has come."""

    def wait_phase(self, phase: Phase, deadline: float) -> None:
        self.phase = phase

    def wait_round(self, round: int, deadline: float) -> int:
        return 0

    def wait_height(self, height: int, deadline: float) -> bool:
        return True


@pytest.fixture
def chain() -> Chain:
    return Chain()


def channel(chain: Any, *, resumed: bool, seconds: float = 5.0, request_id: int | None = None) -> JobChannel:
    anything: Any = None
    names: Any = Names()
    publisher: Any = Publisher()
    inbox = Waiting(JOB, ALPHA, ROSTER, 10**6, names, anything, lambda: None)
    return JobChannel(
        consortium=chain,
        publisher=publisher,
        inbox=inbox,
        me=PartyId("alpha"),
        parties=PARTIES,
        deadline_seconds=seconds,
        request_id=request_id,
        requester=PartyId("beta") if request_id else None,
        resumed=resumed,
    )


def whole_job(one: JobChannel) -> None:
    one.accept()
    one.declare_aligned(b"\x0a" * 32, 5)
    one.begin_round(1)
    one.begin_round(2)
    one.declare_stop(2)
    one.send(Contribution(7, (0, 1), (1, 0)), 0, None, 0)
    one.record_contribution((1, 0), 1, 0)


def test_a_restarted_party_does_nothing_twice_that_can_be_done_once(chain: Chain) -> None:
    whole_job(channel(chain, resumed=False))
    done = ["accept", "align", "begin 1", "begin 2", "stop", "record"]
    assert chain.calls == done
    whole_job(channel(chain, resumed=True))
    assert chain.calls == done


def test_a_restarted_party_does_what_its_earlier_process_did_not_come_to(chain: Chain) -> None:
    first = channel(chain, resumed=False)
    first.accept()
    first.declare_aligned(b"\x0a" * 32, 5)
    first.begin_round(1)
    whole_job(channel(chain, resumed=True))
    assert chain.calls == ["accept", "align", "begin 1", "begin 2", "stop", "record"]


def test_terms_are_set_once_and_not_in_a_job_that_went_on_without(chain: Chain) -> None:
    chain.phases = [Phase.PROPOSED]
    channel(chain, resumed=False).set_terms(TERMS)
    assert chain.calls == ["terms"]
    channel(chain, resumed=True).set_terms(TERMS)
    assert chain.calls == ["terms"]
    with pytest.raises(TransactionError, match="AlreadyDeclared"):
        channel(chain, resumed=False).set_terms(TERMS)
    begun = Chain()  # by a node of an earlier release
    channel(begun, resumed=True).set_terms(TERMS)
    earlier = Chain()  # contracts of an earlier version
    earlier.phases, earlier.knows_terms = [Phase.PROPOSED], False
    channel(earlier, resumed=False).set_terms(TERMS)
    assert begun.calls == earlier.calls == []


def test_a_party_that_was_never_away_is_told_of_a_refusal(chain: Chain) -> None:
    chain.done = {"align"}
    with pytest.raises(TransactionError, match="AlreadyDeclared"):
        channel(chain, resumed=False).declare_aligned(b"\x0a" * 32, 5)


def test_a_party_waits_with_its_uplink_until_the_chain_is_where_it_has_been(chain: Chain) -> None:
    """After a reorganisation: an uplink to a phase that is not begun again would be a strike."""
    one = channel(chain, resumed=False)
    one.accept()
    one.declare_aligned(b"\x0a" * 32, 5)
    chain.phases = [Phase.PROPOSED, Phase.ALIGNING, Phase.TRAINING]
    one.send(KEY, 0, None, 0)
    assert chain.phases == [Phase.TRAINING]
    one.begin_round(1)
    chain.round = 0
    short = time.monotonic()
    one._deadline_seconds = 0.3
    with pytest.raises(DeadlineError, match="took round 1 back"):
        one.send(KEY, 0, None, 0)
    assert time.monotonic() - short < 5


def test_a_refusal_by_a_chain_that_went_back_is_tried_again(chain: Chain) -> None:
    one = channel(chain, resumed=False)
    one.accept()
    refusals = iter([TransactionError("declareAligned", "WrongPhase(2, 1)")])
    real = chain.declare_aligned

    def declare(job_id: str, digest: bytes, rows: int) -> None:
        error = next(refusals, None)
        if error is not None:
            raise error
        real(job_id, digest, rows)

    chain.declare_aligned = declare  # type: ignore[method-assign]
    chain.phases = [Phase.PROPOSED, Phase.ALIGNING]
    one.declare_aligned(b"\x0a" * 32, 5)
    assert chain.calls == ["accept", "align"]


def test_nothing_is_sent_to_a_request_that_is_closed_or_a_job_that_is_aborted(chain: Chain) -> None:
    answering = channel(chain, resumed=False, request_id=REQUEST_BASE)
    answering.send(KEY, 0, None, 0)
    chain.request_status = RequestStatus.EXPIRED
    with pytest.raises(JobAbortedError, match=f"request {REQUEST_BASE}"):
        answering.send(KEY, 1, None, 0)
    chain.phases = [Phase.ABORTED]
    with pytest.raises(JobAbortedError, match="aborted"):
        channel(chain, resumed=False).send(KEY, 0, None, 0)


def test_those_for_whom_something_was_put_on_chain_are_nudged_and_nobody_else(chain: Chain) -> None:
    nudged: list[list[str]] = []
    one = channel(chain, resumed=False)
    one._nudge = lambda addresses: nudged.append(list(addresses))
    one.accept()
    one.send(KEY, 0, None, 0)
    one.send(KEY, 1, PartyId("beta"), 0)
    others = [address for name, address in PARTIES.items() if name != "alpha"]
    assert nudged == [others, others, [PARTIES[PartyId("beta")]]]
