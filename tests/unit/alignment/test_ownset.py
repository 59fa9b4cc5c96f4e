"""The own set goes out in an order and with dummies that the seed alone tells."""

from __future__ import annotations

import numpy as np
import pytest

from fedchain.alignment.ownset import OwnSet, padded

IDS = [f"id-{number}" for number in range(10)]


def everything(own: OwnSet, chunk_ids: int) -> list[bytes]:
    return [one for chunk in range(-(-len(own) // chunk_ids)) for one in own.preimages(chunk)]


def test_every_id_goes_out_once_and_a_seed_fixes_the_order() -> None:
    first, again, other = (everything(OwnSet(IDS, seed * 32, 10, 4), 4) for seed in (b"a", b"a", b"b"))
    assert sorted(first) == sorted(one.encode() for one in IDS)
    assert first == again
    assert first != other
    assert first != [one.encode() for one in IDS]


def test_dummies_fill_the_set_up_and_are_like_no_id_and_no_other_dummy() -> None:
    own, other = OwnSet(IDS, b"a" * 32, 16, 4), OwnSet(IDS, b"b" * 32, 16, 4)
    dummies = {one for one in everything(own, 4) if one[0] == 0xFF}
    assert len(dummies) == 6
    assert not dummies & set(everything(other, 4))
    with pytest.raises(UnicodeDecodeError):
        next(iter(dummies)).decode()


def test_places_lead_back_to_rows_and_dummies_to_none() -> None:
    own = OwnSet(IDS, b"a" * 32, 16, 16)
    sent = own.preimages(0)
    places = np.flatnonzero(own.real()).astype(np.int64)
    assert [IDS[row].encode() for row in own.rows(places)] == [sent[place] for place in places]
    assert sorted(own.rows(np.arange(16)).tolist()) == list(range(10))


@pytest.mark.parametrize(
    ("count", "pad_to", "size"),
    [
        (5, None, 5),
        (5, 10, 10),
        (10, 10, 10),
        (11, 10, 20),
        (5, "power_of_two", 8),
        (8, "power_of_two", 8),
        (1, "power_of_two", 1),
    ],
)
def test_padded_sizes(count: int, pad_to: int | str | None, size: int) -> None:
    assert padded(count, pad_to) == size
