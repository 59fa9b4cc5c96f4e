"""Every chunk goes around once, and nothing is waited for that was not sent in an earlier tick."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from fedchain.alignment.chunks import CHUNK_IDS, chunk_count, chunk_ids_within, chunk_length, items_of, step_of, ticks
from fedchain.messages import BlindedIds, encode

CHUNKS = st.lists(st.integers(1, 5), min_size=2, max_size=8).map(tuple)


@given(CHUNKS)
def test_every_party_blinds_every_chunk_of_all_others_once(chunks: tuple[int, ...]) -> None:
    parties = len(chunks)
    for index in range(parties):
        items = [item for tick in range(ticks(chunks)) for item in items_of(tick, index, chunks)]
        expected = {(origin, chunk) for origin in range(parties) if origin != index for chunk in range(chunks[origin])}
        assert sorted((item.origin, item.chunk) for item in items) == sorted(expected)


@given(CHUNKS)
def test_what_comes_in_was_sent_in_an_earlier_tick(chunks: tuple[int, ...]) -> None:
    parties = len(chunks)
    sent = {(index, index, chunk, 1): chunk - 1 for index in range(parties) for chunk in range(chunks[index])}
    for tick in range(ticks(chunks)):
        for index in range(parties):
            for item in items_of(tick, index, chunks):
                assert sent[(index - 1) % parties, item.origin, item.chunk, item.blindings] < tick
                sent[index, item.origin, item.chunk, item.blindings + 1] = tick


@given(st.integers(1, 100), st.integers(1, 10))
def test_chunks_hold_all_ids(count: int, chunk_ids: int) -> None:
    lengths = [chunk_length(count, chunk_ids, chunk) for chunk in range(chunk_count(count, chunk_ids))]
    assert sum(lengths) == count
    assert all(0 < one <= chunk_ids for one in lengths)


@given(st.integers(1024, 4_000_000))
def test_a_full_chunk_keeps_to_the_bound_of_payloads(max_payload_bytes: int) -> None:
    count = chunk_ids_within(max_payload_bytes)
    message = BlindedIds(7, 8, count, bytes(65 * count), bytes(64))
    assert len(encode(message)) <= max_payload_bytes
    assert count == CHUNK_IDS or len(encode(message)) + 65 * 2 > max_payload_bytes


def test_no_two_messages_share_a_step() -> None:
    steps = [step_of(chunk, blindings, 8) for chunk in range(20) for blindings in range(1, 9)]
    assert sorted(steps) == list(range(1, 161))
