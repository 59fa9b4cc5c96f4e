"""How much a party makes ahead for the next round: never more than one tree needs, and within a bound of memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from fedchain.crypto.curve import STRUCT_BYTES
from fedchain.crypto.elgamal import KeyPair, MaskPool, PublicKey, ZeroPool

MAX_POOL_BYTES = 2**28
SMALL_NODES = 2
"""Histograms of so many nodes begin from zeros in stock; with two top levels that is all of a layered tree."""


def mask_pool(keys: KeyPair, rows: int) -> MaskPool:
    """Masks for the rows of one tree, as far as `MAX_POOL_BYTES` go.

    Args:
        keys: the active party's gradient keys.
        rows: that are encrypted each round.
    """
    return MaskPool(keys, min(rows, MAX_POOL_BYTES // (STRUCT_BYTES * (1 + keys.columns))))


@contextmanager
def zero_pools(output_keys: Sequence[PublicKey], bins: int) -> Iterator[tuple[ZeroPool, ...]]:
    """Encryptions of zero for the first sums of one tree, a pool per output; closed at the end.

    Args:
        output_keys: the active party's public keys, one of two columns for each output.
        bins: of all features of this party, missing ones included.
    """
    most = MAX_POOL_BYTES // (STRUCT_BYTES * sum(1 + key.columns for key in output_keys))
    with ExitStack() as stack:
        yield tuple(stack.enter_context(ZeroPool(key, min(SMALL_NODES * bins, most))) for key in output_keys)
