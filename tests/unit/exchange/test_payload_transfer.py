"""Payloads by reference over gRPC: only verified bytes get through, and whoever cheats is named."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest

from fedchain.crypto.merkle import payload_digest
from fedchain.errors import (
    ConfigError,
    DigestMismatchError,
    MessageError,
    PayloadUnavailableError,
    ProtocolViolationError,
)
from fedchain.exchange import PayloadClient, PayloadServer, PayloadStore
from fedchain.exchange.endpoint import parse_endpoint
from fedchain.exchange.payloads import METHOD, SERVICE
from fedchain.exchange.wire import CHUNK_BYTES, PayloadChunk, PayloadRequest, decode_wire, encode_wire

PAYLOAD = bytes(range(256)) * 1000
DIGEST = payload_digest(PAYLOAD)


@pytest.fixture
def client() -> Iterator[PayloadClient]:
    one = PayloadClient()
    yield one
    one.close()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[PayloadServer]:
    store = PayloadStore(tmp_path / "outgoing", owner="alpha")
    store.put(PAYLOAD)
    one = PayloadServer(store)
    yield one
    one.close()


def fetch(client: PayloadClient, endpoint: str, *, digest: bytes = DIGEST, size: int = len(PAYLOAD)) -> bytes:
    return client.fetch(endpoint, digest, size, culprit="alpha", max_bytes=10**6, deadline_seconds=1.0)


@contextmanager
def serving(answer: Callable[[PayloadRequest], Iterator[bytes]]) -> Iterator[str]:
    """A server of somebody who does not play by the rules."""

    def handle(raw: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
        yield from answer(decode_wire(raw, PayloadRequest))

    rogue = grpc.server(ThreadPoolExecutor(2))
    handler = grpc.unary_stream_rpc_method_handler(handle)
    rogue.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, {METHOD: handler}),))
    port = rogue.add_insecure_port("127.0.0.1:0")
    rogue.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        rogue.stop(None).wait()


def chunks_of(payload: bytes) -> Iterator[bytes]:
    for index, start in enumerate(range(0, len(payload), CHUNK_BYTES)):
        yield encode_wire(PayloadChunk(index, payload[start : start + CHUNK_BYTES]))


@pytest.mark.parametrize("size", [1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES])
def test_a_payload_of_any_number_of_chunks_arrives(tmp_path: Path, client: PayloadClient, size: int) -> None:
    store = PayloadStore(tmp_path)
    payload = (b"0123456789abcdef" * (size // 16 + 1))[:size]
    server = PayloadServer(store)
    try:
        assert fetch(client, server.endpoint, digest=store.put(payload), size=size) == payload
    finally:
        server.close()


def test_other_bytes_of_the_right_size_name_the_culprit(client: PayloadClient) -> None:
    forged = b"\x00" * len(PAYLOAD)
    with (
        serving(lambda request: chunks_of(forged)) as endpoint,
        pytest.raises(DigestMismatchError, match="alpha"),
    ):
        fetch(client, endpoint)


def test_a_sender_that_streams_without_end_is_cut_off_and_named(client: PayloadClient) -> None:
    sent = []

    def endless(request: PayloadRequest) -> Iterator[bytes]:
        for index in range(30_000):
            sent.append(index)
            yield encode_wire(PayloadChunk(index, bytes(CHUNK_BYTES)))

    with serving(endless) as endpoint, pytest.raises(DigestMismatchError, match="alpha"):
        fetch(client, endpoint)
    assert len(sent) < 30_000


@pytest.mark.parametrize("answer", [b"", b"\xc1junk", b"\x92\x00\xc4\x00"])
def test_bytes_that_are_no_chunks_name_the_culprit(client: PayloadClient, answer: bytes) -> None:
    with serving(lambda request: iter([answer])) as endpoint, pytest.raises(DigestMismatchError, match="alpha"):
        fetch(client, endpoint)


def test_too_few_bytes_name_the_culprit(client: PayloadClient) -> None:
    with (
        serving(lambda request: chunks_of(PAYLOAD[:-1])) as endpoint,
        pytest.raises(DigestMismatchError, match="alpha"),
    ):
        fetch(client, endpoint)


def test_a_committed_size_above_the_jobs_bound_is_refused_before_anything_is_fetched(client: PayloadClient) -> None:
    with pytest.raises(ProtocolViolationError, match="alpha"):
        fetch(client, "127.0.0.1:1", size=10**6 + 1)


def test_a_payload_that_the_node_has_not_sent_is_not_served(client: PayloadClient, server: PayloadServer) -> None:
    with pytest.raises(PayloadUnavailableError, match=r"alpha.*NOT_FOUND"):
        fetch(client, server.endpoint, digest=b"\x07" * 32)


def test_a_damaged_file_is_not_served(client: PayloadClient, server: PayloadServer, tmp_path: Path) -> None:
    (tmp_path / "outgoing" / DIGEST.hex()).write_bytes(b"damaged")
    with pytest.raises(PayloadUnavailableError, match="DATA_LOSS"):
        fetch(client, server.endpoint)


def test_a_sender_that_is_away_is_tried_until_the_deadline_and_named(client: PayloadClient) -> None:
    start = time.monotonic()
    with pytest.raises(PayloadUnavailableError, match="alpha"):
        fetch(client, "127.0.0.1:1")
    assert 0.5 < time.monotonic() - start < 5


def test_a_sender_that_comes_back_is_fetched_from(client: PayloadClient, server: PayloadServer) -> None:
    endpoints = iter(["127.0.0.1:1"])
    payload = client.fetch(
        lambda: next(endpoints, server.endpoint),
        DIGEST,
        len(PAYLOAD),
        culprit="alpha",
        max_bytes=10**6,
        deadline_seconds=10.0,
    )
    assert payload == PAYLOAD


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "example.org", "::"])
def test_an_address_off_the_loopback_is_refused_until_mutual_tls_is_there(
    tmp_path: Path, client: PayloadClient, host: str
) -> None:
    with pytest.raises(ConfigError, match="mutual TLS"):
        PayloadServer(PayloadStore(tmp_path), host)
    with pytest.raises(ConfigError, match="mutual TLS"):
        fetch(client, f"{host}:4000")


@pytest.mark.parametrize("text", ["", "127.0.0.1", "127.0.0.1:", "127.0.0.1:x", "127.0.0.1:0", "127.0.0.1:65536"])
def test_a_malformed_endpoint_is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        parse_endpoint(text)


def test_an_endpoint_survives_its_text_form() -> None:
    for text in ("127.0.0.1:4000", "[::1]:4000"):
        assert str(parse_endpoint(text)) == text


def test_an_oversize_wire_message_is_refused() -> None:
    with pytest.raises(MessageError):
        decode_wire(bytes(100_000), PayloadChunk)


def test_a_taken_port_is_a_config_error(server: PayloadServer, tmp_path: Path) -> None:
    port = parse_endpoint(server.endpoint).port
    with pytest.raises(ConfigError, match="port"):
        PayloadServer(PayloadStore(tmp_path / "other"), port=port)
