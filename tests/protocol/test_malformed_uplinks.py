"""Messages out of shape end the job with an error that names their sender."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import pytest

from fedchain.crypto.points import generator
from fedchain.errors import ProtocolViolationError, SealError
from fedchain.messages import Gradients, Histogram, LeafWeights, Message, Partition, Split, SplitNode, decode, encode
from fedchain.training.boosting import received
from fedchain.types import Kind
from tests.protocol.adversary import Recorder, changing, tapping
from tests.protocol.boosting import BANK, OPERATOR, SHOP, Training

OFF_CURVE = bytes([2]) + bytes(31) + bytes([5])  # x = 5 is on no point of secp256k1
STRUCT_REPLACE = msgspec.structs.replace

ByteChange = Callable[[bytes], bytes]


def long_bin_header(payload: bytes) -> bytes:
    """Another encoding of the same message: one bin field (the longest that will do) with a header of 32 bits."""
    for place, code in enumerate(payload):
        skip = {0xC4: 2, 0xC5: 3}.get(code, 0)
        if skip:
            size = int.from_bytes(payload[place + 1 : place + skip], "big")
            again = payload[:place] + b"\xc6" + size.to_bytes(4, "big") + payload[place + skip :]
            with contextlib.suppress(msgspec.DecodeError):
                if msgspec.msgpack.decode(again) == msgspec.msgpack.decode(payload):
                    return again
    raise AssertionError("no short bin field")


@pytest.mark.parametrize("kind", [Kind.GRADIENTS, Kind.HISTOGRAM, Kind.PARTITION, Kind.LEAF_WEIGHTS])
@pytest.mark.parametrize(
    "change",
    [
        lambda payload: payload[:-1],
        lambda payload: payload + b"\0",
        lambda payload: payload[: len(payload) // 2],
        lambda payload: b"\xc1",
        lambda payload: b"\x80" + payload[1:],
        lambda payload: bytes([payload[0] + 1]) + payload[1:] + b"\xc0",
        long_bin_header,
    ],
    ids=["truncated", "trailing byte", "half", "no MessagePack", "a map", "one field more", "not canonical"],
)
def test_bytes_that_are_no_canonical_message_name_their_sender(
    training: Training, kind: Kind, change: ByteChange
) -> None:
    recorder = Recorder(tapping(kind, change))
    with pytest.raises(ProtocolViolationError, match="payload is not") as caught:
        training.run(tap=recorder)
    assert caught.value.culprit == recorder.of(kind)[0][0].sender


FIVE = (b"\1" * 4, 1)


def histogram_faults() -> list[tuple[str, Callable[[Histogram], Histogram], str]]:
    def with_(message: Histogram, **changes: Any) -> Histogram:
        return STRUCT_REPLACE(message, **changes)

    return [
        ("off-curve point", lambda m: with_(m, sums=OFF_CURVE + m.sums[33:]), "not on secp256k1"),
        ("point at infinity", lambda m: with_(m, sums=bytes(33) + m.sums[33:]), "SEC1 prefix"),
        ("uncompressed prefix", lambda m: with_(m, sums=b"\x04" + m.sums[1:]), "SEC1 prefix"),
        ("a bin too few", lambda m: with_(m, sums=m.sums[:-99]), "ciphertexts of 2 columns"),
        ("a bin too many", lambda m: with_(m, sums=m.sums + m.sums[:99]), "ciphertexts of 2 columns"),
        ("no sums", lambda m: with_(m, sums=b""), "ciphertexts of 2 columns"),
        ("another node", lambda m: with_(m, nodes=(m.nodes[0] + 1,)), "exactly the smaller siblings"),
        ("no node", lambda m: with_(m, nodes=(), sums=b""), "exactly the smaller siblings"),
        ("a node twice", lambda m: with_(m, nodes=m.nodes * 2, sums=m.sums * 2), "exactly the smaller siblings"),
        ("no groups of its node", lambda m: with_(m, groups=()), "exactly the smaller siblings"),
        ("groups of a node more", lambda m: with_(m, groups=m.groups * 2), "exactly the smaller siblings"),
        ("an empty group", lambda m: with_(m, groups=(((b"\1\0\1\1", 0), FIVE),)), "feature 0 has an empty group"),
        ("no bin but a missing one", lambda m: with_(m, groups=(((b"", 1), FIVE),)), "feature 0 has an empty group"),
        ("no bin but a folded one", lambda m: with_(m, groups=(((b"", 2), FIVE),)), "feature 0 has an empty group"),
        ("too many bins", lambda m: with_(m, groups=(((b"\1" * 128, 0), FIVE),)), "payload is not a valid Histogram"),
        ("two missing bins", lambda m: with_(m, groups=(((b"\1" * 4, 3), FIVE),)), "payload is not a valid Histogram"),
        ("groups for more sums", lambda m: with_(m, groups=(((b"\1" * 5, 0), FIVE),)), "ciphertexts of 2 columns"),
        ("groups for fewer sums", lambda m: with_(m, groups=(((b"\1" * 3, 0), FIVE),)), "ciphertexts of 2 columns"),
        ("no features, but sums", lambda m: with_(m, groups=((),)), "sums of no feature"),
        ("absent features, but sums", lambda m: with_(m, groups=(((b"", 0),) * 2,)), "sums of no feature"),
    ]


@pytest.mark.parametrize(
    ("change", "says"), [fault[1:] for fault in histogram_faults()], ids=[f[0] for f in histogram_faults()]
)
def test_a_histogram_out_of_shape_names_its_sender(
    training: Training, change: Callable[[Histogram], Histogram], says: str
) -> None:
    with pytest.raises(ProtocolViolationError, match=says) as caught:
        training.run(wrap={SHOP: lambda party: changing(party, Histogram, change)})
    assert caught.value.culprit == SHOP


@pytest.mark.parametrize(
    ("groups", "says"),
    [
        ((((b"\1" * 5, 0), (b"\1" * 3, 1)),), "do not follow from the parent's"),
        ((((b"\1" * 4, 0), (b"\1" * 3, 1)),), "feature 1 do not follow from the parent's"),
        ((((b"\1" * 4, 0), (b"\2\1\2", 1)),), "feature 1 do not follow from the parent's"),
        ((((b"\1" * 4, 1), (b"\1" * 4, 1)),), "feature 0 do not follow from the parent's"),
        ((((b"\1" * 4, 2), (b"\1" * 4, 1)),), "feature 0 do not follow from the parent's"),
        ((((b"\1" * 4, 0), (b"\1" * 4, 0)),), "feature 1 do not follow from the parent's"),
        ((((b"", 0), (b"\1" * 4, 1)),), "feature 0 do not follow from the parent's"),
        ((((b"\1" * 4, 0),),), "changed its number of features"),
        ((((b"\1" * 4, 0), (b"\1" * 4, 1), (b"\1" * 4, 1)),), "changed its number of features"),
        (((),), "changed its number of features"),
    ],
)
def test_groups_that_do_not_follow_from_the_parent_s_name_their_sender(
    training: Training, groups: Any, says: str
) -> None:
    def change(message: Histogram) -> Histogram:
        return STRUCT_REPLACE(message, groups=(training.shown(BANK, groups[0]),))

    says = re.sub(r"feature (\d)", lambda found: f"feature {training.position(BANK, int(found[1]))}", says)
    with pytest.raises(ProtocolViolationError, match=says) as caught:
        training.run(wrap={BANK: lambda party: changing(party, Histogram, change, after=1)})
    assert caught.value.culprit == BANK


def test_sums_beyond_the_agreed_range_are_refused_not_guessed(
    training: Training, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A random point has no logarithm in range (a smaller range here: the small table would search for long)."""
    monkeypatch.setattr(received, "SUM_BOUND", 2**21)
    far = generator().multiply(2**200 + 7).to_sec1(compressed=True)

    with pytest.raises(ProtocolViolationError, match="beyond") as caught:
        training.run(
            wrap={BANK: lambda p: changing(p, Histogram, lambda m: STRUCT_REPLACE(m, sums=m.sums[:-33] + far))}
        )
    assert caught.value.culprit == BANK


def beyond(bits: bytes) -> bytes:
    """90 rows leave six bits of the last byte unused."""
    return bits[:-1] + bytes([bits[-1] | 0x80])


def gradient_faults() -> list[tuple[str, Callable[[Gradients], Gradients], str]]:
    def with_(message: Gradients, **changes: Any) -> Gradients:
        return STRUCT_REPLACE(message, **changes)

    off = b"\x04" + bytes(63) + b"\x05"
    return [
        ("off-curve point", lambda m: with_(m, ciphertexts=off + m.ciphertexts[65:]), "not on secp256k1"),
        ("compressed prefix", lambda m: with_(m, ciphertexts=b"\x02" + m.ciphertexts[1:]), "SEC1 prefix"),
        ("a point too few", lambda m: with_(m, ciphertexts=m.ciphertexts[:-65]), "ciphertexts of 2 columns"),
        ("a byte too many", lambda m: with_(m, ciphertexts=m.ciphertexts + b"\0"), "ciphertexts of 2 columns"),
        ("row bits too short", lambda m: with_(m, row_bits=m.row_bits[:-1]), "row bits do not cover"),
        ("row bits too long", lambda m: with_(m, row_bits=m.row_bits + b"\0"), "row bits do not cover"),
        ("no row bits", lambda m: with_(m, row_bits=b""), "row bits do not cover"),
        ("routed bits too short", lambda m: with_(m, routed_bits=m.routed_bits[:-1]), "row bits do not cover"),
        ("a sampled row that is not routed", lambda m: with_(m, routed_bits=bytes(len(m.row_bits))), "do not match"),
        ("routed beyond the table", lambda m: with_(m, routed_bits=beyond(m.routed_bits)), "row bits do not cover"),
        ("no row set", lambda m: with_(m, row_bits=bytes(len(m.row_bits))), "do not match the number"),
        ("another number of rows", lambda m: with_(m, rows=m.rows + 1), "do not match the number"),
        (
            "a row beyond the table",
            lambda m: with_(m, rows=m.rows + 1, row_bits=beyond(m.row_bits)),
            "row bits do not cover",
        ),
    ]


@pytest.mark.parametrize(("change", "says"), [f[1:] for f in gradient_faults()], ids=[f[0] for f in gradient_faults()])
def test_gradients_out_of_shape_name_the_active_party(
    training: Training, change: Callable[[Gradients], Gradients], says: str
) -> None:
    with pytest.raises(ProtocolViolationError, match=says) as caught:
        training.run(wrap={OPERATOR: lambda party: changing(party, Gradients, change)})
    assert caught.value.culprit == OPERATOR


def with_nodes(training: Training, change: Callable[[list[SplitNode]], list[SplitNode]]) -> Callable[[Split], Split]:
    """Changes the nodes; features are numbered as the bank has them, and announced as it shows them."""

    def shown(node: SplitNode) -> SplitNode:
        return STRUCT_REPLACE(node, feature=training.position(BANK, node.feature)) if 0 <= node.feature < 2 else node

    return lambda message: Split(tuple(shown(node) for node in change(list(message.nodes))))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda nodes: [], "exactly the open nodes"),
        (lambda nodes: nodes + nodes, "exactly the open nodes"),
        (lambda nodes: [STRUCT_REPLACE(nodes[0], node=nodes[0].node + 7)], "exactly the open nodes"),
        (lambda nodes: [STRUCT_REPLACE(nodes[0], owner=3)], "not on the roster"),
        (lambda nodes: [SplitNode(0, 1, 2, 0, False)], "on none of my bins"),
        (lambda nodes: [SplitNode(0, 1, -1, 0, False)], "on none of my bins"),
        (lambda nodes: [SplitNode(0, 1, 0, 4, False)], "on none of my bins"),
        (lambda nodes: [SplitNode(0, 1, 0, -1, True)], "on none of my bins"),
        (lambda nodes: [SplitNode(0, 1, 0, 3, False)], "with nothing on a side"),
        (lambda nodes: [SplitNode(0, 1, 1, 3, True)], "with nothing on a side"),
        (lambda nodes: [SplitNode(0, 1, 0, 2, True)], "sends missing values of node 0 left, there are none"),
    ],
)
def test_a_split_announcement_out_of_shape_names_the_active_party(
    training: Training, change: Callable[[list[SplitNode]], list[SplitNode]], says: str
) -> None:
    with pytest.raises(ProtocolViolationError, match=says) as caught:
        training.run(wrap={OPERATOR: lambda party: changing(party, Split, with_nodes(training, change))})
    assert caught.value.culprit == OPERATOR


def test_split_nodes_in_another_order_are_refused(training: Training) -> None:
    def change(message: Split) -> Split:
        return Split(tuple(reversed(message.nodes)))

    with pytest.raises(ProtocolViolationError, match="exactly the open nodes") as caught:
        training.run(wrap={OPERATOR: lambda party: changing(party, Split, change, after=1)})
    assert caught.value.culprit == OPERATOR


@pytest.mark.parametrize(
    ("after", "last", "keep", "says"),
    [
        (0, True, 0, "keeps 0 of 1 rounds"),
        (0, True, 2, "keeps 2 of 1 rounds"),
        (0, True, 2**20, "keeps 1048576 of 1 rounds"),
        (0, False, 1, "keeps 1 rounds before the last"),
        (1, True, 0, "keeps 0 of 2 rounds"),
        (1, True, 3, "keeps 3 of 2 rounds"),
        (1, False, 0, "did not announce the end of training"),
    ],
)
def test_a_wrong_announcement_of_the_last_tree_is_refused(
    training: Training, after: int, last: bool, keep: int, says: str
) -> None:
    def change(message: LeafWeights) -> LeafWeights:
        return STRUCT_REPLACE(message, last=last, keep=keep)

    with pytest.raises(ProtocolViolationError, match=says) as caught:
        training.run(wrap={OPERATOR: lambda party: changing(party, LeafWeights, change, after=after)})
    assert caught.value.culprit == OPERATOR


def test_a_partition_of_other_nodes_is_refused(training: Training) -> None:
    def change(message: Partition) -> Partition:
        return STRUCT_REPLACE(message, nodes=tuple(node + 1 for node in message.nodes))

    with pytest.raises(ProtocolViolationError, match="exactly the nodes it owns") as caught:
        training.run(wrap={SHOP: lambda party: changing(party, Partition, change)})
    assert caught.value.culprit == SHOP


def test_a_partition_with_a_flipped_bit_does_not_open(training: Training) -> None:
    def change(message: Partition) -> Partition:
        return STRUCT_REPLACE(message, sealed=message.sealed[:-1] + bytes([message.sealed[-1] ^ 1]))

    with pytest.raises(ProtocolViolationError, match="partition: the sealed payload does not open") as caught:
        training.run(wrap={SHOP: lambda party: changing(party, Partition, change)})
    assert caught.value.culprit == SHOP


def test_a_partition_sealed_for_another_tree_is_refused(training: Training) -> None:
    """Replay: right nodes, right length, but the seal is that of the sender's first partition."""
    first: list[Partition] = []

    def change(message: Partition) -> Message:
        first.append(message)
        return STRUCT_REPLACE(message, sealed=first[0].sealed)

    with pytest.raises(ProtocolViolationError, match="another context") as caught:
        training.run(wrap={SHOP: lambda party: changing(party, Partition, change)})
    assert caught.value.culprit == SHOP
    assert len(first) == 2


def test_a_partition_that_another_party_sealed_is_refused(training: Training) -> None:
    """A seal is bound to its sender: what the bank sealed cannot be passed off as the shop's."""
    recorder = Recorder()
    training.run(tap=recorder)
    slot, _ = next(one for one in recorder.of(Kind.PARTITION) if one[0].sender == SHOP)
    context = f"partition/{slot.round}/0/{(slot.step - 3) // 3}"

    def change(message: Partition) -> Partition:
        packed = training.sealing[SHOP].unseal(message.sealed, context, SHOP)
        return STRUCT_REPLACE(message, sealed=training.sealing[BANK].seal_to_roster(packed, context))

    with pytest.raises(ProtocolViolationError, match="another context") as caught:
        training.run(wrap={SHOP: lambda party: changing(party, Partition, change)})
    assert caught.value.culprit == SHOP


def test_leaf_weights_open_for_the_active_party_alone(training: Training) -> None:
    recorder = Recorder()
    outcome = training.run(tap=recorder)
    for number, (_, payload) in enumerate(recorder.of(Kind.LEAF_WEIGHTS), start=1):
        message = decode(payload, LeafWeights)
        assert encode(message) == payload
        opened = training.sealing[OPERATOR].unseal(message.sealed, f"leaf_weights/{number}", OPERATOR)
        np.testing.assert_array_equal(np.frombuffer(opened, "<f8"), outcome[OPERATOR].trees[number - 1].weights)
        for party in (BANK, SHOP):
            with pytest.raises(SealError, match="not for"):
                training.sealing[party].unseal(message.sealed, f"leaf_weights/{number}", OPERATOR)
