"""Alignment gives every party the plain intersection in one order, and shows ids to nobody."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedchain.alignment.chunks import HEADER_STEP
from fedchain.alignment.psi import Aligned, align
from fedchain.compute.executor import Executor
from fedchain.crypto import psi
from fedchain.crypto.points import PointArray
from fedchain.crypto.psi import hash_to_curve
from fedchain.data.ids import sort_ids
from fedchain.errors import AlignmentError, JobAbortedError, ProtocolViolationError, UplinkRejectedError
from fedchain.messages import BlindedIds, IdSet, Message, decode, encode
from fedchain.protocol import Action, DeclareAligned, Party, Stage
from fedchain.simulation.channel import Channel, Kills, Slot, Tap
from fedchain.types import Kind, PartyId
from tests.protocol.adversary import Recorder, changing, rewriting
from tests.strategies import id_sets

SALT = bytes(range(32))
EXECUTOR = Executor(n_jobs=1)
M = TypeVar("M", bound=Message)
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
    chunk_ids: int = 3,
    **options: Any,
) -> list[Aligned]:
    roster = names(len(sets))
    parties = {}
    for index, ids in enumerate(sets):
        party = align(
            roster[index], roster, ids, salt, min_rows=min_rows, executor=EXECUTOR, chunk_ids=chunk_ids, **options
        )
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
    assert len(recorder.seen) == parties + parties * parties * 3  # headers, and each chunk of each set by each party
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
    for message in chunks_of(recorder):
        if message.blindings < 3:
            points = [message.points[place : place + 65] for place in range(0, len(message.points), 65)]
            assert len(points) == 3
            assert not seen & set(points)
            seen.update(points)
    assert len(seen) == 6 * 3 * 2


def test_another_salt_or_another_run_gives_other_points() -> None:
    def points(salt: bytes) -> set[bytes]:
        recorder = Recorder()
        run([["a"], ["a"]], tap=recorder, salt=salt)
        return {message.points for message in chunks_of(recorder)}

    assert not points(SALT) & points(SALT)
    assert not points(SALT) & points(bytes(32))
    assert hash_to_curve([b"a"], SALT).to_sec1() != hash_to_curve([b"a"], bytes(32)).to_sec1()


def test_the_order_of_the_own_ids_does_not_show() -> None:
    """The set goes out shuffled: over many runs the first point is not always that of the first id."""
    ids = [f"id-{number}" for number in range(8)]
    firsts = set()
    for _ in range(12):
        recorder = Recorder()
        run([ids, ["id-0"]], tap=recorder, chunk_ids=8)
        by_party = {slot.sender: decode(payload, BlindedIds) for slot, payload in recorder.seen if slot.step == 2}
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


@settings(max_examples=10, deadline=None)
@given(st.sampled_from([2, 3, 8]), st.integers(1, 9), st.sets(st.integers(0, 80), min_size=1))
def test_nested_and_identical_sets_of_any_number_of_chunks_align(parties: int, chunk_ids: int, ids: set[int]) -> None:
    own = [str(one) for one in ids]
    larger = [*own, *(f"x{number}" for number in range(20))]
    sets = [own if index % 2 else larger for index in range(parties)]
    assert {one.ids for one in run(sets, chunk_ids=chunk_ids)} == {tuple(sort_ids(own))}
    assert {one.ids for one in run([own] * parties, chunk_ids=chunk_ids)} == {tuple(sort_ids(own))}


def test_long_ids_and_ids_of_any_script_align() -> None:
    long = ["x" * 10_000, "x" * 9_999 + "y", "客户-ü-💳", "e\u0301", "\u00e9", " 12", "12"]
    assert set(run([[*long, "a"], [*reversed(long), "b"]])[0].ids) == set(long)


@pytest.mark.parametrize(("pad_to", "shown"), [(10, (10, 20)), ("power_of_two", (4, 16)), (None, (3, 11))])
@pytest.mark.parametrize("proven", [False, True])
def test_padding_hides_the_size_and_changes_nothing_else(
    pad_to: int | str | None, shown: tuple[int, int], proven: bool
) -> None:
    few, many = ["a", "b", "c"], [*"abc", *"ABCDEFGH"]
    aligned = run([few, many], pad_to=pad_to, proven_blinding=proven)
    assert {one.ids for one in aligned} == {("a", "b", "c")}
    assert aligned[0].set_sizes == shown


@pytest.mark.parametrize("pad_to", [4, "power_of_two"])
def test_a_party_that_does_not_pad_is_named(pad_to: int | str) -> None:
    def tap(slot: Slot, payload: bytes) -> bytes:
        if slot.sender != "party-1" or slot.step != HEADER_STEP:
            return payload
        return encode(with_(decode(payload, IdSet), count=3))

    with pytest.raises(ProtocolViolationError, match="shows 3 ids") as caught:
        run([["a", "b", "c"]] * 2, tap=tap, pad_to=pad_to, chunk_ids=4)
    assert caught.value.culprit == "party-1"


def test_the_tags_of_common_rows_are_the_same_at_all_parties_and_differ_between_runs() -> None:
    sets = [["a", "b", "c"], ["c", "b", "x"], ["b", "c"]]
    first, second = run(sets), run(sets)
    assert len({one.tags for one in first}) == 1
    assert len(first[0].tags) == 16 * 2
    assert first[0].tags != second[0].tags


@settings(max_examples=25, deadline=None)
@given(st.integers(2, 5).flatmap(id_sets), st.sampled_from([None, "power_of_two"]))
def test_ids_that_some_hold_are_kept_with_their_holders_where_that_is_asked_for(
    sets: list[list[str]], pad_to: str | None
) -> None:
    aligned = run(sets, keep_partial=True, pad_to=pad_to)
    for me, own in enumerate(sets):
        holders = {one: sum(1 << place for place, other in enumerate(sets) if one in other) for one in own}
        everybody = (1 << len(sets)) - 1
        wanted = [one for one, mask in holders.items() if mask != everybody and (mask & 1 if me else mask > 1)]
        found = aligned[me]
        assert found.partial_ids == tuple(sort_ids(wanted))
        assert list(found.partial_holders) == [holders[one] for one in found.partial_ids]
        assert len(found.partial_tags) == 16 * len(wanted)
    tags: dict[str, set[bytes]] = {}
    for one in aligned:
        for place, who in enumerate(one.partial_ids):
            tags.setdefault(who, set()).add(one.partial_tags[16 * place : 16 * place + 16])
    assert all(len(same) == 1 for same in tags.values()), "all that hold an id know it by the same tag"
    assert run(sets, pad_to=pad_to)[0].partial_ids == ()


@pytest.mark.parametrize("parties", [2, 3, 5])
def test_proven_blindings_give_the_plain_intersection(parties: int) -> None:
    sets = [[*"abcdefgh", f"only-{index}"] for index in range(parties)]
    assert {one.ids for one in run(sets, proven_blinding=True, chunk_ids=4)} == {tuple("abcdefgh")}


@pytest.mark.parametrize("parties", [2, 3])
@pytest.mark.parametrize("blindings", [2, 3])
def test_a_party_that_blinds_with_another_secret_is_named_where_blindings_are_proven(
    parties: int, blindings: int
) -> None:
    """Each point stays one of the curve: only the proof tells."""
    if blindings > parties:
        return

    def change(message: BlindedIds) -> BlindedIds:
        if message.blindings != blindings:
            return message
        points = PointArray.from_sec1(message.points, message.count, "test")
        other = points[:1].multiply(7).to_sec1() + message.points[65:]
        return with_(message, points=other)

    with pytest.raises(ProtocolViolationError, match="not all multiples by the announced secret") as caught:
        run(
            [["a", "b", "c"]] * parties,
            proven_blinding=True,
            wrap={1: lambda party: changing(party, BlindedIds, change)},
        )
    assert caught.value.culprit == "party-1"


def test_a_proof_of_another_chunk_is_refused() -> None:
    proofs: list[bytes] = []

    def change(message: BlindedIds) -> BlindedIds:
        if message.blindings != 2:
            return message
        proofs.append(message.proof)
        return with_(message, proof=proofs[0])

    with pytest.raises(ProtocolViolationError, match="announced secret") as caught:
        run(
            [["a", "b", "c"]] * 2,
            chunk_ids=2,
            proven_blinding=True,
            wrap={1: lambda party: changing(party, BlindedIds, change)},
        )
    assert caught.value.culprit == "party-1"


@pytest.mark.parametrize("proven", [False, True])
@pytest.mark.parametrize("parties", [2, 3])
def test_a_party_that_is_killed_at_any_action_ends_with_the_same_order_and_blinds_nothing_twice(
    parties: int, proven: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    roster = names(parties)
    sets = [[*"abcdefg", f"only-{index}"] for index in range(parties)]
    blinded: list[int] = []
    blind = psi.blind

    def counting(points: PointArray, secret: int, executor: Executor | None = None) -> PointArray:
        blinded.append(len(points))
        return blind(points, secret, executor)

    monkeypatch.setattr(psi, "blind", counting)

    def party(me: PartyId) -> Party[Aligned]:
        ids = sets[roster.index(me)]
        return align(me, roster, ids, SALT, min_rows=1, executor=EXECUTOR, chunk_ids=3, proven_blinding=proven)

    actions: list[int] = []
    for at in [-1, *range(0, 60, 3)]:
        blinded.clear()
        seen: list[int] = []

        def when(name: PartyId, number: int, action: Action, at: int = at, seen: list[int] = seen) -> bool:
            if name == roster[1]:
                seen.append(number)
            return name == roster[1] and number == at

        aligned = Channel(kills=Kills(when, party)).run({one: party(one) for one in roster})
        assert {one.ids for one in aligned.values()} == {tuple("abcdefg")}
        # of the work that was under way two chunks may be done again
        assert sum(blinded) <= parties * parties * 8 + 2 * 3
        actions.append(len(seen))
    assert actions[0] > 20


def test_progress_counts_blinded_ids_up_to_their_total() -> None:
    stages: list[Stage] = []

    def listen(party: PartyId, stage: Stage) -> None:
        if party == "party-0":
            stages.append(stage)

    sets = [["a", "b", "c", "d"], ["a", "b"]]
    roster = names(2)
    parties = {
        one: align(one, roster, ids, SALT, min_rows=1, executor=EXECUTOR, chunk_ids=1)
        for one, ids in zip(roster, sets, strict=True)
    }
    Channel(on_stage=listen).run(parties)
    assert [stage.done for stage in stages] == [0, 1, 2, 3, 4, 5, 6]
    assert stages[-1] == Stage("align", 6, 6, "2 common rows")
    assert [stage.total for stage in stages] == [8, 8, 8, 8, 8, 6, 6]


def test_tags_returned_in_another_order_abort_the_job() -> None:
    """A neighbour that permutes a set gives its owner wrong matches; the digests show it."""

    def permute(message: BlindedIds) -> BlindedIds:
        tags = [message.points[place : place + 16] for place in range(0, len(message.points), 16)]
        rotated = b"".join(tags[1:] + tags[:1])
        return msgspec.structs.replace(message, points=rotated) if message.blindings == 2 else message

    with pytest.raises(JobAbortedError, match="alignment differs"):
        run([["a", "b", "c"], ["c", "b", "a"]], wrap={1: lambda party: changing(party, BlindedIds, permute)})


def chunks_of(recorder: Recorder) -> list[BlindedIds]:
    return [decode(payload, BlindedIds) for slot, payload in recorder.seen if slot.step != HEADER_STEP]


def only_step(step: int, change: Callable[[BlindedIds], BlindedIds]) -> Tap:
    """A tap on what party-1 sends in one step; keeps it canonical."""

    def tap(slot: Slot, payload: bytes) -> bytes:
        if slot.sender == "party-1" and slot.step == step:
            return encode(change(decode(payload, BlindedIds)))
        return payload

    return tap


def with_(message: M, **changes: Any) -> M:
    return msgspec.structs.replace(message, **changes)


OFF_CURVE = b"\x04" + bytes(63) + b"\x05"


@pytest.mark.parametrize(
    ("step", "change", "says"),
    [
        (1, lambda m: with_(m, origin=0), "another party or another step"),
        (1, lambda m: with_(m, blindings=2), "another party or another step"),
        (1, lambda m: with_(m, count=m.count + 1), "announced length"),
        (1, lambda m: with_(m, count=0, points=b""), "announced length"),
        (1, lambda m: with_(m, points=m.points[:-1]), "announced length"),
        (1, lambda m: with_(m, points=m.points + b"\0"), "announced length"),
        (1, lambda m: with_(m, points=OFF_CURVE + m.points[65:]), "not on secp256k1"),
        (1, lambda m: with_(m, points=bytes(65) + m.points[65:]), "SEC1 prefix"),
        (1, lambda m: with_(m, points=b"\x06" + m.points[1:]), "SEC1 prefix"),
        (1, lambda m: with_(m, points=m.points[65:] + m.points[:65]), "chunk 0 .* not the one that it committed to"),
        (4, lambda m: with_(m, points=m.points[65:] + m.points[:65]), "chunk 1 .* not the one that it committed to"),
        (2, lambda m: with_(m, origin=2), "another party or another step"),
        (2, lambda m: with_(m, points=OFF_CURVE + m.points[65:]), "not on secp256k1"),
        (2, lambda m: with_(m, points=m.points[:65] + m.points[:65] + m.points[130:]), "the same blinded id twice"),
        (3, lambda m: with_(m, origin=1), "another party or another step"),
        (3, lambda m: with_(m, blindings=2), "another party or another step"),
        (3, lambda m: with_(m, points=m.points[:-1]), "announced length"),
        (3, lambda m: with_(m, count=1, points=m.points[:16]), "announced length"),
        (3, lambda m: with_(m, points=m.points[:16] + m.points[:16] + m.points[32:]), "the same tag twice"),
    ],
)
def test_blinded_ids_out_of_shape_name_their_sender(
    step: int, change: Callable[[BlindedIds], BlindedIds], says: str
) -> None:
    with pytest.raises(ProtocolViolationError, match=says) as caught:
        run([["a", "b", "c", "d", "e"]] * 3, tap=only_step(step, change), chunk_ids=3)
    assert caught.value.culprit == "party-1"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda h: with_(h, count=40), "another number of chunks"),
        (lambda h: with_(h, commitments=h.commitments[:-1]), "another number of chunks"),
        (lambda h: with_(h, commitments=b""), "another number of chunks"),
        (lambda h: with_(h, chunk_ids=4), "4 ids in a chunk, expected 3"),
        (lambda h: with_(h, blinding_key=b"\x02" + bytes(32)), "blinding key"),
        (lambda h: with_(h, commitments=h.commitments[32:] + h.commitments[:32]), "not the one that it committed to"),
    ],
)
def test_a_commitment_that_does_not_fit_names_its_sender(change: Callable[[IdSet], IdSet], says: str) -> None:
    def tap(slot: Slot, payload: bytes) -> bytes:
        is_it = slot.sender == "party-1" and slot.step == HEADER_STEP
        return encode(change(decode(payload, IdSet))) if is_it else payload

    with pytest.raises(ProtocolViolationError, match=says) as caught:
        run([["a", "b", "c", "d"]] * 3, tap=tap, chunk_ids=3)
    assert caught.value.culprit == "party-1"


def test_a_party_that_repeats_a_chunk_of_an_earlier_run_is_named() -> None:
    """Its secret, its seed, even its salt may be the same: what it committed to now is not what it sends."""
    earlier = Recorder()
    run([["a", "b"], ["b", "c"]], tap=earlier)
    old = {slot.step: payload for slot, payload in earlier.seen if slot.sender == "party-1"}

    def tap(slot: Slot, payload: bytes) -> bytes:
        return old[1] if slot.sender == "party-1" and slot.step == 1 else payload

    with pytest.raises(ProtocolViolationError, match="not the one that it committed to") as caught:
        run([["a", "b"], ["b", "c"]], tap=tap)
    assert caught.value.culprit == "party-1"


def test_a_party_that_brings_too_few_ids_says_so_before_it_sends_anything() -> None:
    recorder = Recorder()
    with pytest.raises(AlignmentError, match="party 'party-1' brings 1 ids, the job asks for at least 2"):
        run([["a", "b"], ["a"]], min_rows=2, tap=recorder)
    assert not [slot for slot, _ in recorder.seen if slot.sender == "party-1"]


def test_a_party_that_brings_too_few_ids_is_refused_before_anything_is_compared() -> None:
    """One that leaves its own check out, to probe with a few ids."""
    roster, recorder = names(2), Recorder()
    parties = {
        one: align(one, roster, ids, SALT, min_rows=least, executor=EXECUTOR)
        for one, ids, least in zip(roster, (["a", "b"], ["a"]), (2, 1), strict=True)
    }
    with pytest.raises(AlignmentError, match="party 'party-1' brings 1 ids, the job asks for at least 2"):
        Channel(tap=recorder).run(parties)
    assert {slot.step for slot, _ in recorder.seen if slot.sender == "party-0"} == {HEADER_STEP}


def test_nobody_goes_on_after_rejected_blinded_ids() -> None:
    def tap(slot: Slot, payload: bytes) -> bytes | None:
        return None if slot.kind is Kind.BLINDED_IDS and slot.sender == "party-0" else payload

    with pytest.raises(UplinkRejectedError, match="blinded_ids") as caught:
        run([["a"], ["a"]], tap=tap)
    assert caught.value.sender == "party-0"
