"""Request tags are the same at both parties of a pair and tell nothing to anybody else."""

from __future__ import annotations

import hashlib
import hmac

import pytest

from fedchain.alignment.request_tags import request_tags

ROWS = bytes(range(48))
KEY = b"k" * 32


def test_a_tag_is_an_hmac_over_epoch_and_row_tag() -> None:
    expected = hmac.new(KEY, b"fedchain-request-tag-1" + (3).to_bytes(8, "big") + ROWS[16:32], hashlib.sha256).digest()
    assert request_tags(KEY, 3, ROWS)[16:32] == expected[:16]


def test_pairs_epochs_and_rows_have_tags_of_their_own() -> None:
    tagged = [request_tags(key, epoch, ROWS) for key in (KEY, b"l" * 32) for epoch in (0, 1)]
    each = {one[place : place + 16] for one in tagged for place in range(0, 48, 16)}
    assert len(each) == 12


@pytest.mark.parametrize(("key", "epoch", "rows"), [(b"short", 0, ROWS), (KEY, -1, ROWS), (KEY, 0, ROWS[:-1])])
def test_what_is_out_of_range_is_refused(key: bytes, epoch: int, rows: bytes) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        request_tags(key, epoch, rows)
