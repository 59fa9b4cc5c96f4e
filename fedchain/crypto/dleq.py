"""Proof that many points were all multiplied by one secret: discrete logarithms equal, in a batch.

The prover has Q_j = k·P_j for all j, and K = k·G is known. Both sides draw 128-bit weights d_j from a hash of K, all P
and all Q, and form M = Σ d_j·P_j and Z = Σ d_j·Q_j; a Chaum-Pedersen proof shows that log_G K = log_M Z. If any Q_j is
not k·P_j, then Z = k·M for at most one in 2^128 of the weights. The proof (64 bytes) reveals nothing of k but K.

The sums go by buckets: about 5 µs per point and sum.

Sources: Chaum, Pedersen (1992); Bellare, Garay, Rabin (1998) for the small exponents; RFC 9497 section 2.2 for both
together; Pippenger (1976) for the buckets.
"""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

from fedchain.compute.executor import Executor
from fedchain.crypto import curve
from fedchain.crypto.curve import ORDER
from fedchain.crypto.points import PointArray, generator, sum_groups
from fedchain.errors import InvalidPointError, ProofError

DOMAIN = b"fedchain-dleq-secp256k1-sha256-v1"
PROOF_BYTES = 64
WEIGHT_BYTES = 16
_DIRECT = 512


def key_of(secret: int) -> PointArray:
    """K = k·G, an array of one."""
    return generator().multiply(secret)


def prove(
    secret: int, inputs: PointArray, outputs: PointArray, context: bytes, executor: Executor | None = None
) -> bytes:
    """The proof that each output is its input times `secret`; 64 bytes, the same whenever it is made again.

    The nonce follows from the secret and from all that the challenge depends on, as in EdDSA: a party that was killed
    sends the very bytes again, and no two statements share a nonce.

    Args:
        secret: k in [1, n-1].
        inputs, outputs: n points each, at least one.
        context: bound into the proof: who proves what, in which run.
    """
    key = key_of(secret)
    mean = weighted_sum(inputs, _weights(key, inputs, outputs, context), executor)
    image = mean.multiply(secret)
    nonce = _nonce(secret, mean, image, context)
    challenge = _challenge(key, mean, image, generator().multiply(nonce), mean.multiply(nonce), context)
    answer = (nonce - challenge * secret) % ORDER
    return challenge.to_bytes(32, "big") + answer.to_bytes(32, "big")


def verify(
    key: PointArray,
    inputs: PointArray,
    outputs: PointArray,
    proof: bytes,
    context: bytes,
    executor: Executor | None = None,
) -> None:
    """Check that each output is its input times the logarithm of `key`.

    Raises:
        ProofError: it is not proven.
    """
    if len(proof) != PROOF_BYTES or len(inputs) != len(outputs) or not len(inputs):
        raise ProofError(f"{len(inputs)} points, {len(outputs)} multiples and a proof of {len(proof)} bytes")
    challenge, answer = int.from_bytes(proof[:32], "big"), int.from_bytes(proof[32:], "big")
    try:
        weights = _weights(key, inputs, outputs, context)
        mean, image = weighted_sum(inputs, weights, executor), weighted_sum(outputs, weights, executor)
        first = generator().multiply(answer).add(key.multiply(challenge))
        second = mean.multiply(answer).add(image.multiply(challenge))
        expected = _challenge(key, mean, image, first, second, context)
    except (ValueError, InvalidPointError) as error:  # a scalar out of range, or infinity: no honest proof has them
        raise ProofError(f"not a proof: {error}") from error
    if expected != challenge:
        raise ProofError("the points are not all multiples by the announced secret")


def weighted_sum(points: PointArray, weights: NDArray[np.uint8], executor: Executor | None = None) -> PointArray:
    """Σ d_j·P_j, an array of one; about 5 µs per point.

    Args:
        points: n, none infinity.
        weights: (n, 16) uint8, d_j as 128-bit little-endian numbers.

    Raises:
        InvalidPointError: the sum is infinity.
    """
    if len(points) < _DIRECT:
        scalars = [int.from_bytes(bytes(row), "little") for row in weights]
        return _scaled_sum(points, scalars, executor)
    sums, scalars = [], []
    for place in range(WEIGHT_BYTES):
        digits = weights[:, place]
        order = np.argsort(digits, kind="stable").astype(np.int64)
        ends = np.cumsum(np.bincount(digits, minlength=256))
        buckets = sum_groups([points], order[ends[0] :], ends - ends[0], executor)  # of the digits 1 to 255
        digit = np.flatnonzero(~buckets.infinity)
        finite = buckets[digit]
        for bit in range(8):
            members = np.flatnonzero((digit + 1) >> bit & 1)
            if len(members):
                sums.append(sum_groups([finite], members, np.array([0, len(members)])).structs)
                scalars.append(1 << (8 * place + bit))
    return _scaled_sum(PointArray(np.concatenate(sums)), scalars, executor)


def _scaled_sum(points: PointArray, scalars: list[int], executor: Executor | None) -> PointArray:
    scaled = [curve.multiply(scalar, points.structs[i : i + 1]) for i, scalar in enumerate(scalars) if scalar]
    if not scaled:
        raise InvalidPointError("all weights are zero")
    total = sum_groups([PointArray(np.concatenate(scaled))], np.arange(len(scaled)), np.array([0, len(scaled)]))
    total.require_finite()
    return total


def _weights(key: PointArray, inputs: PointArray, outputs: PointArray, context: bytes) -> NDArray[np.uint8]:
    seed = hashlib.sha256(DOMAIN + b" weights" + _bound(context) + key.to_sec1())
    for points in (inputs, outputs):
        seed.update(hashlib.sha256(points.to_sec1()).digest())
    drawn = hashlib.shake_256(seed.digest()).digest(WEIGHT_BYTES * len(inputs))
    return np.frombuffer(drawn, np.uint8).reshape(-1, WEIGHT_BYTES)


def _challenge(
    key: PointArray, mean: PointArray, image: PointArray, first: PointArray, second: PointArray, context: bytes
) -> int:
    hashed = hashlib.sha256(DOMAIN + b" challenge" + _bound(context))
    for point in (key, mean, image, first, second):
        hashed.update(point.to_sec1())
    return int.from_bytes(hashed.digest(), "big") % ORDER


def _nonce(secret: int, mean: PointArray, image: PointArray, context: bytes) -> int:
    """A secret scalar in [1, n-1], of this statement alone; its distance from uniform is below 2^-255."""
    hashed = hashlib.sha512(DOMAIN + b" nonce" + secret.to_bytes(32, "big") + _bound(context))
    for point in (mean, image):
        hashed.update(point.to_sec1())
    return int.from_bytes(hashed.digest(), "big") % (ORDER - 1) + 1


def _bound(context: bytes) -> bytes:
    return hashlib.sha256(context).digest()
