"""Payloads by reference over mutual TLS: only recipients fetch, only verified bytes get through, cheats are named."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import grpc
import pytest

from fedchain.crypto.merkle import CHUNK_BYTES, leaf_hashes, payload_digest
from fedchain.errors import (
    ConfigError,
    DigestMismatchError,
    MessageError,
    PayloadUnavailableError,
    ProtocolViolationError,
)
from fedchain.exchange import PayloadClient, PayloadServer
from fedchain.exchange.directory import Peer
from fedchain.exchange.endpoint import parse_endpoint
from fedchain.exchange.gate import Limits
from fedchain.exchange.server import FETCH, SERVICE
from fedchain.exchange.tls import server_name_of
from fedchain.exchange.wire import (
    RUN_BYTES,
    PayloadLeaves,
    PayloadRequest,
    PayloadRun,
    decode_wire,
    encode_wire,
)
from tests.unit.exchange.peers import JOB, GaveUpError, World, once

PAYLOAD = bytes(range(256)) * 4000  # 16 chunks, the last one short
DIGEST = payload_digest(PAYLOAD)


@pytest.fixture
def world(world: World) -> World:
    """alpha sends, beta receives, gamma is accredited too."""
    world.party("gamma")
    return world


@pytest.fixture
def server(world: World) -> PayloadServer:
    """alpha's, with one payload for beta."""
    store = world.store("alpha")
    store.put(PAYLOAD, world.access("beta"))
    return world.server("alpha", store)


def fetch(
    client: PayloadClient,
    peer: Peer | Callable[[], Peer],
    *,
    digest: bytes = DIGEST,
    size: int = len(PAYLOAD),
    seconds: float = 1.0,
) -> bytes:
    return client.fetch(peer, digest, size, job_id=JOB, culprit="alpha", max_bytes=10**7, deadline_seconds=seconds)


def leaves_of(payload: bytes) -> bytes:
    return encode_wire(PayloadLeaves(0, b"".join(leaf_hashes(payload))))


def answer_of(payload: bytes, first: int = 0) -> Iterator[bytes]:
    """What an honest server answers."""
    if first == 0:
        yield leaves_of(payload)
    for start in range(first * CHUNK_BYTES, len(payload), RUN_BYTES):
        yield encode_wire(PayloadRun(start // CHUNK_BYTES, memoryview(payload)[start : start + RUN_BYTES]))


@pytest.mark.parametrize("size", [1, CHUNK_BYTES, CHUNK_BYTES + 1, RUN_BYTES, 3 * RUN_BYTES + 7])
def test_a_payload_of_any_number_of_chunks_arrives(world: World, size: int) -> None:
    store = world.store("alpha")
    payload = (b"0123456789abcdef" * (size // 16 + 1))[:size]
    digest = store.put(payload, world.access("beta"))
    peer = world.peer("alpha", world.server("alpha", store).endpoint)
    assert fetch(world.client("beta"), peer, digest=digest, size=size) == payload


# -- who may fetch -----------------------------------------------------------------------------------------------------


def test_a_payload_for_another_party_is_refused(world: World, server: PayloadServer) -> None:
    with pytest.raises(PayloadUnavailableError, match=r"PERMISSION_DENIED.*'gamma' is not a recipient"):
        fetch(world.client("gamma"), world.peer("alpha", server.endpoint))


def test_a_certificate_that_nobody_registered_gets_no_connection(world: World, server: PayloadServer) -> None:
    world.party("stranger", status=None)
    with pytest.raises(PayloadUnavailableError, match="UNAVAILABLE"):
        fetch(world.client("stranger"), world.peer("alpha", server.endpoint))


def test_a_recipients_name_in_another_certificate_gets_no_connection(world: World, server: PayloadServer) -> None:
    other = World(world.folder)
    with pytest.raises(PayloadUnavailableError, match="UNAVAILABLE"):
        fetch(world.client("beta", identity=other.party("beta")), world.peer("alpha", server.endpoint))


def test_a_caller_without_a_certificate_gets_no_connection(world: World, server: PayloadServer) -> None:
    alpha = world.identities["alpha"]
    roots = alpha.certificate_pem
    options = [("grpc.ssl_target_name_override", server_name_of(alpha.certificate))]
    with grpc.secure_channel(server.endpoint, grpc.ssl_channel_credentials(roots), options=options) as channel:
        call = channel.unary_stream(f"/{SERVICE}/{FETCH}")(encode_wire(PayloadRequest(DIGEST, 5)), timeout=2.0)
        with pytest.raises(grpc.RpcError) as caught:
            list(call)
    assert caught.value.code() == grpc.StatusCode.UNAVAILABLE


def test_a_caller_in_plain_text_gets_no_connection(server: PayloadServer) -> None:
    with grpc.insecure_channel(server.endpoint) as channel:
        call = channel.unary_stream(f"/{SERVICE}/{FETCH}")(encode_wire(PayloadRequest(DIGEST, 5)), timeout=2.0)
        with pytest.raises(grpc.RpcError) as caught:
            list(call)
    assert caught.value.code() == grpc.StatusCode.UNAVAILABLE


def test_a_host_with_another_certificate_than_the_registered_one_is_not_believed(world: World) -> None:
    impostor = World(world.folder).party("alpha")
    world.identities["impostor"] = impostor
    with (
        world.rogue("alpha", lambda request: answer_of(PAYLOAD), identity=impostor) as peer,
        pytest.raises(PayloadUnavailableError, match=r"alpha.*UNAVAILABLE"),
    ):
        fetch(world.client("beta"), peer)


# -- what is served ----------------------------------------------------------------------------------------------------


def test_other_bytes_of_the_right_size_name_the_culprit(world: World) -> None:
    forged = b"\x00" * len(PAYLOAD)
    with (
        world.rogue("alpha", lambda request: answer_of(forged)) as peer,
        pytest.raises(DigestMismatchError, match=r"alpha.*hashes of its chunks"),
    ):
        fetch(world.client("beta"), peer)


def test_one_wrong_chunk_is_caught_when_it_arrives_and_the_good_ones_are_kept(world: World) -> None:
    asked: list[int] = []

    def corrupted(request: PayloadRequest) -> Iterator[bytes]:
        asked.append(request.first)
        wrong = bytearray(PAYLOAD)
        wrong[6 * CHUNK_BYTES + 17] ^= 1
        yield leaves_of(PAYLOAD)
        yield from list(answer_of(bytes(wrong)))[1:]

    with (
        world.rogue("alpha", corrupted) as peer,
        pytest.raises(DigestMismatchError, match=r"alpha.*chunk 6 of 16"),
    ):
        fetch(world.client("beta"), peer)

    def honest(request: PayloadRequest) -> Iterator[bytes]:
        asked.append(request.first)
        return answer_of(PAYLOAD, request.first)

    with world.rogue("alpha", honest) as peer:
        assert fetch(world.client("beta"), peer) == PAYLOAD
    assert asked == [0, 6]


def test_a_sender_that_streams_without_end_is_cut_off_and_named(world: World) -> None:
    sent = []

    def endless(request: PayloadRequest) -> Iterator[bytes]:
        yield from answer_of(PAYLOAD)
        for index in range(16, 30_000):
            sent.append(index)
            yield encode_wire(PayloadRun(index, memoryview(bytes(CHUNK_BYTES))))

    with world.rogue("alpha", endless) as peer, pytest.raises(DigestMismatchError, match="alpha"):
        fetch(world.client("beta"), peer)
    assert len(sent) < 3000


def test_hashes_without_end_are_cut_off_and_named(world: World) -> None:
    def endless(request: PayloadRequest) -> Iterator[bytes]:
        for index in range(1000):
            yield encode_wire(PayloadLeaves(10 * index, bytes(320)))

    with world.rogue("alpha", endless) as peer, pytest.raises(DigestMismatchError, match=r"alpha.*more hashes"):
        fetch(world.client("beta"), peer)


@pytest.mark.parametrize("answer", [b"", b"\xc1junk", b"\x92\x00\xc4\x00", b"\x92\x00\xc4\x21" + b"x" * 33])
def test_bytes_that_are_no_hashes_name_the_culprit(world: World, answer: bytes) -> None:
    with (
        world.rogue("alpha", lambda request: iter([answer])) as peer,
        pytest.raises(DigestMismatchError, match="alpha"),
    ):
        fetch(world.client("beta"), peer)


@pytest.mark.parametrize("missing", [1, CHUNK_BYTES, RUN_BYTES])
def test_too_few_bytes_name_the_culprit(world: World, missing: int) -> None:
    with (
        world.rogue(
            "alpha", lambda request: iter([leaves_of(PAYLOAD), *list(answer_of(PAYLOAD[:-missing]))[1:]])
        ) as peer,
        pytest.raises(DigestMismatchError, match="alpha"),
    ):
        fetch(world.client("beta"), peer)


def test_chunks_out_of_order_name_the_culprit(world: World) -> None:
    leaves, *runs = answer_of(PAYLOAD)
    with (
        world.rogue("alpha", lambda request: iter([leaves, runs[0], runs[0]])) as peer,
        pytest.raises(DigestMismatchError, match=r"alpha.*chunk 4 is next"),
    ):
        fetch(world.client("beta"), peer)


def test_a_committed_size_above_the_jobs_bound_is_refused_before_anything_is_fetched(world: World) -> None:
    with pytest.raises(ProtocolViolationError, match="alpha"):
        fetch(world.client("beta"), world.peer("alpha", "127.0.0.1:1"), size=10**7 + 1)


def test_a_committed_size_that_is_not_the_payloads_is_refused(world: World, server: PayloadServer) -> None:
    with pytest.raises(PayloadUnavailableError, match=r"alpha.*INVALID_ARGUMENT"):
        fetch(world.client("beta"), world.peer("alpha", server.endpoint), size=len(PAYLOAD) - 1)


def test_a_payload_that_the_node_has_not_sent_is_not_served(world: World, server: PayloadServer) -> None:
    with pytest.raises(PayloadUnavailableError, match=r"alpha.*NOT_FOUND"):
        fetch(world.client("beta"), world.peer("alpha", server.endpoint), digest=b"\x07" * 32)


@pytest.mark.parametrize("suffix", ["", ".access"])
def test_a_damaged_file_is_not_served(world: World, server: PayloadServer, suffix: str) -> None:
    (world.folder / "alpha-outgoing" / f"{DIGEST.hex()}{suffix}").write_bytes(b"damaged")
    with pytest.raises(PayloadUnavailableError, match="DATA_LOSS"):
        fetch(world.client("beta"), world.peer("alpha", server.endpoint))


# -- going on ----------------------------------------------------------------------------------------------------------


def test_a_sender_that_is_away_is_tried_until_the_deadline_and_named(world: World) -> None:
    start = time.monotonic()
    with pytest.raises(PayloadUnavailableError, match="alpha"):
        fetch(world.client("beta"), world.peer("alpha", "127.0.0.1:1"))
    assert 0.5 < time.monotonic() - start < 5


def test_a_sender_that_comes_back_elsewhere_is_fetched_from(world: World, server: PayloadServer) -> None:
    endpoints = iter(["127.0.0.1:1"])
    payload = world.client("beta").fetch(
        lambda: world.peer("alpha", next(endpoints, server.endpoint)),
        DIGEST,
        len(PAYLOAD),
        job_id=JOB,
        culprit="alpha",
        max_bytes=10**7,
        deadline_seconds=10.0,
    )
    assert payload == PAYLOAD


def test_a_transfer_that_broke_off_goes_on_at_the_first_missing_chunk_even_after_a_restart(world: World) -> None:
    asked: list[int] = []

    def breaking(request: PayloadRequest) -> Iterator[bytes]:
        asked.append(request.first)
        yield from list(answer_of(PAYLOAD, request.first))[: 3 if request.first == 0 else 1]
        if len(asked) < 3:
            raise RuntimeError("line cut")

    with world.rogue("alpha", breaking) as peer:
        with pytest.raises(GaveUpError):
            fetch(world.client("beta"), once(peer), seconds=20.0)
        assert asked == [0]
        (part,) = (world.folder / "beta-incoming" / "partial").glob("*/*.part")
        with part.open("ab") as file:
            file.write(b"half a chunk that was never verified")
        assert fetch(world.client("beta"), peer) == PAYLOAD
    assert asked == [0, 8, 12]


def test_pieces_changed_on_disk_are_fetched_again(world: World) -> None:
    asked: list[int] = []

    def breaking(request: PayloadRequest) -> Iterator[bytes]:
        asked.append(request.first)
        yield from list(answer_of(PAYLOAD, request.first))[:3]
        raise RuntimeError("line cut")

    with world.rogue("alpha", breaking) as peer, pytest.raises(GaveUpError):
        fetch(world.client("beta"), once(peer), seconds=20.0)
    (part,) = (world.folder / "beta-incoming" / "partial").glob("*/*.part")
    content = bytearray(part.read_bytes())
    content[3 * CHUNK_BYTES + 5] ^= 1
    part.write_bytes(content)

    def honest(request: PayloadRequest) -> Iterator[bytes]:
        asked.append(request.first)
        return answer_of(PAYLOAD, request.first)

    with world.rogue("alpha", honest) as peer:
        assert fetch(world.client("beta"), peer) == PAYLOAD
    assert asked == [0, 3]


def test_a_received_payload_is_not_fetched_again_after_a_restart(world: World, server: PayloadServer) -> None:
    client = world.client("beta")
    assert fetch(client, world.peer("alpha", server.endpoint)) == PAYLOAD
    assert not list((world.folder / "beta-incoming" / "partial").glob("*/*"))
    assert fetch(world.client("beta"), world.peer("alpha", "127.0.0.1:1")) == PAYLOAD


def test_a_received_payload_that_was_changed_on_disk_is_fetched_again(world: World, server: PayloadServer) -> None:
    fetch(world.client("beta"), world.peer("alpha", server.endpoint))
    (world.folder / "beta-incoming" / DIGEST.hex()).write_bytes(b"changed")
    assert fetch(world.client("beta"), world.peer("alpha", server.endpoint)) == PAYLOAD


# -- bounds ------------------------------------------------------------------------------------------------------------


def test_a_reader_that_stands_still_is_cut_off_and_others_are_served(world: World) -> None:
    store = world.store("alpha")
    large = bytes(64 * 2**20)
    digest = store.put(large, world.access("beta", "gamma"))
    server = world.server("alpha", store, limits=Limits(calls_per_caller=2, idle_seconds=1.5))
    peer = world.peer("alpha", server.endpoint)
    client = world.client("beta")
    idle = [client._channel(peer).unary_stream(f"/{SERVICE}/{FETCH}") for _ in range(2)]
    calls = [one(encode_wire(PayloadRequest(digest, len(large))), timeout=30.0) for one in idle]
    for call in calls:
        next(call)  # and reads no further
    third = idle[0](encode_wire(PayloadRequest(digest, len(large))), timeout=20.0)
    with pytest.raises(grpc.RpcError) as refused:
        next(third)
    assert refused.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "'beta' has 2 calls" in refused.value.details()
    time.sleep(2.5)
    assert len(
        client.fetch(peer, digest, len(large), job_id=JOB, culprit="alpha", max_bytes=2**30, deadline_seconds=20.0)
    ) == len(large)
    for call in calls:
        with pytest.raises(grpc.RpcError) as caught:
            for _ in call:
                pass
        assert caught.value.code() == grpc.StatusCode.CANCELLED


def test_callers_that_never_send_their_request_hold_no_worker_for_long(world: World, server: PayloadServer) -> None:
    client = world.client("gamma")
    peer = world.peer("alpha", server.endpoint)
    held = threading.Event()

    def silent() -> Iterator[bytes]:
        held.wait(20.0)
        yield b""

    calls = [client._channel(peer).stream_stream(f"/{SERVICE}/{FETCH}")(silent(), timeout=20.0) for _ in range(60)]
    try:
        assert fetch(world.client("beta"), peer, seconds=5.0) == PAYLOAD
    finally:
        held.set()
        for call in calls:
            call.cancel()


@pytest.mark.parametrize("text", ["", "127.0.0.1", "127.0.0.1:", "127.0.0.1:x", "127.0.0.1:0", "127.0.0.1:65536"])
def test_a_malformed_endpoint_is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        parse_endpoint(text)


@pytest.mark.parametrize(
    "text", ["unix:/tmp/x:1", "unix:1/x:1", "dns://1.1.1.1/x:1", "a b:1", "::1:1", "[x]:1", "-a:1", "[fe80::1%eth0]:1"]
)
def test_an_endpoint_that_is_more_than_a_host_and_a_port_is_refused(world: World, text: str) -> None:
    with pytest.raises(ConfigError):
        parse_endpoint(text)
    with pytest.raises(PayloadUnavailableError, match=r"alpha.*endpoint"):
        fetch(world.client("beta"), world.peer("alpha", text))


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("127.0.0.1:4000", "ipv4:127.0.0.1:4000"),
        ("[::1]:4000", "ipv6:[::1]:4000"),
        ("node.example.org:443", "dns:///node.example.org:443"),
    ],
)
def test_an_endpoint_survives_its_text_form(text: str, target: str) -> None:
    assert str(parse_endpoint(text)) == text
    assert parse_endpoint(text).target == target


@pytest.mark.parametrize("text", ["0.0.0.0:4000", "[::]:4000"])
def test_an_address_that_stands_for_all_is_not_one_to_dial(text: str) -> None:
    assert not parse_endpoint(text).reachable


def test_an_oversize_wire_message_is_refused() -> None:
    with pytest.raises(MessageError):
        decode_wire(bytes(1_000_000), PayloadRun)


def test_a_taken_port_is_a_config_error(world: World, server: PayloadServer) -> None:
    port = parse_endpoint(server.endpoint).port
    with pytest.raises(ConfigError, match="port"):
        world.server("alpha", world.store("gamma"), port=port)
