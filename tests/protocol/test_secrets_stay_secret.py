"""What travels in a real job shows no plaintext: gradients, labels, ids, keys."""

from __future__ import annotations

import numpy as np
import pytest

from fedchain.compute.executor import Executor
from fedchain.crypto.ciphertexts import CipherRows, CipherSums
from fedchain.crypto.curve import ORDER
from fedchain.crypto.elgamal import histogram
from fedchain.crypto.points import PointArray
from fedchain.crypto.tables import generator_table
from fedchain.messages import Gradients, Histogram, decode
from fedchain.types import Kind
from tests.protocol.adversary import Recorder
from tests.protocol.boosting import BANK, SHOP, Training
from tests.protocol.cases import make_case
from tests.protocol.conftest import Finished

NAME = "three parties"
LIMIT = 4096  # every quantised gradient and hessian lies within


@pytest.fixture(scope="module")
def rows(finished: Finished) -> list[CipherRows]:
    """The ciphertexts of each tree of a real job."""
    messages = [decode(payload, Gradients) for _, payload in finished(NAME)[1].of(Kind.GRADIENTS)]
    return [CipherRows.from_bytes(one.ciphertexts, one.rows, 2, culprit="test") for one in messages]


def encodings(points: PointArray) -> list[bytes]:
    raw = points.to_sec1(compressed=True)
    return [raw[place : place + 33] for place in range(0, len(raw), 33)]


def test_equal_plaintexts_encrypt_differently(rows: list[CipherRows]) -> None:
    """In the first tree all rows of one label have the same gradient and hessian; no point appears twice anywhere."""
    seen = [one for tree in rows for part in (tree.c1, *tree.c2) for one in encodings(part)]
    assert len(rows) == 3
    assert len(seen) == len(set(seen)) == 3 * sum(len(tree) for tree in rows)


def test_equal_rows_do_not_show_by_the_difference_of_two_ciphertexts(rows: list[CipherRows]) -> None:
    """Differences m·G - m·G would be infinity if masks were reused between rows."""
    first = rows[0]
    for part in (first.c1, *first.c2):
        assert len(set(part.x_words().tolist())) == len(first)


def test_no_ciphertext_is_a_bare_multiple_of_the_generator(rows: list[CipherRows], executor: Executor) -> None:
    bare = set(encodings(generator_table().multiply_base(range(1, LIMIT + 1), executor)))
    bare |= {bytes([one[0] ^ 1]) + one[1:] for one in bare}  # -m·G
    assert len(bare) == 2 * LIMIT
    for tree in rows:
        for part in (tree.c1, *tree.c2):
            assert not bare & set(encodings(part))


def test_gradient_and_hessian_of_a_row_are_masked_by_different_keys(rows: list[CipherRows], executor: Executor) -> None:
    """With one key for both columns, c2[0] - c2[1] would be (g - h)·G: small enough to look up."""
    small = set(generator_table().multiply_base(range(1, 2 * LIMIT + 1), executor).x_words().tolist())
    first = rows[0]
    difference = first.c2[0].add(first.c2[1].multiply(ORDER - 1))
    assert not difference.infinity.any()
    assert not small & set(difference.x_words().tolist())


def test_bins_of_one_row_or_of_none_do_not_show_in_a_histogram(training: Training) -> None:
    """Sums are re-randomised: no component of a histogram is a row's ciphertext, or a bare multiple, or repeats."""
    recorder = Recorder()
    training.run(tap=recorder)
    sent = {
        point
        for _, payload in recorder.of(Kind.GRADIENTS)
        for message in [decode(payload, Gradients)]
        for tree in [CipherRows.from_bytes(message.ciphertexts, message.rows, 2, culprit="test")]
        for part in (tree.c1, *tree.c2)
        for point in encodings(part)
    }
    seen: list[bytes] = []
    for slot, payload in recorder.of(Kind.HISTOGRAM):
        assert slot.sender in (BANK, SHOP)
        message = decode(payload, Histogram)
        count = len(message.nodes) * 9
        sums = CipherSums.from_bytes(message.sums, count, 2, culprit="test")
        seen += [point for part in (sums.c1, *sums.c2) for point in encodings(part)]
    assert len(seen) == len(set(seen))
    assert not sent & set(seen)


def test_two_histograms_of_the_same_rows_share_no_point(training: Training) -> None:
    """The root's histogram sent twice (two runs over the same ciphertexts would do): fresh masks each time."""
    values = np.ones((8, 2), dtype=np.int64)
    ciphertexts = training.keys.encrypt_rows(values)
    bins = np.zeros((8, 1), dtype=np.uint8)
    once, twice = (histogram(ciphertexts, np.arange(8), bins, [2], training.keys.public) for _ in range(2))
    assert not set(encodings(once.c1)) & set(encodings(twice.c1))
    bound = training.keys.decrypt_sums(once, 100, training.dlog)
    np.testing.assert_array_equal(bound, [[8, 8], [0, 0]])


def test_no_payload_of_a_job_holds_an_id_or_a_private_key(finished: Finished) -> None:
    result, recorder = finished(NAME)
    everything = b"".join(payload for _, payload in recorder.seen)
    for party, outcome in result.outcomes.items():
        assert outcome.session.keys.private not in everything
        assert not any(one.encode() in everything for one in make_case(NAME).tables[party].ids)


def test_no_payload_of_a_job_holds_a_leaf_weight_a_column_or_a_category(finished: Finished) -> None:
    result, recorder = finished(NAME)
    everything = b"".join(payload for _, payload in recorder.seen)
    for tree in result.active.shard.trees:
        assert tree.weights
        assert not any(np.float64(weight).tobytes() in everything for weight in tree.weights)
    for word in ("tenure", "income", "contract", "two years"):
        assert word.encode() not in everything


def test_passive_shards_hold_no_weight_no_cover_and_no_split_of_another(finished: Finished) -> None:
    result, _ = finished(NAME)
    for index, outcome in enumerate(result.outcomes.values()):
        for tree in outcome.shard.trees:
            owned = {n for n, owner in zip(tree.shape.nodes, tree.shape.owners, strict=True) if owner == index}
            assert {split.node for split in tree.splits} == owned
            assert index == 0 or (tree.covers, tree.weights) == ((), ())
