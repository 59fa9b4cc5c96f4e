"""Questions cross between real servers: small and large ones, refusals, silence, a peer that moves."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest
import structlog

from fedchain.chain import Participant
from fedchain.errors import AskRefusedError, BusyError, DataError, DeadlineError, DeliveryError
from fedchain.exchange import Identity, PayloadServer
from fedchain.exchange.asks import ASK_LIMITS, unpack_refusal
from fedchain.exchange.client import PayloadClient
from fedchain.exchange.directory import Peer
from fedchain.exchange.gate import Admission, Limits
from fedchain.exchange.identities import Identities
from fedchain.exchange.wire import RUN_BYTES
from fedchain.types import Status
from tests.unit.exchange.peers import World


class Oracle:
    """alpha's answers: the question backwards, unless it asks for something else."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, int]] = []
        self.go_on = threading.Event()

    def __call__(self, caller: Participant, question: bytes) -> bytes:
        self.asked.append((caller.name, len(question)))
        if question == b"refuse":
            raise AskRefusedError("spent", "used\nbefore", 7)
        if question == b"busy" and not self.go_on.is_set():
            self.go_on.set()
            raise BusyError("relays for 'beta' are under way")
        if question == b"refuse at length":
            raise AskRefusedError("forged", "0x" * 2**20)
        if question == b"break":
            raise DataError("table.csv: line 3 holds 471147114711")
        if question == b"wait":
            assert self.go_on.wait(20)
        if question == b"much":
            return bytes(3 * RUN_BYTES)
        return question[::-1]


@pytest.fixture
def oracle() -> Iterator[Oracle]:
    one = Oracle()
    yield one
    one.go_on.set()


@pytest.fixture
def serve(world: World, oracle: Oracle) -> Callable[..., Peer]:
    """Start alpha's node."""

    def start(port: int = 0, answers: bool = True) -> Peer:
        server = PayloadServer(
            world.store("alpha"), Identities(world.identities["alpha"]), world.members("alpha"), port=port,
            answer=oracle if answers else None,
        )  # fmt: skip
        world.opened.append(server)
        return world.peer("alpha", server.endpoint)

    return start


def ask(client: PayloadClient, peer: Peer, question: bytes, *, size: int = 1000, seconds: float = 10.0) -> bytes:
    wait = client.ask(lambda: peer, question, answer_bytes=size, culprit="alpha", deadline_seconds=seconds)
    return wait()


@pytest.mark.parametrize("size", [1, RUN_BYTES, RUN_BYTES + 1, 5 * RUN_BYTES - 1])
def test_questions_of_every_size_are_answered(
    world: World, serve: Callable[..., Peer], oracle: Oracle, size: int
) -> None:
    question = bytes(number % 251 for number in range(size))
    assert ask(world.client("beta"), serve(), question, size=size) == question[::-1]
    assert oracle.asked == [("beta", size)]


def test_an_answer_longer_than_can_be_is_cut_off(world: World, serve: Callable[..., Peer]) -> None:
    client, peer = world.client("beta"), serve()
    assert len(ask(client, peer, b"much", size=3 * RUN_BYTES)) == 3 * RUN_BYTES
    with pytest.raises(DeliveryError, match="goes on beyond"):
        ask(client, peer, b"much", size=RUN_BYTES + 1)
    with pytest.raises((DeadlineError, DeliveryError), match="party 'alpha'"):
        ask(client, peer, b"much", seconds=0.5)


def test_a_refusal_says_what_to_do_and_a_failure_says_nothing_of_the_table(
    world: World, serve: Callable[..., Peer]
) -> None:
    client, peer = world.client("beta"), serve()
    with pytest.raises(AskRefusedError) as refused:
        ask(client, peer, b"refuse")
    assert (refused.value.code, str(refused.value), refused.value.number) == ("spent", "used before", 7)
    with pytest.raises(DeliveryError, match="DataError") as failed:
        ask(client, peer, b"break")
    assert "471147114711" not in str(failed.value)


def test_what_a_caller_wrote_is_cut_in_the_log(world: World, serve: Callable[..., Peer]) -> None:
    with structlog.testing.capture_logs() as lines, pytest.raises(AskRefusedError):
        ask(world.client("beta"), serve(), b"refuse at length")
    assert [len(line["error"]) for line in lines if line["event"] == "question refused"] == [300]


def test_strangers_and_suspended_parties_are_not_heard(
    world: World, serve: Callable[..., Peer], oracle: Oracle
) -> None:
    peer = serve()
    with pytest.raises((DeadlineError, DeliveryError), match="alpha"):
        ask(world.client("beta", identity=Identity.create("beta")), peer, b"hello", seconds=0.5)
    world.registry.set_status("beta", Status.SUSPENDED)
    peer = serve()  # another one, which has not read the registry yet
    with pytest.raises((DeadlineError, DeliveryError), match="alpha"):
        ask(world.client("beta"), peer, b"hello", seconds=0.5)
    assert oracle.asked == []


def test_a_node_without_answers_says_so(world: World, serve: Callable[..., Peer]) -> None:
    with pytest.raises(DeliveryError, match="answers no questions"):
        ask(world.client("beta"), serve(answers=False), b"hello")


def test_silence_ends_at_the_deadline_and_names_who_is_silent(
    world: World, serve: Callable[..., Peer], oracle: Oracle
) -> None:
    client, peer = world.client("beta"), serve()
    begun = time.monotonic()
    for one, question in ((peer, b"wait"), (Peer("127.0.0.1:1", peer.certificate), b"hello")):
        with pytest.raises(DeadlineError, match="'alpha' did not answer in time") as late:
            ask(client, one, question, seconds=0.5)
        assert late.value.who == ("alpha",)
    assert time.monotonic() - begun < 5
    oracle.go_on.set()


def test_a_peer_that_moves_is_found_within_the_deadline(
    world: World, serve: Callable[..., Peer], oracle: Oracle
) -> None:
    client, certificate = world.client("beta"), world.identities["alpha"].certificate
    places = iter([Peer("127.0.0.1:1", certificate)])
    moved = serve()
    question = client.ask(
        lambda: next(places, moved), b"where", answer_bytes=10, culprit="alpha", deadline_seconds=20.0
    )
    assert question() == b"erehw"


def test_a_party_has_so_many_questions_at_a_time(world: World, serve: Callable[..., Peer], oracle: Oracle) -> None:
    client, peer = world.client("beta"), serve()
    waiting = [
        client.ask(lambda: peer, b"wait", answer_bytes=10, culprit="alpha", deadline_seconds=20.0)
        for _ in range(ASK_LIMITS.calls_per_caller)
    ]
    while len(oracle.asked) < len(waiting):
        pass
    with pytest.raises((DeadlineError, DeliveryError), match="alpha"):
        ask(client, peer, b"hello", seconds=0.3)
    assert len(oracle.asked) == len(waiting)
    patient = client.ask(lambda: peer, b"hello", answer_bytes=10, culprit="alpha", deadline_seconds=20.0)
    oracle.go_on.set()
    assert patient() == b"olleh", "asked again once there is room"
    assert [one() for one in waiting] == [b"tiaw"] * len(waiting)
    assert ask(client, peer, b"hello") == b"olleh"


def test_a_busy_peer_is_asked_again(world: World, serve: Callable[..., Peer], oracle: Oracle) -> None:
    assert ask(world.client("beta"), serve(), b"busy") == b"ysub"
    assert oracle.asked == [("beta", 4)] * 2


def test_a_node_s_own_work_is_no_idleness_of_its_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    now, ended = [0.0], list[bool]()
    monkeypatch.setattr("fedchain.exchange.gate.time", SimpleNamespace(monotonic=lambda: now[0]))
    context = cast(Any, SimpleNamespace(cancel=lambda: ended.append(True)))
    call = Admission(cast(Any, SimpleNamespace(name="beta")), context, Limits(idle_seconds=5.0, working_seconds=100.0))
    now[0] = 3.0
    with call.working():
        now[0] = 93.0
        assert not call.end_if_overdue(now[0])
        assert call.end_if_overdue(104.0), "but not for ever"
    assert not call.end_if_overdue(94.0), "the answer has its time, too"
    assert call.end_if_overdue(96.0), "the 3 seconds before the work count"
    assert len(ended) == 2


def test_too_large_questions_are_not_kept(
    world: World, serve: Callable[..., Peer], oracle: Oracle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fedchain.exchange.asks.MAX_ASK_BYTES", 3 * RUN_BYTES)
    with pytest.raises(DeliveryError, match="too large"):
        ask(world.client("beta"), serve(), bytes(4 * RUN_BYTES), size=5 * RUN_BYTES)
    assert oracle.asked == []


@pytest.mark.parametrize("text", ["", "no json", "[]", "{}", '{"code": 1, "text": "x", "number": 0}'])
def test_what_is_no_refusal_is_none(text: str) -> None:
    assert unpack_refusal(text) is None


def test_a_refusal_s_text_is_bounded_and_printable() -> None:
    found = unpack_refusal('{"code": "c", "text": "\\u001b[31m' + "x" * 1000 + '", "number": -4}')
    assert found is not None
    assert (len(str(found)), found.number) == (300, 0)
    assert str(found).startswith("?[31m")
