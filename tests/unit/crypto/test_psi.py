from __future__ import annotations

import hashlib

import coincurve
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedchain.compute.executor import Executor
from fedchain.crypto import psi
from fedchain.crypto.curve import FIELD, ORDER
from fedchain.crypto.points import PointArray
from fedchain.errors import CryptoError, InvalidPointError

SALT = bytes(range(32))


def _naive_hash(identifier: bytes, salt: bytes) -> bytes:
    """Compressed point, by Euler's criterion on big integers."""
    for counter in range(256):
        digest = hashlib.sha256(psi.DOMAIN + salt + bytes([counter]) + identifier).digest()
        x = int.from_bytes(digest, "big")
        if x < FIELD and pow(x**3 + 7, (FIELD - 1) // 2, FIELD) == 1:
            return b"\x02" + digest
    raise AssertionError


@settings(max_examples=20, deadline=None)
@given(st.lists(st.binary(max_size=40), max_size=12))
def test_hashing_agrees_with_a_naive_implementation(ids: list[bytes]) -> None:
    expected = b"".join(_naive_hash(i, SALT) for i in ids)
    assert psi.hash_to_curve(ids, SALT).to_sec1(compressed=True) == expected


def test_double_blinding_commutes() -> None:
    points = psi.hash_to_curve([b"a", b"b", b"c"], SALT)
    a, b = psi.random_secret(), psi.random_secret()
    assert psi.blind(psi.blind(points, a), b).equals(psi.blind(psi.blind(points, b), a)).all()


def test_two_sides_find_exactly_their_common_ids() -> None:
    left, right = [b"id%d" % i for i in range(300)], [b"id%d" % i for i in range(200, 500)]
    a, b = psi.random_secret(), psi.random_secret()
    left_tags = psi.tags(psi.blind(psi.blind(psi.hash_to_curve(left, SALT), a), b))
    right_tags = psi.tags(psi.blind(psi.blind(psi.hash_to_curve(right, SALT), b), a))
    common = {bytes(t) for t in left_tags} & {bytes(t) for t in right_tags}
    assert [i for i, tag in zip(left, left_tags, strict=True) if bytes(tag) in common] == left[200:]


def test_another_salt_or_secret_makes_runs_unlinkable() -> None:
    points = psi.hash_to_curve([b"a"], SALT)
    assert not points.equals(psi.hash_to_curve([b"a"], bytes(32))).any()
    assert not psi.blind(points, psi.random_secret()).equals(psi.blind(points, psi.random_secret())).any()


def test_hashed_points_are_no_scalar_multiple_of_g_by_the_hash() -> None:
    """Were they hash·G, the secret could be divided out by whoever guesses an id."""
    for counter in range(4):
        digest = hashlib.sha256(psi.DOMAIN + SALT + bytes([counter]) + b"a").digest()
        key = coincurve.PrivateKey((int.from_bytes(digest, "big") % ORDER).to_bytes(32, "big"))
        assert psi.hash_to_curve([b"a"], SALT).to_sec1() != key.public_key.format(False)


def test_hashing_is_the_same_over_chunks_and_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    ids = [b"%d" % i for i in range(100)]
    whole = psi.hash_to_curve(ids, SALT, Executor(1))
    monkeypatch.setattr(psi, "HASH_CHUNK", 7)
    assert psi.hash_to_curve(ids, SALT, Executor(2)).equals(whole).all()


def test_tags_are_truncated_hashes_of_compressed_points() -> None:
    points = psi.hash_to_curve([b"a", b"b"], SALT)
    encoded = points.to_sec1(compressed=True)
    tags = psi.tags(points)
    assert tags.shape == (2, 16)
    assert bytes(tags[1]) == hashlib.sha256(encoded[33:]).digest()[:16]
    assert psi.tags(points[:0]).shape == (0, 16)


def test_infinity_has_no_tag() -> None:
    with pytest.raises(InvalidPointError, match="infinity"):
        psi.tags(PointArray(np.zeros((1, 64), np.uint8), np.array([True])))


def test_secrets_are_in_range_and_fresh() -> None:
    secrets = {psi.random_secret() for _ in range(50)}
    assert len(secrets) == 50
    assert all(0 < s < ORDER for s in secrets)


@pytest.mark.parametrize("length", [0, 16, 31, 33])
def test_a_salt_of_another_length_is_refused(length: int) -> None:
    with pytest.raises(CryptoError, match="32 bytes"):
        psi.hash_to_curve([b"a"], bytes(length))
