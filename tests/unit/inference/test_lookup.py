"""Tags to rows: as a dictionary does it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedchain.inference.lookup import TagTable

HALVES = st.sampled_from([bytes(8), b"\xff" * 8, b"a" * 8, b"b" * 7 + b"\0", b"\0" * 7 + b"b"])
TAGS = st.one_of(st.binary(min_size=16, max_size=16), st.builds(bytes.__add__, HALVES, HALVES))


@given(st.lists(TAGS, unique=True, max_size=30), st.lists(TAGS, max_size=30), st.data())
def test_found_rows_are_those_of_a_dictionary(held: list[bytes], others: list[bytes], data: st.DataObject) -> None:
    asked = data.draw(st.permutations(held + others))
    rows = data.draw(st.lists(st.integers(0, 2**40), min_size=len(held), max_size=len(held)))
    table = TagTable(b"".join(held), np.array(rows, np.int64))
    expected = dict(zip(held, rows, strict=True))
    assert table.find(b"".join(asked)).tolist() == [expected.get(tag, -1) for tag in asked]
    assert len(table) == len(held)


def test_many_at_once_come_back_in_the_order_asked_for() -> None:
    random = np.random.default_rng(2)
    tags = random.bytes(16 * 5000)
    asked = random.integers(0, 5000, 3000)
    raw = np.frombuffer(tags, np.uint8).reshape(-1, 16)[asked].tobytes() + random.bytes(16 * 200)
    found = TagTable(tags).find(raw)
    assert found.tolist() == [*asked.tolist(), *[-1] * 200]


def test_the_largest_tag_is_not_taken_for_the_end() -> None:
    largest = b"\xff" * 16
    assert TagTable(b"").find(largest).tolist() == [-1]
    assert TagTable(bytes(16)).find(largest).tolist() == [-1]
    assert TagTable(bytes(16) + largest).find(largest + bytes(16)).tolist() == [1, 0]
    halves = bytes(16) + bytes(8) + b"x" * 8 + largest
    assert TagTable(halves).find(halves).tolist() == [0, 1, 2], "two share a half, so two are compared"


def test_a_tag_that_is_there_twice_or_half_is_refused() -> None:
    with pytest.raises(ValueError, match="twice"):
        TagTable(bytes(16) + b"x" * 16 + bytes(16))
    for raw in (bytes(15), bytes(17)):
        with pytest.raises(ValueError, match="whole number"):
            TagTable(raw)
        with pytest.raises(ValueError, match="whole number"):
            TagTable(bytes(16)).find(raw)
    with pytest.raises(ValueError, match="as many positions"):
        TagTable(bytes(16), np.zeros(2, np.int64))
