"""Tags by which two parties speak of a row in later requests: of one pair and one epoch, so that no other links them.

tag = HMAC-SHA256(pair key, epoch ‖ row tag), cut to 128 bits. The row tag is what alignment published for the row: the
hash of its point under all parties' blindings. All parties know the row tags of everybody's sets; the pair key they do
not know, so a request tag tells only the pair whose row it is.
"""

from __future__ import annotations

import hmac

REQUEST_TAG_BYTES = 16
KEY_BYTES = 32


def request_tags(pair_key: bytes, epoch: int, row_tags: bytes) -> bytes:
    """16 bytes per row, joined; about 1 µs each.

    Args:
        pair_key: 32 bytes that the two parties alone know.
        epoch: 0 to 2^64 - 1.
        row_tags: 16 bytes per row, as in `Aligned.tags`.

    Raises:
        ValueError: a length or the epoch is out of range.
    """
    if len(pair_key) != KEY_BYTES or len(row_tags) % REQUEST_TAG_BYTES or not 0 <= epoch < 2**64:
        raise ValueError("a pair key has 32 bytes, a row tag 16, an epoch 64 bits")
    head = b"fedchain-request-tag-1" + epoch.to_bytes(8, "big")
    return b"".join(
        [
            hmac.digest(pair_key, head + row_tags[place : place + REQUEST_TAG_BYTES], "sha256")[:REQUEST_TAG_BYTES]
            for place in range(0, len(row_tags), REQUEST_TAG_BYTES)
        ]
    )
