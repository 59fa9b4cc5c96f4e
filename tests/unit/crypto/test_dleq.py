"""A batch proof holds for honest multiples, for nothing else, and only where it was made for."""

from __future__ import annotations

import numpy as np
import pytest

from fedchain.crypto import curve, dleq, psi
from fedchain.crypto.curve import ORDER
from fedchain.crypto.points import PointArray, concat, generator, sum_groups
from fedchain.errors import InvalidPointError, ProofError

SECRET = 0xC0FFEE
CONTEXT = b"run 1, chunk 0"


def points(count: int) -> PointArray:
    return psi.hash_to_curve([b"%d" % number for number in range(count)], bytes(32))


@pytest.mark.parametrize("count", [1, 2, 700])
def test_a_proof_of_honest_multiples_holds(count: int) -> None:
    inputs = points(count)
    outputs = inputs.multiply(SECRET)
    proof = dleq.prove(SECRET, inputs, outputs, CONTEXT)
    assert len(proof) == dleq.PROOF_BYTES
    dleq.verify(dleq.key_of(SECRET), inputs, outputs, proof, CONTEXT)


@pytest.mark.parametrize("count", [2, 700])
def test_one_wrong_multiple_among_many_is_seen(count: int) -> None:
    inputs = points(count)
    outputs = inputs.multiply(SECRET)
    wrong = concat([outputs[: count - 1], inputs[count - 1 :].multiply(SECRET + 1)])
    for claimed in (wrong, outputs):
        proof = dleq.prove(SECRET, inputs, claimed, CONTEXT)
        with pytest.raises(ProofError, match="announced secret"):
            dleq.verify(dleq.key_of(SECRET), inputs, wrong, proof, CONTEXT)


def test_swapped_multiples_are_seen() -> None:
    """Their sum is the same: only the weights tell."""
    inputs = points(5)
    outputs = inputs.multiply(SECRET)
    swapped = outputs[np.array([1, 0, 2, 3, 4])]
    proof = dleq.prove(SECRET, inputs, swapped, CONTEXT)
    with pytest.raises(ProofError):
        dleq.verify(dleq.key_of(SECRET), inputs, swapped, proof, CONTEXT)


def test_a_proof_is_bound_to_context_key_and_points() -> None:
    inputs, others = points(3), points(6)[3:]
    outputs = inputs.multiply(SECRET)
    proof, key = dleq.prove(SECRET, inputs, outputs, CONTEXT), dleq.key_of(SECRET)
    wrong = [
        (key, inputs, outputs, b"run 2, chunk 0"),
        (dleq.key_of(SECRET + 1), inputs, outputs, CONTEXT),
        (key, others, others.multiply(SECRET), CONTEXT),
        (key, inputs[:2], outputs[:2], CONTEXT),
    ]
    for one_key, one, other, context in wrong:
        with pytest.raises(ProofError):
            dleq.verify(one_key, one, other, proof, context)


def test_bytes_that_are_no_proof_are_refused() -> None:
    inputs = points(2)
    outputs, key = inputs.multiply(SECRET), dleq.key_of(SECRET)
    proof = dleq.prove(SECRET, inputs, outputs, CONTEXT)
    order = ORDER.to_bytes(32, "big")
    for bad in (b"", proof[:-1], bytes(64), b"\xff" * 64, proof[:32] + order, proof[32:] + proof[:32]):
        with pytest.raises(ProofError):
            dleq.verify(key, inputs, outputs, bad, CONTEXT)
    with pytest.raises(ProofError):
        dleq.verify(key, inputs, outputs[:1], proof, CONTEXT)


def test_a_proof_that_is_made_again_is_the_same_and_no_two_statements_share_a_nonce() -> None:
    """A party that was killed sends the very bytes again; two answers under one nonce would give the secret away."""
    inputs = points(4)
    outputs = inputs.multiply(SECRET)
    proof = dleq.prove(SECRET, inputs, outputs, CONTEXT)
    assert dleq.prove(SECRET, inputs, outputs, CONTEXT) == proof
    others = [
        dleq.prove(SECRET, inputs, outputs, b"another context"),
        dleq.prove(SECRET, inputs[:3], outputs[:3], CONTEXT),
        dleq.prove(SECRET, inputs, points(5)[1:], CONTEXT),
        dleq.prove(SECRET + 1, inputs, outputs, CONTEXT),
    ]
    nonces = {_nonce_of(one, secret) for one, secret in zip([proof, *others], [SECRET] * 4 + [SECRET + 1], strict=True)}
    assert len(nonces) == 5


def _nonce_of(proof: bytes, secret: int) -> int:
    return (int.from_bytes(proof[32:], "big") + int.from_bytes(proof[:32], "big") * secret) % ORDER


@pytest.mark.parametrize("count", [1, 40, 600])
def test_the_weighted_sum_is_the_naive_one(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """By buckets as well as point by point, with weights that leave buckets and bytes empty."""
    drawn = np.random.default_rng(7).integers(0, 256, (count, 16)).astype(np.uint8)
    drawn[:, 3] = 0
    drawn[:, 4] = 200
    inputs = points(count)
    scaled = [
        curve.multiply(int.from_bytes(bytes(w), "little"), inputs.structs[i : i + 1]) for i, w in enumerate(drawn)
    ]
    expected = sum_groups([PointArray(np.concatenate(scaled))], np.arange(count), np.array([0, count]))
    for direct in (0, 10**6):
        monkeypatch.setattr(dleq, "_DIRECT", direct)
        assert dleq.weighted_sum(inputs, drawn).equals(expected).all()


def test_a_sum_that_cancels_is_an_error() -> None:
    weights = np.zeros((2, 16), np.uint8)
    weights[:, 0] = 1
    with pytest.raises(InvalidPointError):
        dleq.weighted_sum(concat([generator(), generator().multiply(ORDER - 1)]), weights)
    with pytest.raises(InvalidPointError):
        dleq.weighted_sum(generator(), np.zeros((1, 16), np.uint8))
