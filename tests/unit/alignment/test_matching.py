"""Tags are matched in numpy exactly as sets of bytes would match them."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from fedchain.alignment.matching import Matcher, as_tags, repeats, tags_repeat

HALVES = st.sampled_from([b"\0" * 8, b"\1" + b"\0" * 7, b"\xff" * 8, b"abcdefgh"])
TAGS = st.lists(st.tuples(HALVES, HALVES).map(b"".join), max_size=12)
"""Few halves, so that half of a tag is often that of another."""


@given(TAGS.map(lambda tags: list(dict.fromkeys(tags))), TAGS)
def test_matches_are_those_of_sets(own: list[bytes], theirs: list[bytes]) -> None:
    found = Matcher(as_tags(b"".join(own))).find(as_tags(b"".join(theirs)))
    assert sorted(own[place] for place in found) == sorted(one for one in theirs if one in own)


@given(TAGS)
def test_repeated_tags_are_seen_and_halves_are_not(tags: list[bytes]) -> None:
    assert tags_repeat(as_tags(b"".join(tags))) == (len(set(tags)) < len(tags))


def test_repeated_words_are_seen_across_chunks() -> None:
    assert repeats([np.array([1, 2], np.uint64), np.array([3, 1], np.uint64)])
    assert not repeats([np.array([1, 2], np.uint64), np.array([3], np.uint64)])
