"""With a cached set, two parties get the plain intersection in one order, job after job of a set epoch."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedchain.alignment.chunks import HEADER_STEP
from fedchain.alignment.psi import Aligned
from fedchain.alignment.shelf import MemoryShelf
from fedchain.crypto import psi
from fedchain.crypto.points import PointArray
from fedchain.crypto.psi import hash_to_curve
from fedchain.crypto.seal import open_for_pair, seal_for_pair
from fedchain.data.ids import sort_ids
from fedchain.errors import AlignmentError, AlignmentPolicyError, JobAbortedError, ProtocolViolationError
from fedchain.messages import (
    AskingSet,
    BlindedIds,
    CachedChunk,
    CachedSet,
    IdSet,
    Matches,
    Message,
    decode,
    encode,
)
from fedchain.protocol import Action, DeclareAligned, Party, Send, Stage
from fedchain.simulation.channel import Channel, Kills
from fedchain.types import PartyId
from tests.protocol.adversary import Recorder, changing, rewriting
from tests.strategies import customer_ids
from tests.unit.alignment.cached_pair import ASKER, HOLDER, Pair

M = TypeVar("M", bound=Message)
LARGE = [f"id-{number:02d}" for number in range(20)]
SMALL = ["id-03", "id-19", "id-07", "other", "id-00"]
COMMON = ("id-00", "id-03", "id-07", "id-19")


def with_(message: M, **changes: Any) -> M:
    return msgspec.structs.replace(message, **changes)


@st.composite
def unequal_sets(draw: st.DrawFn) -> tuple[list[str], list[str]]:
    """A larger and a smaller set of distinct ids with at least one in common; nested and equal ones among them."""
    small = draw(st.lists(customer_ids(), min_size=1, max_size=7, unique=True))
    shared = draw(st.integers(1, len(small)))
    others = draw(st.lists(customer_ids(), min_size=len(small) - shared, max_size=14, unique=True))
    large = sorted({*small[:shared], *others})
    while len(large) < len(small):
        large.append(f"filling-{len(large)}")
    return draw(st.permutations(large)), small


@settings(max_examples=25, deadline=None)
@given(unequal_sets(), st.booleans(), st.booleans())
def test_both_get_the_plain_intersection_in_the_shared_order_in_each_job_of_an_epoch(
    sets: tuple[list[str], list[str]], proven: bool, asker_first: bool
) -> None:
    large, small = sets
    roster = (ASKER, HOLDER) if asker_first else (HOLDER, ASKER)
    pair, expected = Pair(), tuple(sort_ids(set(large) & set(small)))
    for job in (1, 2):
        ends = pair.run(large, small, job, proven_blinding=proven, roster=roster)
        assert [one.ids for one in ends] == [expected] * 2
        assert ends[0].order_digest == ends[1].order_digest
        assert ends[0].tags == ends[1].tags
        assert len(ends[0].tags) == 16 * len(expected)
        sizes = {HOLDER: len(large), ASKER: len(small)}
        assert [one.set_sizes for one in ends] == [tuple(sizes[name] for name in roster)] * 2


def test_long_ids_and_ids_of_any_script_align() -> None:
    odd = ["x" * 10_000, "x" * 9_999 + "y", "客户-ü-💳", "e\u0301", "\u00e9", " 12", "12", "\ud800"]
    assert set(Pair().run([*odd, "a"], [*reversed(odd), "b"])[0].ids) == set(odd)


def test_sets_that_share_nothing_or_too_little_are_told_so() -> None:
    with pytest.raises(AlignmentError, match="0 ids are common to both"):
        Pair().run(LARGE, ["A", "B"])
    with pytest.raises(AlignmentError, match=r"4 ids are common.*at least 5"):
        Pair().run(LARGE, SMALL, min_rows=5)


def test_the_second_job_of_an_epoch_sends_no_tags_and_blinds_no_id_of_the_larger_side(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pair, counts = Pair(), []
    blind = psi.blind

    def counting(points: PointArray, *rest: Any) -> PointArray:
        counts.append(len(points))
        return blind(points, *rest)

    monkeypatch.setattr(psi, "blind", counting)
    first, second = Recorder(), Recorder()
    pair.run(LARGE, SMALL, 1, tap=first)
    assert sum(counts) == len(LARGE) + 3 * len(SMALL)
    counts.clear()
    pair.run([*reversed(LARGE)], SMALL, 2, tap=second)
    assert sum(counts) == 3 * len(SMALL), "however the table's rows are ordered"
    assert sum(is_a(payload, CachedChunk) for _, payload in first.seen) == 5
    assert not any(is_a(payload, CachedChunk) for _, payload in second.seen)
    # 32 bytes for each chunk of commitments apart, it does not depend on the larger side
    assert sum(len(payload) for _, payload in second.seen) < 200 * len(SMALL) + 1000


def is_a(payload: bytes, message_type: type[Message]) -> bool:
    try:
        decode(payload, message_type)
    except Exception:
        return False
    return True


def test_no_payload_of_an_epoch_is_sent_twice() -> None:
    """Equal payloads of this kind in two jobs are a provable fault of their sender: also where tags are sent again."""
    pair, recorder = Pair(), Recorder()
    for job in (1, 2, 3):
        if job == 3:
            pair.sets[ASKER]._held.clear()  # it has lost them
        pair.run(LARGE, SMALL, job, tap=recorder)
    assert sum(is_a(payload, CachedChunk) for _, payload in recorder.seen) == 10
    assert len({payload for _, payload in recorder.seen}) == len(recorder.seen)


def test_each_message_is_of_one_type_alone() -> None:
    recorder = Recorder()
    Pair().run(LARGE, SMALL, tap=recorder)
    types = (IdSet, CachedSet, AskingSet, CachedChunk, BlindedIds, Matches)
    assert all(sum(is_a(payload, one) for one in types) == 1 for _, payload in recorder.seen)


def test_ids_that_change_make_a_new_epoch_with_a_new_key() -> None:
    pair, recorder = Pair(), Recorder()
    pair.run(LARGE, SMALL, 1, tap=recorder)
    ends = pair.run([*LARGE, "other"], SMALL, 2, tap=recorder)
    assert ends[0].ids == ends[1].ids == (*COMMON, "other")
    first, second = (decode(payload, CachedSet) for _, payload in recorder.seen if is_a(payload, CachedSet))
    assert not {first.salt, first.key} & {second.salt, second.key}


@pytest.mark.parametrize("field", ["key", "commitments", "count"])
def test_a_set_that_changes_within_an_epoch_is_caught(field: str) -> None:
    pair = Pair()
    pair.run(LARGE, SMALL, 1)

    def change(message: CachedSet) -> CachedSet:
        if field == "key":
            return with_(
                message,
                key=PointArray.from_sec1(message.key, 1, "test", compressed=True).multiply(3).to_sec1(compressed=True),
            )
        if field == "count":
            return with_(message, count=message.count - 1)
        return with_(message, commitments=message.commitments[::-1])

    with pytest.raises(ProtocolViolationError, match="changed its cached set or its key within a set epoch") as caught:
        pair.run(LARGE, SMALL, 2, wrap={HOLDER: lambda party: changing(party, CachedSet, change)})
    assert caught.value.culprit == HOLDER


def test_tags_tell_nothing_without_the_key_and_are_of_one_epoch() -> None:
    """The tags of two epochs over the same ids have nothing in common, and no payload holds an id or its point."""
    seen: list[bytes] = []
    for _ in range(2):
        pair, recorder = Pair(), Recorder()
        pair.run(LARGE, SMALL, tap=recorder)
        seen += [payload for _, payload in recorder.seen]
        salts = [decode(payload, CachedSet).salt for _, payload in recorder.seen if is_a(payload, CachedSet)]
        for one in {*LARGE, *SMALL}:
            assert one.encode() not in b"".join(seen)
            point = hash_to_curve([one.encode()], salts[0]).to_sec1()
            assert point[1:33] not in b"".join(seen)
    held = [pair.sets[ASKER]]
    tags = [shelf.get("tags_0") for one in held for shelf in one._held.values()]
    assert all(tag is not None and tag[:16] not in b"".join(seen) for tag in tags), "tags travel sealed"


def test_row_tags_and_the_order_digest_are_of_one_job() -> None:
    pair = Pair()
    first, second = pair.run(LARGE, SMALL, 1)[0], pair.run(LARGE, SMALL, 2)[0]
    assert first.ids == second.ids
    assert first.order_digest != second.order_digest
    assert not set(_cut(first.tags)) & set(_cut(second.tags))


def _cut(tags: bytes) -> list[bytes]:
    return [tags[place : place + 16] for place in range(0, len(tags), 16)]


@pytest.mark.parametrize(("pad_to", "shown"), [(16, (32, 16)), ("power_of_two", (32, 8)), (None, (20, 5))])
@pytest.mark.parametrize("proven", [False, True])
def test_padding_hides_the_sizes_and_changes_nothing_else(
    pad_to: int | str | None, shown: tuple[int, int], proven: bool
) -> None:
    ends = Pair().run(LARGE, SMALL, pad_to=pad_to, proven_blinding=proven)
    assert [one.ids for one in ends] == [COMMON] * 2
    assert ends[0].set_sizes == shown


def test_the_cached_set_must_be_the_larger_one() -> None:
    with pytest.raises(AlignmentError, match="'large' has the cached set, but with 2 ids fewer than party 'small'"):
        Pair().run(LARGE[:2], SMALL)
    assert Pair().run(SMALL, [*SMALL])[0].ids == tuple(sort_ids(SMALL)), "as large will do"


@pytest.mark.parametrize(("large", "small", "who"), [(LARGE, SMALL[:4], "small"), (LARGE[:4], SMALL[:2], "")])
def test_small_sets_are_refused_before_any_id_is_evaluated(large: list[str], small: list[str], who: str) -> None:
    recorder = Recorder()
    with pytest.raises(AlignmentError, match=f"party '{who}.* brings . ids, the job asks for at least 5"):
        Pair().run(large, small, min_rows=5, tap=recorder)
    assert not any(is_a(payload, BlindedIds) or is_a(payload, CachedChunk) for _, payload in recorder.seen)


@pytest.mark.parametrize("who", [HOLDER, ASKER])
def test_a_peer_that_is_not_admitted_learns_nothing(who: PartyId) -> None:
    asked: list[tuple[str, int, int]] = []

    def refuse(peer: PartyId, size: int, own: int) -> None:
        asked.append((peer, size, own))
        raise AlignmentPolicyError(peer, "asks too often")

    pair, recorder = Pair(), Recorder()
    parties = {
        me: pair.party(me, ids, 1, admit=refuse if me == who else None) for me, ids in ((HOLDER, LARGE), (ASKER, SMALL))
    }
    with pytest.raises(AlignmentPolicyError):
        Channel(tap=recorder).run(parties)
    assert asked == [(ASKER, 5, 20) if who == HOLDER else (HOLDER, 20, 5)]
    assert not any(is_a(payload, BlindedIds) or is_a(payload, CachedChunk) for _, payload in recorder.seen)


@pytest.mark.parametrize("proven", [False, True])
@pytest.mark.parametrize("who", [HOLDER, ASKER])
def test_a_party_that_is_killed_at_any_action_ends_with_the_same_order(who: PartyId, proven: bool) -> None:
    """Also what it sends again is the very same, which the contracts demand."""
    seen: list[int] = []
    for at in [-1, *range(40)]:
        pair = Pair()

        sent: dict[Any, bytes] = {}

        def record(action: Action, sent: dict[Any, bytes] = sent) -> Action:
            if isinstance(action, Send):
                payload = encode(action.message)
                assert sent.setdefault((action.step, action.recipient, type(action.message)), payload) == payload
            return action

        def again(name: PartyId, pair: Pair = pair, record: Any = record) -> Party[Aligned]:
            party = pair.party(name, LARGE if name == HOLDER else SMALL, 1, proven_blinding=proven)
            return rewriting(party, record) if name == who else party

        def when(name: PartyId, number: int, action: Action, at: int = at) -> bool:
            if at < 0 and name == who:
                seen.append(number)
            return name == who and number == at

        parties = {name: again(name) for name in (HOLDER, ASKER)}
        ends = list(Channel(kills=Kills(when, again)).run(parties).values())
        assert [one.ids for one in ends] == [COMMON] * 2
        if at > len(seen):
            break
    assert len(seen) > 15


def test_a_build_that_was_interrupted_goes_on_behind_its_last_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fedchain.alignment.cachedset.PART_IDS", 4)
    pair, hashed = Pair(), []
    hash_all = psi.hash_to_curve

    def counting(ids: list[bytes], *rest: Any) -> PointArray:
        hashed.append(len(ids))
        if sum(hashed) == 12:
            raise KeyboardInterrupt
        return hash_all(ids, *rest)

    monkeypatch.setattr(psi, "hash_to_curve", counting)
    with pytest.raises(KeyboardInterrupt):
        pair.run(LARGE, SMALL, 1)
    hashed[:] = [100]
    pair.run([*reversed(LARGE)], SMALL, 2)
    assert sum(hashed) == 100 + 12 + 5, "in another job, with the table's rows in another order"
    (epoch,) = (epoch for epoch, _ in pair.sets[HOLDER]._own.values())
    assert isinstance(epoch.shelf, MemoryShelf)
    assert set(epoch.shelf._kept) == {"manifest", "places", *(f"tags_{chunk}" for chunk in range(5))}


def test_progress_ends_with_the_number_of_common_rows() -> None:
    stages: dict[str, list[Stage]] = {HOLDER: [], ASKER: []}
    pair = Pair()
    parties = {me: pair.party(me, ids, 1) for me, ids in ((HOLDER, LARGE), (ASKER, SMALL))}
    Channel(on_stage=lambda party, stage: stages[party].append(stage)).run(parties)
    assert {name: one[-1] for name, one in stages.items()} == {
        HOLDER: Stage("align", 5, 5, "4 common rows"),
        ASKER: Stage("align", 10, 10, "4 common rows"),
    }
    assert Stage("align", 20, 20, "ids blinded for the cached set") in stages[HOLDER]
    assert all(stage.done <= stage.total for one in stages.values() for stage in one)


def test_parties_that_declare_other_orders_abort_the_job() -> None:
    def declare_another(action: Action) -> Action:
        return replace(action, order_digest=bytes(32)) if isinstance(action, DeclareAligned) else action

    with pytest.raises(JobAbortedError, match="alignment differs"):
        Pair().run(LARGE, SMALL, wrap={ASKER: lambda party: rewriting(party, declare_another)})


def key_of_job(purpose: bytes) -> bytes:
    return hashlib.sha256(hashlib.sha256(b"job 1").digest() + purpose).digest()


def resealed(change: Callable[[bytes], bytes], purpose: bytes, message: Any) -> Any:
    number = message.chunk if isinstance(message, CachedChunk) else 0
    plain = change(open_for_pair(key_of_job(purpose), number, message.sealed))
    return with_(message, sealed=seal_for_pair(key_of_job(purpose), number, plain))


OFF_CURVE = b"\x04" + bytes(63) + b"\x05"


@pytest.mark.parametrize(
    ("who", "message_type", "change", "says"),
    [
        (HOLDER, CachedSet, lambda m: with_(m, session=bytes(32)), "message of another job"),
        (HOLDER, CachedSet, lambda m: with_(m, chunk_ids=5), "5 tags in a chunk, expected 4"),
        (HOLDER, CachedSet, lambda m: with_(m, commitments=m.commitments[:-1]), "another number of chunks"),
        (HOLDER, CachedSet, lambda m: with_(m, key=bytes(33)), "blinding key"),
        (HOLDER, CachedChunk, lambda m: with_(m, chunk=m.chunk + 1), "is not of 4 tags"),
        (HOLDER, CachedChunk, lambda m: with_(m, sealed=m.sealed[:-1]), "does not open"),
        (HOLDER, CachedChunk, lambda m: resealed(lambda p: p[:-16], b"cached tags", m), "is not of 4 tags"),
        (HOLDER, CachedChunk, lambda m: resealed(lambda p: p[::-1], b"cached tags", m), "chunk 0 .* committed to"),
        (HOLDER, BlindedIds, lambda m: with_(m, blindings=1), "another party or another step"),
        (HOLDER, BlindedIds, lambda m: with_(m, count=m.count - 1), "announced length"),
        (HOLDER, BlindedIds, lambda m: with_(m, points=OFF_CURVE + m.points[65:]), "not on secp256k1"),
        (HOLDER, BlindedIds, lambda m: with_(m, points=m.points[:65] * m.count), "two ids to one point"),
        (ASKER, AskingSet, lambda m: with_(m, session=bytes(32)), "message of another job"),
        (ASKER, AskingSet, lambda m: with_(m, chunk_ids=5), "5 ids in a chunk, expected 3"),
        (ASKER, AskingSet, lambda m: with_(m, commitments=m.commitments[:-1]), "another number of chunks"),
        (ASKER, AskingSet, lambda m: with_(m, blinding_key=b"\x02" + bytes(32)), "announced no blinding key"),
        (ASKER, BlindedIds, lambda m: with_(m, points=m.points[65:] + m.points[:65]), "not the one that it committed"),
        (ASKER, BlindedIds, lambda m: with_(m, points=OFF_CURVE + m.points[65:]), "not on secp256k1"),
        (ASKER, BlindedIds, lambda m: with_(m, origin=0), "another party or another step"),
        (ASKER, Matches, lambda m: with_(m, total=6), "another number of matches|announced length"),
        (ASKER, Matches, lambda m: with_(m, total=3), "announced length of 3"),
        (ASKER, Matches, lambda m: with_(m, first=1), "another number of matches"),
        (ASKER, Matches, lambda m: with_(m, proof=bytes(64)), "announced length"),
        (ASKER, Matches, lambda m: with_(m, sealed=bytes(len(m.sealed))), "does not open"),
        (ASKER, Matches, lambda m: resealed(lambda p: p[4:] + p[:4], b"cached matches", m), "twice, or out of order"),
        (ASKER, Matches, lambda m: resealed(lambda p: p[:4] * 4, b"cached matches", m), "twice, or out of order"),
        (ASKER, Matches, lambda m: resealed(lambda p: p[:-4] + b"\x14\0\0\0", b"cached matches", m), "holds no id"),
    ],
)
def test_messages_out_of_shape_name_their_sender(
    who: PartyId, message_type: type[Message], change: Callable[[Any], Any], says: str
) -> None:
    with pytest.raises(ProtocolViolationError, match=says) as caught:
        Pair().run(LARGE, SMALL, wrap={who: lambda party: changing(party, message_type, change)})
    assert caught.value.culprit == who


def test_a_chunk_whose_tags_do_not_ascend_is_refused_though_it_is_committed_to(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Positions would be ambiguous: a holder that made its set so is named."""
    pair = Pair()
    pair.run(LARGE, SMALL, 1)
    (epoch,) = (epoch for epoch, _ in pair.sets[HOLDER]._own.values())
    from fedchain.alignment.cachedset import chunk_commitment

    manifest = msgspec.msgpack.decode(epoch.shelf.get("manifest"))  # type: ignore[arg-type]
    first, second = epoch.shelf.get("tags_0"), epoch.shelf.get("tags_1")
    assert first is not None
    assert second is not None
    epoch.shelf.put("tags_0", second)
    epoch.shelf.put("tags_1", first)
    swapped = chunk_commitment(epoch.salt, 0, second) + chunk_commitment(epoch.salt, 1, first)
    manifest[2] = swapped + manifest[2][64:]
    epoch.shelf.put("manifest", msgspec.msgpack.encode(manifest))
    pair.sets[ASKER]._held.clear()
    with pytest.raises(ProtocolViolationError, match="do not ascend") as caught:
        pair.run(LARGE, SMALL, 2)
    assert caught.value.culprit == HOLDER


def test_a_match_with_a_dummy_names_its_sender() -> None:
    pair = Pair()

    def match_dummy(message: Matches) -> Matches:
        (epoch,) = (epoch for epoch, _ in pair.sets[HOLDER]._own.values())
        places = epoch.shelf.get("places")
        assert places is not None
        ranks = [int.from_bytes(places[at : at + 4], "little") for at in range(0, len(places), 4)]
        assert sorted(ranks) == list(range(32))
        dummies = [position for position, rank in enumerate(ranks) if rank >= len(LARGE)][:4]
        plain = b"".join(position.to_bytes(4, "little") for position in dummies)
        return resealed(lambda _: plain, b"cached matches", message)  # type: ignore[no-any-return]

    with pytest.raises(ProtocolViolationError, match="holds no id") as caught:
        pair.run(LARGE, SMALL, pad_to=32, wrap={ASKER: lambda party: changing(party, Matches, match_dummy)})
    assert caught.value.culprit == ASKER


@pytest.mark.parametrize("who", [HOLDER, ASKER])
def test_a_party_that_evaluates_or_matches_other_ids_is_named_where_blindings_are_proven(who: PartyId) -> None:
    """Each point stays one of the curve, each position one of an id: only the proof tells."""

    def evaluate_other(message: BlindedIds) -> BlindedIds:
        points = PointArray.from_sec1(message.points, message.count, "test")
        return with_(message, points=points[:1].multiply(7).to_sec1() + message.points[65:])

    def match_other(message: Matches) -> Matches:
        def change(plain: bytes) -> bytes:
            half = len(plain) // 2
            positions = {int.from_bytes(plain[at : at + 4], "little") for at in range(0, half, 4)}
            other = min(set(range(len(LARGE))) - positions)
            positions = {*sorted(positions)[1:], other}
            return b"".join(one.to_bytes(4, "little") for one in sorted(positions)) + plain[half:]

        return resealed(change, b"cached matches", message)  # type: ignore[no-any-return]

    wrap: dict[PartyId, Callable[[Party[Aligned]], Party[Aligned]]] = {
        HOLDER: lambda party: changing(party, BlindedIds, evaluate_other),
        ASKER: lambda party: changing(party, Matches, match_other),
    }
    words = "not all multiples by the announced secret"
    with pytest.raises(ProtocolViolationError, match=words) as caught:
        Pair().run(LARGE, SMALL, proven_blinding=True, wrap={who: wrap[who]})
    assert caught.value.culprit == who


@pytest.mark.parametrize("who", [HOLDER, ASKER])
def test_a_party_that_brings_an_id_twice_is_named(who: PartyId) -> None:
    """Tables cannot: a party that does, to be counted twice, breaks the protocol."""
    large, small = (LARGE + LARGE[:1], SMALL) if who == HOLDER else (LARGE, SMALL + SMALL[:1])
    words = "tags of its cached set do not ascend" if who == HOLDER else "the same blinded id twice"
    with pytest.raises(ProtocolViolationError, match=words) as caught:
        Pair().run(large, small)
    assert caught.value.culprit == who


def test_a_held_set_that_is_lost_in_the_middle_of_a_job_is_told() -> None:
    pair = Pair()
    pair.run(LARGE, SMALL, 1)
    (shelf,) = pair.sets[ASKER]._held.values()

    def lose(action: Action) -> Action:
        if isinstance(action, Send) and isinstance(action.message, BlindedIds):
            shelf.drop("tags_3")
        return action

    with pytest.raises(AlignmentError, match="cached set of party 'large', which this job began with, is lost"):
        pair.run(LARGE, SMALL, 2, wrap={ASKER: lambda party: rewriting(party, lose)})
    assert pair.run(LARGE, SMALL, 3)[1].ids == COMMON, "the next job fetches it again"


@pytest.mark.parametrize("proven", [False, True])
def test_matches_travel_in_pieces_and_none_may_repeat_another(proven: bool) -> None:
    small, recorder = LARGE[:18], Recorder()
    ends = Pair().run(LARGE, small, tap=recorder, chunk_ids=1, proven_blinding=proven)
    assert [one.ids for one in ends] == [tuple(small)] * 2
    pieces = [decode(payload, Matches) for _, payload in recorder.seen if is_a(payload, Matches)]
    assert [(one.first, one.total) for one in pieces] == [(0, 18), (8, 18), (16, 18)]

    def repeat(message: Matches) -> Matches:
        plain = open_for_pair(key_of_job(b"cached matches"), message.first // 8, message.sealed)
        kept.append(plain)
        if message.first != 8:
            return message
        return with_(message, sealed=seal_for_pair(key_of_job(b"cached matches"), 1, kept[0]), proof=message.proof)

    kept: list[bytes] = []
    words = "or one twice" if proven else "twice, or out of order"
    with pytest.raises(ProtocolViolationError, match=words) as caught:
        Pair().run(
            LARGE,
            small,
            chunk_ids=1,
            proven_blinding=proven,
            wrap={ASKER: lambda party: changing(party, Matches, repeat)},
        )
    assert caught.value.culprit == ASKER


def test_commitments_are_of_one_job() -> None:
    """An asker that commits to what it sent in an earlier job is caught by the session in its message."""
    pair, earlier = Pair(), Recorder()
    pair.run(LARGE, SMALL, 1, tap=earlier)
    old = next(payload for slot, payload in earlier.seen if slot.sender == ASKER and slot.step == HEADER_STEP)

    def tap(slot: Any, payload: bytes) -> bytes:
        return old if slot.sender == ASKER and slot.step == HEADER_STEP else payload

    with pytest.raises(ProtocolViolationError, match="another job") as caught:
        pair.run(LARGE, SMALL, 2, tap=tap)
    assert caught.value.culprit == ASKER
    assert encode(decode(old, AskingSet)) == old
