from __future__ import annotations

import hashlib

import coincurve
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedchain.compute.executor import Executor
from fedchain.crypto import curve, psi
from fedchain.crypto.curve import FIELD, ORDER
from fedchain.crypto.points import PointArray
from fedchain.errors import CryptoError, InvalidPointError

SALT = bytes(range(32))
MINUS_3_SQRT = pow(-3, (FIELD + 1) // 4, FIELD)
"""The square root of -3 that is itself a square, as BIP 324 has it."""


def _is_square(value: int) -> bool:
    return pow(value, (FIELD - 1) // 2, FIELD) in (0, 1)


def _naive_hash(identifier: bytes, salt: bytes) -> bytes:
    """Compressed point, by BIP 324's XSwiftEC written out."""
    encoded = hashlib.sha512(psi.DOMAIN + salt + identifier).digest()
    u, t = (int.from_bytes(half, "big") % FIELD for half in (encoded[:32], encoded[32:]))
    u, t = u or 1, t or 1
    parity = t & 1
    if (u**3 + t**2 + 7) % FIELD == 0:
        t = 2 * t % FIELD
    x = (u**3 + 7 - t**2) * pow(2 * t, -1, FIELD) % FIELD
    y = (x + t) * pow(MINUS_3_SQRT * u, -1, FIELD) % FIELD
    candidates = (
        u + 4 * y**2,
        (-x * pow(y, -1, FIELD) - u) * pow(2, -1, FIELD),
        (x * pow(y, -1, FIELD) - u) * pow(2, -1, FIELD),
    )
    found = next(one % FIELD for one in candidates if _is_square(one**3 + 7))
    return bytes([2 + parity]) + found.to_bytes(32, "big")


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
    for width in (32, 64):
        scalar = int.from_bytes(hashlib.sha512(psi.DOMAIN + SALT + b"a").digest()[:width], "big") % ORDER
        key = coincurve.PrivateKey(scalar.to_bytes(32, "big"))
        assert psi.hash_to_curve([b"a"], SALT).to_sec1() != key.public_key.format(False)


def test_the_map_to_the_curve_is_that_of_bip_324() -> None:
    """Its first test vector: all zeros."""
    point = PointArray(curve.decode_ellswift(np.zeros((1, 64), np.uint8)))
    x = "edd1fd3e327ce90cc7a3542614289aee9682003e9cf7dcc9cf2ca9743be5aa0c"
    assert point.to_sec1(compressed=True)[1:].hex() == x


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
