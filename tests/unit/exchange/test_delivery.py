"""Uplinks delivered directly: whole, from the party whose connection it is, bounded, waited for with a limit."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future

import grpc
import pytest

from fedchain.crypto.merkle import CHUNK_BYTES, leaf_hashes
from fedchain.errors import ConfigError, DeliveryError, FedchainError, ProtocolViolationError, StoppingError
from fedchain.exchange import Deliveries, PayloadClient
from fedchain.exchange.directory import Peer
from fedchain.exchange.gate import Limits
from fedchain.exchange.server import DELIVER, SERVICE
from fedchain.exchange.wire import RUN_BYTES, DeliveryEnd, DeliveryHead, PayloadRun, encode_wire
from fedchain.types import Status
from tests.unit.exchange.peers import World, address_of

ENVELOPE = b"an envelope"
SIGNATURE = b"s" * 65
PAYLOAD = bytes(range(256)) * 4000
BOUND = 2 * 2**20


class Receiver:
    """What alpha's node does with deliveries."""

    def __init__(self) -> None:
        self.came: list[tuple[str, bytes, bytes, bytes]] = []
        self.refuse: FedchainError | None = None
        self.bound = BOUND

    def on_delivery(
        self, sender: str, envelope: bytes, signature: bytes, payload: bytes, leaves: Sequence[bytes]
    ) -> None:
        assert list(leaves) == leaf_hashes(payload)
        if self.refuse is not None:
            raise self.refuse
        self.came.append((sender, envelope, signature, payload))

    @property
    def deliveries(self) -> Deliveries:
        return Deliveries(lambda sender, envelope: self.bound, self.on_delivery)


@pytest.fixture
def receiver() -> Receiver:
    return Receiver()


@pytest.fixture
def alpha(world: World, receiver: Receiver) -> Peer:
    """alpha's node."""
    limits = Limits(idle_seconds=0.5, slowest_bytes_per_second=2**20)
    server = world.server("alpha", world.store("alpha"), deliveries=receiver.deliveries, limits=limits)
    return world.peer("alpha", server.endpoint)


def deliver(client: PayloadClient, peer: Peer, payload: bytes = PAYLOAD, seconds: float = 2.0) -> None:
    client.deliver(peer, ENVELOPE, SIGNATURE, payload, culprit="alpha", deadline_seconds=seconds)


def raw(client: PayloadClient, peer: Peer, messages: Iterator[bytes], seconds: float = 10.0) -> grpc.StatusCode:
    """Send messages as they are; what the server says."""
    try:
        client._channel(peer).stream_unary(f"/{SERVICE}/{DELIVER}")(messages, timeout=seconds)
    except grpc.RpcError as error:
        code: grpc.StatusCode = error.code()
        return code
    return grpc.StatusCode.OK


@pytest.mark.parametrize("size", [1, CHUNK_BYTES, RUN_BYTES + 1, len(PAYLOAD)])
def test_an_uplink_arrives_whole_and_with_the_senders_address(
    world: World, receiver: Receiver, alpha: Peer, size: int
) -> None:
    deliver(world.client("beta"), alpha, PAYLOAD[:size])
    assert receiver.came == [(address_of("beta"), ENVELOPE, SIGNATURE, PAYLOAD[:size])]


def test_a_large_uplink_is_on_its_way_before_it_is_signed_and_counts_once_it_is(
    world: World, receiver: Receiver, alpha: Peer
) -> None:
    client, signature = world.client("beta"), Future[bytes]()
    thread = threading.Thread(
        target=client.deliver,
        args=(alpha, ENVELOPE, signature, PAYLOAD),
        kwargs={"culprit": "alpha", "deadline_seconds": 20.0},
    )
    thread.start()
    time.sleep(0.2)
    assert receiver.came == []
    assert client.delivered.value == 0
    signature.set_result(SIGNATURE)
    thread.join(10.0)
    assert receiver.came == [(address_of("beta"), ENVELOPE, SIGNATURE, PAYLOAD)]


@pytest.mark.parametrize("size", [1000, len(PAYLOAD)])
@pytest.mark.parametrize("is_late", [False, True])
def test_an_uplink_that_could_not_be_recorded_is_not_delivered(
    world: World, receiver: Receiver, alpha: Peer, size: int, is_late: bool
) -> None:
    signature, client = Future[bytes](), world.client("beta")

    def attempt() -> None:
        client.deliver(alpha, ENVELOPE, signature, PAYLOAD[:size], culprit="alpha", deadline_seconds=20.0)

    timer = threading.Timer(0.2 if is_late else 0.0, signature.set_exception, [ConfigError("the disk is full")])
    timer.start()
    if not is_late:
        timer.join()
    with pytest.raises((StoppingError, DeliveryError)):
        attempt()
    with pytest.raises(StoppingError, match="could not be recorded"):  # and is not tried again
        attempt()
    assert receiver.came == []


def test_a_suspended_party_delivers_nothing(world: World, receiver: Receiver, alpha: Peer) -> None:
    world.party("gamma", status=Status.SUSPENDED)
    with pytest.raises(DeliveryError, match="UNAVAILABLE"):
        deliver(world.client("gamma"), alpha, seconds=0.5)
    assert receiver.came == []


def test_what_the_node_refuses_is_refused_at_once_without_its_reasons(
    world: World, receiver: Receiver, alpha: Peer
) -> None:
    receiver.refuse = ProtocolViolationError("beta", "row 17 of customers.csv")
    with pytest.raises(DeliveryError, match=r"alpha.*FAILED_PRECONDITION.*ProtocolViolationError") as caught:
        deliver(world.client("beta"), alpha, seconds=20.0)
    assert "customers" not in str(caught.value)
    assert caught.value.culprit == "alpha"


def test_a_node_that_takes_no_deliveries_says_so(world: World) -> None:
    peer = world.peer("alpha", world.server("alpha", world.store("alpha")).endpoint)
    with pytest.raises(DeliveryError, match="UNIMPLEMENTED"):
        deliver(world.client("beta"), peer)


def test_a_payload_above_the_jobs_bound_is_refused_before_it_is_sent(
    world: World, receiver: Receiver, alpha: Peer
) -> None:
    receiver.bound = 1000
    sent = []

    def messages() -> Iterator[bytes]:
        yield head(2**30)
        for index in range(4096):
            sent.append(index)
            yield encode_wire(PayloadRun(4 * index, memoryview(bytes(RUN_BYTES))))

    assert raw(world.client("beta"), alpha, messages()) == grpc.StatusCode.INVALID_ARGUMENT
    assert len(sent) < 1000
    assert receiver.came == []


def head(size: int) -> bytes:
    return encode_wire(DeliveryHead(ENVELOPE, b"", size))


END = encode_wire(DeliveryEnd(SIGNATURE))


def whole(signature: bytes) -> bytes:
    return encode_wire(DeliveryHead(ENVELOPE, signature, 5, memoryview(b"12345")))


def run(first: int, data: bytes) -> bytes:
    return encode_wire(PayloadRun(first, memoryview(data)))


@pytest.mark.parametrize(
    "messages",
    [
        pytest.param(list, id="nothing"),
        pytest.param(lambda: [b""], id="empty head"),
        pytest.param(lambda: [b"\xc1junk"], id="junk for a head"),
        pytest.param(lambda: [whole(b"s")], id="signature too short"),
        pytest.param(lambda: [whole(b"")], id="no signature"),
        pytest.param(lambda: [encode_wire(DeliveryHead(ENVELOPE, SIGNATURE, 5)), run(0, b"12345")], id="signed first"),
        pytest.param(lambda: [head(5), run(0, b"12345")], id="never signed"),
        pytest.param(lambda: [head(5), run(0, b"12345"), b"\x91\xc4\x01s"], id="signature at the end too short"),
        pytest.param(lambda: [head(5), run(0, b"12345"), END, END], id="something after the end"),
        pytest.param(lambda: [head(5), END], id="no payload"),
        pytest.param(lambda: [head(5), run(0, b"1234"), END], id="one byte less"),
        pytest.param(lambda: [head(5), run(0, b"123456"), END], id="one byte more"),
        pytest.param(lambda: [head(5), run(0, b"12345"), run(1, b"6"), END], id="one run more"),
        pytest.param(lambda: [head(5), run(1, b"12345"), END], id="out of order"),
        pytest.param(lambda: [head(5), run(0, b"123"), run(1, b"45"), END], id="a chunk in the middle not full"),
        pytest.param(lambda: [head(5), b"\xc1junk", END], id="junk for a run"),
    ],
)
def test_what_is_not_one_whole_uplink_is_refused(
    world: World, receiver: Receiver, alpha: Peer, messages: Callable[[], list[bytes]]
) -> None:
    assert raw(world.client("beta"), alpha, iter(messages())) == grpc.StatusCode.INVALID_ARGUMENT
    assert receiver.came == []
    deliver(world.client("beta"), alpha)
    assert len(receiver.came) == 1


def test_a_whole_uplink_counts_at_once_though_its_call_is_refused_for_what_follows(
    world: World, receiver: Receiver, alpha: Peer
) -> None:
    assert raw(world.client("beta"), alpha, iter([whole(SIGNATURE), END])) == grpc.StatusCode.INVALID_ARGUMENT
    assert [one[1:] for one in receiver.came] == [(ENVELOPE, SIGNATURE, b"12345")]


@pytest.mark.parametrize("trickle", [False, True])
def test_a_sender_that_is_too_slow_is_cut_off(world: World, receiver: Receiver, alpha: Peer, trickle: bool) -> None:
    """Whether it stands still, or sends a little now and then."""
    stop = threading.Event()

    def slow() -> Iterator[bytes]:
        yield head(BOUND)
        index = 0
        while not stop.wait(0.1 if trickle else 20.0):
            yield run(index, bytes(CHUNK_BYTES))
            index += 1

    started = time.monotonic()
    code = raw(world.client("beta"), alpha, slow(), seconds=20.0)
    stop.set()
    assert code == grpc.StatusCode.CANCELLED
    assert time.monotonic() - started < 5.0
    assert receiver.came == []


def test_deliveries_hold_a_bounded_amount_of_memory(world: World, receiver: Receiver) -> None:
    limits = Limits(delivered_bytes=1000)
    server = world.server("alpha", world.store("alpha"), deliveries=receiver.deliveries, limits=limits)
    peer, client = world.peer("alpha", server.endpoint), world.client("beta")
    begun, go_on = threading.Event(), threading.Event()

    def held() -> Iterator[bytes]:
        yield head(900)
        begun.set()
        go_on.wait(20.0)
        yield run(0, bytes(900))
        yield END

    thread = threading.Thread(target=raw, args=(client, peer, held()))
    thread.start()
    assert begun.wait(5.0)
    time.sleep(0.2)
    assert raw(client, peer, iter([head(200), run(0, bytes(200)), END])) == grpc.StatusCode.RESOURCE_EXHAUSTED
    go_on.set()
    deliver(client, peer, bytes(200), seconds=5.0)
    thread.join(5.0)
    assert sorted(len(payload) for *_, payload in receiver.came) == [200, 900]
