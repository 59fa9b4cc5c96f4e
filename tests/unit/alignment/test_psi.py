"""Alignment gives every party the plain intersection in one order, and shows ids to nobody."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedchain.alignment.psi import Aligned, _full_tag, align
from fedchain.compute.executor import Executor
from fedchain.crypto.psi import hash_to_curve
from fedchain.data.ids import sort_ids
from fedchain.errors import AlignmentError, JobAbortedError, ProtocolViolationError, UplinkRejectedError
from fedchain.messages import BlindedIds, decode, encode
from fedchain.protocol import Action, DeclareAligned, Party
from fedchain.simulation.channel import Channel, Slot, Tap
from fedchain.types import Kind, PartyId
from tests.protocol.adversary import Recorder, changing, rewriting
from tests.strategies import id_sets

SALT = bytes(range(32))
EXECUTOR = Executor(n_jobs=1)
Wrap = Callable[[Party[Aligned]], Party[Aligned]]


def names(parties: int) -> list[PartyId]:
    return [PartyId(f"party-{index}") for index in range(parties)]


def run(
    sets: Sequence[Sequence[str]],
    *,
    tap: Tap | None = None,
    min_rows: int = 1,
    wrap: dict[int, Wrap] | None = None,
    salt: bytes = SALT,
) -> list[Aligned]:
    roster = names(len(sets))
    parties = {}
    for index, ids in enumerate(sets):
        party = align(roster[index], roster, ids, salt, min_rows=min_rows, executor=EXECUTOR)
        parties[roster[index]] = wrap[index](party) if wrap and index in wrap else party
    return list(Channel(tap=tap).run(parties).values())


@settings(max_examples=25, deadline=None)
@given(st.integers(2, 5).flatmap(id_sets))
def test_every_party_gets_the_plain_intersection_in_the_shared_order(sets: list[list[str]]) -> None:
    aligned = run(sets)
    expected = tuple(sort_ids(set.intersection(*map(set, sets))))
    assert [one.ids for one in aligned] == [expected] * len(sets)
    assert len({one.order_digest for one in aligned}) == 1
    assert {one.set_sizes for one in aligned} == {tuple(len(ids) for ids in sets)}


@settings(max_examples=10, deadline=None)
@given(st.lists(st.sampled_from("abcdef"), min_size=1, max_size=4, unique=True))
def test_parties_that_share_nothing_are_told_so(own: list[str]) -> None:
    with pytest.raises(AlignmentError, match=r"0 ids are common to all 2 parties.*at least 1"):
        run([own, [one.upper() for one in own]])


def test_an_id_that_one_of_three_parties_lacks_is_not_common() -> None:
    aligned = run([["1", "2", "3"], ["2", "3", "4"], ["3", "2", "5"]])
    assert {one.ids for one in aligned} == {("2", "3")}
    with pytest.raises(AlignmentError, match="0 ids are common to all 3 parties"):
        run([["1", "2"], ["2", "3"], ["3", "1"]])


def test_whole_numbers_are_ordered_by_value_and_other_ids_by_bytes() -> None:
    assert run([["10", "9", "100"], ["100", "10", "9"]])[0].ids == ("9", "10", "100")
    assert run([["10", "9", "x"], ["x", "10", "9"]])[0].ids == ("10", "9", "x")


def test_fewer_common_rows_than_the_job_asks_for_are_refused() -> None:
    sets = [["a", "b", "c", "x"], ["c", "b", "a", "y"]]
    assert len(run(sets, min_rows=3)[0].ids) == 3
    with pytest.raises(AlignmentError, match=r"3 ids are common.*at least 4"):
        run(sets, min_rows=4)


def test_a_party_without_usable_ids_says_so_before_it_sends_anything() -> None:
    """`read_table` drops blank ids, so a file of blank ids alone arrives here as no ids."""
    recorder = Recorder()
    with pytest.raises(AlignmentError, match="party 'party-1' has no usable id"):
        run([["a"], []], tap=recorder)
    assert not [slot for slot, _ in recorder.seen if slot.sender == "party-1"]


@pytest.mark.parametrize("parties", [2, 3, 8])
def test_no_payload_holds_an_id_or_an_unblinded_point(parties: int) -> None:
    ids = [f"customer-{number:04d}" for number in range(6)]
    sets = [[*ids, f"only-at-{index}"] for index in range(parties)]
    recorder = Recorder()
    run(sets, tap=recorder)
    assert len(recorder.seen) == parties * parties
    everything = b"".join(payload for _, payload in recorder.seen)
    for one in {each for own in sets for each in own}:
        assert one.encode() not in everything
        point = hash_to_curve([one.encode()], SALT, EXECUTOR).to_sec1()
        assert point[1:33] not in everything, "the x coordinate of an unblinded id"


def test_points_on_the_way_are_all_different_at_every_blinding() -> None:
    """The same six ids at three parties: if blinding were weak, equal points would show at equal steps."""
    ids = [str(number) for number in range(6)]
    recorder = Recorder()
    run([ids, ids, ids], tap=recorder)
    seen: set[bytes] = set()
    for _, payload in recorder.seen:
        message = decode(payload, BlindedIds)
        if message.blindings < 3:
            points = [message.points[place : place + 65] for place in range(0, len(message.points), 65)]
            assert len(points) == 6
            assert not seen & set(points)
            seen.update(points)
    assert len(seen) == 6 * 3 * 2


def test_another_salt_or_another_run_gives_other_points() -> None:
    def points(salt: bytes) -> set[bytes]:
        recorder = Recorder()
        run([["a"], ["a"]], tap=recorder, salt=salt)
        return {decode(payload, BlindedIds).points for _, payload in recorder.seen}

    assert not points(SALT) & points(SALT)
    assert not points(SALT) & points(bytes(32))
    assert hash_to_curve([b"a"], SALT).to_sec1() != hash_to_curve([b"a"], bytes(32)).to_sec1()


def test_the_order_of_the_own_ids_does_not_show() -> None:
    """The set goes out shuffled: over many runs the first point is not always that of the first id."""
    ids = [f"id-{number}" for number in range(8)]
    firsts = set()
    for _ in range(12):
        recorder = Recorder()
        run([ids, ["id-0"]], tap=recorder)
        by_party = {slot.sender: decode(payload, BlindedIds) for slot, payload in recorder.seen if slot.step == 1}
        tags = by_party[PartyId("party-1")].points  # party-0's ids, in the order it sent them
        wanted = by_party[PartyId("party-0")].points  # party-1's only id
        firsts.add(tags.index(wanted) // 16)
    assert len(firsts) > 1


def test_parties_that_declare_other_orders_abort_the_job() -> None:
    def declare_another(action: Action) -> Action:
        if isinstance(action, DeclareAligned):
            return replace(action, order_digest=bytes(32))
        return action

    with pytest.raises(JobAbortedError, match="alignment differs"):
        run([["a", "b"], ["b", "a"]], wrap={1: lambda party: rewriting(party, declare_another)})


def test_a_party_that_declares_another_number_of_rows_aborts_the_job() -> None:
    def declare_more(action: Action) -> Action:
        return replace(action, rows=action.rows + 1) if isinstance(action, DeclareAligned) else action

    with pytest.raises(JobAbortedError, match="alignment differs"):
        run([["a", "b"], ["b", "a"]], wrap={0: lambda party: rewriting(party, declare_more)})


def test_tags_returned_in_another_order_abort_the_job() -> None:
    """A neighbour that permutes a set gives its owner wrong matches; the digests show it."""

    def permute(message: BlindedIds) -> BlindedIds:
        tags = [message.points[place : place + 16] for place in range(0, len(message.points), 16)]
        rotated = b"".join(tags[1:] + tags[:1])
        return msgspec.structs.replace(message, points=rotated) if message.blindings == 2 else message

    with pytest.raises(JobAbortedError, match="alignment differs"):
        run([["a", "b", "c"], ["c", "b", "a"]], wrap={1: lambda party: changing(party, BlindedIds, permute)})


def only_step(step: int, change: Callable[[BlindedIds], BlindedIds]) -> Tap:
    """A tap on what party-1 sends in one step; keeps it canonical."""

    def tap(slot: Slot, payload: bytes) -> bytes:
        if slot.sender == "party-1" and slot.step == step:
            return encode(change(decode(payload, BlindedIds)))
        return payload

    return tap


def with_(message: BlindedIds, **changes: Any) -> BlindedIds:
    return msgspec.structs.replace(message, **changes)


OFF_CURVE = b"\x04" + bytes(63) + b"\x05"


@pytest.mark.parametrize(
    ("step", "change", "says"),
    [
        (0, lambda m: with_(m, origin=0), "another party or another step"),
        (0, lambda m: with_(m, blindings=2), "another party or another step"),
        (0, lambda m: with_(m, count=m.count + 1), "announced length"),
        (0, lambda m: with_(m, count=0, points=b""), "announced length"),
        (0, lambda m: with_(m, points=m.points[:-1]), "announced length"),
        (0, lambda m: with_(m, points=m.points + b"\0"), "announced length"),
        (0, lambda m: with_(m, points=OFF_CURVE + m.points[65:]), "not on secp256k1"),
        (0, lambda m: with_(m, points=bytes(65) + m.points[65:]), "SEC1 prefix"),
        (0, lambda m: with_(m, points=b"\x06" + m.points[1:]), "SEC1 prefix"),
        (1, lambda m: with_(m, origin=2), "another party or another step"),
        (1, lambda m: with_(m, points=OFF_CURVE + m.points[65:]), "not on secp256k1"),
        (2, lambda m: with_(m, origin=1), "another party or another step"),
        (2, lambda m: with_(m, blindings=2), "another party or another step"),
        (2, lambda m: with_(m, points=m.points[:-1]), "announced length"),
        (2, lambda m: with_(m, points=m.points[:16] + m.points[:16] + m.points[32:]), "the same tag twice"),
    ],
)
def test_blinded_ids_out_of_shape_name_their_sender(
    step: int, change: Callable[[BlindedIds], BlindedIds], says: str
) -> None:
    with pytest.raises(ProtocolViolationError, match=says) as caught:
        run([["a", "b", "c"]] * 3, tap=only_step(step, change))
    assert caught.value.culprit == "party-1"


def test_a_neighbour_that_returns_another_number_of_tags_is_named() -> None:
    def change(message: BlindedIds) -> BlindedIds:
        return with_(message, count=message.count - 1, points=message.points[16:])

    with pytest.raises(ProtocolViolationError, match="returned 2 tags for 3 ids") as caught:
        run([["a", "b", "c"]] * 3, tap=only_step(2, change))
    assert caught.value.culprit == "party-1"


def test_nobody_goes_on_after_rejected_blinded_ids() -> None:
    def tap(slot: Slot, payload: bytes) -> bytes | None:
        return None if slot.kind is Kind.BLINDED_IDS and slot.sender == "party-0" else payload

    with pytest.raises(UplinkRejectedError, match="blinded_ids") as caught:
        run([["a"], ["a"]], tap=tap)
    assert caught.value.sender == "party-0"


def test_ids_whose_tags_end_in_zero_bytes_are_still_told_apart() -> None:
    """Tags are numpy byte strings, which drop trailing zeros: the order's digest must pad them again."""
    assert _full_tag(b"ab") == b"ab" + bytes(14)
    assert len(_full_tag(b"")) == 16
