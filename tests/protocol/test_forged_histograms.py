"""Passive parties that lie about sums or rows are caught and named; rejected histograms grow no node."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from fedchain.crypto.ciphertexts import CipherSums
from fedchain.crypto.elgamal import public_encrypt
from fedchain.crypto.points import PointArray
from fedchain.errors import ForgedHistogramError, ProtocolViolationError, UplinkRejectedError
from fedchain.messages import Histogram, Partition, Split, decode
from fedchain.protocol import Party
from fedchain.training.boosting.passive import PassiveTrainer, _Growing
from fedchain.training.boosting.steps import split as split_step
from fedchain.training.boosting.tree import Rows
from fedchain.types import Kind
from tests.protocol.adversary import Recorder, changing, tapping
from tests.protocol.boosting import BANK, OPERATOR, SHOP, Training


def added(training: Training, message: Histogram, change: NDArray[np.int64]) -> Histogram:
    """The histogram with encryptions of `change` (bins of one node, 2) added to every node: no secret needed."""
    count = len(message.nodes) * len(change)
    parts = [change[4:] if missing else change[:4] for _, missing in message.groups[0]]  # positions are this tree's
    change = np.concatenate(parts)
    sums = CipherSums.from_bytes(message.sums, count, 2, culprit="test", executor=training.executor)
    other = public_encrypt(training.keys.public, np.tile(change, (len(message.nodes), 1)), training.executor)
    columns = [one.add(two) for one, two in zip((sums.c1, *sums.c2), (other.c1, *other.c2), strict=True)]
    return replace_sums(message, columns)


def replace_sums(message: Histogram, columns: list[PointArray]) -> Histogram:
    return Histogram(message.nodes, message.groups, CipherSums(columns[0], tuple(columns[1:])).to_bytes())


def moved(amount: int) -> NDArray[np.int64]:
    """Layout ((4), (4 + missing)): move an amount of gradient from the first bin of each feature to the second."""
    change = np.zeros((9, 2), dtype=np.int64)
    change[[0, 4], 0] = -amount
    change[[1, 5], 0] = amount
    return change


@pytest.fixture(params=["training", "leaf_wise"])
def either(request: pytest.FixtureRequest) -> Training:
    """Trees that grow level by level, or leaf by leaf."""
    found: Training = request.getfixturevalue(request.param)
    return found


def test_an_honest_run_has_splits_of_both_passive_parties(either: Training) -> None:
    """Else what follows would catch nothing; and adding encryptions of zero changes nothing."""
    zero = np.zeros((9, 2), dtype=np.int64)
    honest = either.run()
    again = either.run(wrap={BANK: lambda party: changing(party, Histogram, lambda m: added(either, m, zero))})
    assert honest == again
    owners = [owner for tree in honest[OPERATOR].trees for owner in tree.shape.owners]
    assert {1, 2} <= set(owners)


@pytest.mark.parametrize("amount", [-900, -5_000, 40_000])
def test_moving_an_encrypted_amount_between_bins_is_caught_though_totals_hold(either: Training, amount: int) -> None:
    def forge(party: Party[object]) -> Party[object]:
        return changing(party, Histogram, lambda message: added(either, message, moved(amount)))

    with pytest.raises(ForgedHistogramError, match="do not sum to its decrypted histogram") as caught:
        either.run(wrap={SHOP: forge})
    assert caught.value.culprit == SHOP


class PermutedTrainer(PassiveTrainer):
    """Sums under the bins of other rows, but partitions by its own."""

    def _send_histogram(self, tree: _Growing, turn: int, rows: Mapping[int, Rows]) -> Party[None]:
        node_bins = tree.begun.bins.copy(order="F")
        for members in rows.values():  # permute within nodes, so that every node's total is right
            node_bins[members] = tree.begun.bins[np.random.default_rng(1).permutation(members)]
        return super()._send_histogram(replace(tree, begun=replace(tree.begun, bins=node_bins)), turn, rows)


def test_sums_under_permuted_bins_are_caught_though_totals_hold(either: Training) -> None:
    permuted = either.passive(BANK, PermutedTrainer)
    with pytest.raises(ForgedHistogramError, match="do not sum to its decrypted histogram") as caught:
        either.run(instead={BANK: permuted.train()})
    assert caught.value.culprit == BANK


@pytest.mark.parametrize("column", [0, 1])
def test_a_total_that_is_off_by_one_in_one_feature_is_caught(either: Training, column: int) -> None:
    change = np.zeros((9, 2), dtype=np.int64)
    change[6, column] = 1

    with pytest.raises(ForgedHistogramError, match=r"feature \d: its total is not") as caught:
        either.run(wrap={BANK: lambda p: changing(p, Histogram, lambda m: added(either, m, change), after=1)})
    assert caught.value.culprit == BANK


class ForgetfulTrainer(PassiveTrainer):
    """Leaves a row out of every sum."""

    def _send_histogram(self, tree: _Growing, turn: int, rows: Mapping[int, Rows]) -> Party[None]:
        return super()._send_histogram(tree, turn, {node: members[1:] for node, members in rows.items()})


def test_a_dropped_row_is_caught(either: Training) -> None:
    with pytest.raises(ForgedHistogramError, match="its total is not") as caught:
        either.run(instead={SHOP: either.passive(SHOP, ForgetfulTrainer).train()})
    assert caught.value.culprit == SHOP


def test_a_replayed_histogram_of_the_tree_before_is_caught(either: Training) -> None:
    first: list[Histogram] = []

    def replay(message: Histogram) -> Histogram:
        first.append(message)
        return first[0] if message.nodes == (0,) else message

    with pytest.raises(ForgedHistogramError) as caught:
        either.run(wrap={BANK: lambda party: changing(party, Histogram, replay, after=0)})
    assert caught.value.culprit == BANK
    assert len(first) > 1, "the first tree was accepted"


def lying(training: Training, change: Callable[[bytes], bytes]) -> Callable[[Party[Any]], Party[Any]]:
    """The shop, which splits the first root, with its first partition changed before it is sealed."""

    def wrap(party: Party[Any]) -> Party[Any]:
        first = [True]

        def lie(message: Partition) -> Partition:
            if not first:
                return message
            first.pop()
            assert message.nodes == (0,)
            keys, context = training.sealing[SHOP], "partition/1/0/0"
            packed = keys.unseal(message.sealed, context, SHOP)
            assert change(packed) != packed
            return Partition(message.nodes, keys.seal_to_roster(change(packed), context))

        return changing(party, Partition, lie)

    return wrap


def flip_first(packed: bytes) -> bytes:
    return bytes([packed[0] ^ 1]) + packed[1:]


def test_one_row_on_the_wrong_side_of_an_announced_split_is_caught(training: Training) -> None:
    with pytest.raises(ForgedHistogramError, match="rows announced left of node 0") as caught:
        training.run(wrap={SHOP: lying(training, flip_first)})
    assert caught.value.culprit == SHOP


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda packed: packed + b"\0", "longer than the rows"),
        (lambda packed: packed[:-1], "shorter than the rows"),
        (lambda packed: b"", "shorter than the rows"),
        (lambda packed: packed[:-1] + bytes([packed[-1] | 0x80]), "bits beyond the rows"),
    ],
    ids=["a byte more", "a byte less", "empty", "a stray bit"],
)
def test_a_partition_of_the_wrong_length_is_refused(
    training: Training, change: Callable[[bytes], bytes], says: str
) -> None:
    with pytest.raises(ProtocolViolationError, match=says) as caught:
        training.run(wrap={SHOP: lying(training, change)})
    assert caught.value.culprit == SHOP


@pytest.mark.parametrize("level", [0, 1])
@pytest.mark.parametrize("sender", [BANK, SHOP])
def test_a_rejected_sound_histogram_stops_the_job_before_the_node_is_split(
    training: Training, sender: str, level: int
) -> None:
    recorder = Recorder(tapping(Kind.HISTOGRAM, lambda _: None, sender=sender, after=level))
    with pytest.raises(UplinkRejectedError, match="histogram, round 1") as caught:
        training.run(tap=recorder)
    assert caught.value.sender == sender
    announced = [slot.step for slot, _ in recorder.of(Kind.SPLIT)]
    assert announced == [split_step(0, 2, earlier) for earlier in range(level)]
    partitions = [slot.step for slot, _ in recorder.of(Kind.PARTITION)]
    assert all(step < split_step(0, 2, level) for step in partitions)
    assert not recorder.of(Kind.LEAF_WEIGHTS)


def test_a_histogram_rejected_in_the_second_tree_leaves_the_first_tree_alone(training: Training) -> None:
    recorder = Recorder(tapping(Kind.HISTOGRAM, lambda _: None, sender=SHOP, after=2))
    with pytest.raises(UplinkRejectedError, match="histogram, round 2") as caught:
        training.run(tap=recorder)
    assert caught.value.sender == SHOP
    assert {slot.round for slot, _ in recorder.of(Kind.SPLIT)} == {1}
    assert [slot.round for slot, _ in recorder.of(Kind.LEAF_WEIGHTS)] == [1]


@pytest.mark.parametrize("kind", [Kind.GRADIENTS, Kind.SPLIT, Kind.PARTITION, Kind.LEAF_WEIGHTS])
def test_nobody_acts_on_a_rejected_uplink_of_any_other_kind(training: Training, kind: Kind) -> None:
    recorder = Recorder(tapping(kind, lambda _: None))
    with pytest.raises(UplinkRejectedError, match=kind.name.lower()) as caught:
        training.run(tap=recorder)
    assert caught.value.sender == recorder.of(kind)[0][0].sender


def test_split_announcements_do_not_show_the_active_party_s_own_features(training: Training) -> None:
    recorder = Recorder()
    training.run(tap=recorder, instead={OPERATOR: training.active(bins=training.bins[BANK]).train()})
    nodes = [node for _, payload in recorder.of(Kind.SPLIT) for node in decode(payload, Split).nodes]
    own = [node for node in nodes if node.owner == 0]
    assert own
    assert {(node.feature, node.bin, node.missing_left) for node in own} == {(-1, -1, False)}
