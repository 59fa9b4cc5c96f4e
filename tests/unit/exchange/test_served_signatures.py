"""What a node serves it signs for, once a transfer: hashes of another payload are evidence against it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from fedchain.crypto.merkle import CHUNK_BYTES, leaf_hashes, payload_digest
from fedchain.errors import DigestMismatchError
from fedchain.exchange.wire import RUN_BYTES, PayloadLeaves, PayloadRequest, PayloadRun, encode_wire
from tests.unit.exchange.peers import JOB, World, once

PAYLOAD = bytes(range(256)) * 4000  # 16 chunks, the last one short
OTHER = b"x" * len(PAYLOAD)
DIGEST = payload_digest(PAYLOAD)
SIGNATURE = b"s" * 65


def runs_of(payload: bytes) -> Iterator[bytes]:
    for start in range(0, len(payload), RUN_BYTES):
        yield encode_wire(PayloadRun(start // CHUNK_BYTES, memoryview(payload)[start : start + RUN_BYTES]))


def test_a_server_signs_once_a_transfer_for_what_it_serves(world: World) -> None:
    signed: list[tuple[bytes, bytes]] = []

    def sign(digest: bytes, served: bytes) -> bytes:
        signed.append((digest, served))
        return SIGNATURE

    store = world.store("alpha")
    store.put(PAYLOAD, world.access("beta"))
    server = world.server("alpha", store, sign_served=sign)
    told: list[bytes] = []
    got = world.client("beta").fetch(
        world.peer("alpha", server.endpoint),
        DIGEST,
        len(PAYLOAD),
        job_id=JOB,
        culprit="alpha",
        max_bytes=10**7,
        deadline_seconds=5.0,
        on_other=lambda served, signature: told.append(served),
    )
    assert got == PAYLOAD
    assert signed == [(DIGEST, DIGEST)]
    assert told == []


@pytest.mark.parametrize(
    ("hashes_of", "bytes_of", "signature", "expected"),
    [
        (OTHER, OTHER, SIGNATURE, [(payload_digest(OTHER), SIGNATURE)]),
        (OTHER, PAYLOAD, SIGNATURE, [(payload_digest(OTHER), SIGNATURE)]),
        (OTHER, OTHER, b"", []),
        (PAYLOAD, OTHER, SIGNATURE, []),
    ],
    ids=["another payload", "hashes of another", "unsigned", "other bytes under its hashes"],
)
def test_hashes_of_another_payload_are_told_with_their_signature(
    world: World, hashes_of: bytes, bytes_of: bytes, signature: bytes, expected: list[tuple[bytes, bytes]]
) -> None:
    def answer(request: PayloadRequest) -> Iterator[bytes]:
        hashes = leaf_hashes(hashes_of)
        yield encode_wire(PayloadLeaves(0, b"".join(hashes[:9]), signature))
        yield encode_wire(PayloadLeaves(9, b"".join(hashes[9:])))
        yield from runs_of(bytes_of)

    told: list[tuple[bytes, bytes]] = []
    with world.rogue("alpha", answer) as peer, pytest.raises(DigestMismatchError, match="'alpha' served other bytes"):
        world.client("beta").fetch(
            once(peer),
            DIGEST,
            len(PAYLOAD),
            job_id=JOB,
            culprit="alpha",
            max_bytes=10**7,
            deadline_seconds=5.0,
            on_other=lambda served, signature: told.append((served, signature)),
        )
    assert told == expected
