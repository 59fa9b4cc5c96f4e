"""Which rows and columns a tree sees. Drawn from the job's seed, the same everywhere.

Random numbers are raw 64-bit outputs of Philox4x64-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3",
SC 2011), keyed by the first 128 bits of SHA-256 over seed, purpose, tree and output. They hang on nothing else: not on
what was drawn before, nor on the platform or on numpy's version. They are no secret, for the seed is in the job.
"""

from __future__ import annotations

import hashlib
import math
import struct

import numpy as np
from numpy.typing import NDArray

from fedchain.errors import ConfigError, TrainingError

Mask = NDArray[np.bool_]


def random_words(count: int, *, seed: int, purpose: str, tree: int, output: int = 0) -> NDArray[np.uint64]:
    """Uniform 64-bit words of one draw.

    Args:
        count: how many.
        seed: the job's, 0 .. 2**64 - 1.
        purpose: what is drawn; draws of different purposes are independent.
        tree: number of the tree (or round of trees), 0 .. 2**32 - 1.
        output: class of the tree where a round has several, 0 .. 2**32 - 1.

    Returns:
        Shape (count,).
    """
    text = purpose.encode()
    key = hashlib.sha256(b"fedchain/sampling" + struct.pack("<QIII", seed, tree, output, len(text)) + text).digest()
    words: NDArray[np.uint64] = np.random.Philox(key=int.from_bytes(key[:16], "little")).random_raw(count)
    return words


def drawn_count(total: int, fraction: float) -> int:
    """How many of `total` rows or columns a share draws: rounded half up; at least one."""
    return min(total, max(1, math.floor(total * fraction + 0.5)))


def _lowest(words: NDArray[np.uint64], count: int) -> Mask:
    """Exactly `count` of the words that are lowest; of equal ones the first."""
    if count >= len(words):
        return np.ones(len(words), dtype=np.bool_)
    limit = np.partition(words, count)[count]
    mask: Mask = words < limit
    mask[np.flatnonzero(words == limit)[: count - int(mask.sum())]] = True
    return mask


def row_sample(n: int, fraction: float, *, seed: int, tree: int, output: int = 0) -> Mask:
    """Rows that one tree trains on, without replacement.

    Args:
        n: rows to draw from, at least 1.
        fraction: share of them, above 0, at most 1.
        seed, tree, output: of `random_words`.

    Returns:
        (n,) bool with exactly round(n · fraction) rows, at least one.

    Raises:
        ConfigError: fraction out of range.
    """
    return _sample(n, fraction, seed=seed, purpose="rows", tree=tree, output=output)


def column_sample(
    n_features: int, fraction: float, *, seed: int, tree: int, output: int = 0, party: str = "", level: int = 0
) -> Mask:
    """Features that one tree may split on.

    Args:
        n_features: features to draw from; there may be none.
        fraction: share of them, above 0, at most 1.
        seed, tree, output: of `random_words`.
        party: whose features; parties with equally many draw different ones.
        level: where each level draws anew.

    Returns:
        (n_features,) bool with exactly round(n_features · fraction) features, at least one if there are any.

    Raises:
        ConfigError: fraction out of range.
    """
    return _sample(n_features, fraction, seed=seed, purpose=f"columns/{level}/{party}", tree=tree, output=output)


def _sample(n: int, fraction: float, *, seed: int, purpose: str, tree: int, output: int) -> Mask:
    if not 0 < fraction <= 1:
        raise ConfigError(f"a sampled fraction is {fraction}, expected above 0, at most 1")
    if n == 0 or fraction == 1:
        return np.ones(n, dtype=np.bool_)
    return _lowest(random_words(n, seed=seed, purpose=purpose, tree=tree, output=output), drawn_count(n, fraction))


def goss(
    magnitudes: NDArray[np.float64], top: float, other: float, *, seed: int, tree: int, output: int = 0
) -> tuple[Mask, NDArray[np.float64]]:
    """Gradient-based one-side sampling: all rows with large gradients, and some of the rest, amplified.

    Source: Ke et al., "LightGBM: a highly efficient gradient boosting decision tree", NIPS 2017, algorithm 2. The
    factor is the paper's (1 − top) / other on whole rows: (rows − top rows) / other rows, as LightGBM computes it, so
    that sums stay unbiased where the fractions do not divide the rows.

    The mask follows the gradients, hence the labels: it must not leave the label holder.

    Args:
        magnitudes: (n,) |gradient| of each row, or a sum of them over outputs; finite, at least 0; n at least 1.
        top: share of rows kept for their size, of all rows; above 0.
        other: share of rows drawn from the rest, of all rows; above 0. Together at most 1.
        seed, tree, output: of `random_words`.

    Returns:
        Mask (n,) of the rows that train, and (n,) float64 factor on gradients and hessians: 1 for top rows, above or
        equal to 1 for drawn ones, 0 for the rest. Equal magnitudes are told apart by random words, not by place.

    Raises:
        ConfigError: shares out of range.
        TrainingError: a magnitude is negative or not finite.
    """
    if not (top > 0 and other > 0 and top + other <= 1):
        raise ConfigError(f"GOSS shares are top {top} and other {other}, expected above 0 and at most 1 together")
    n = len(magnitudes)
    if not (np.isfinite(magnitudes).all() and (magnitudes >= 0).all()):
        raise TrainingError("GOSS needs finite magnitudes of at least 0")
    top_count = drawn_count(n, top)
    words = random_words(n, seed=seed, purpose="goss/top", tree=tree, output=output)
    limit = np.partition(magnitudes, n - top_count)[n - top_count]
    largest: Mask = magnitudes > limit
    tied = np.flatnonzero(magnitudes == limit)
    largest[tied[_lowest(words[tied], top_count - int(largest.sum()))]] = True

    rest = np.flatnonzero(~largest)
    multiplier = largest.astype(np.float64)
    if len(rest):
        other_count = min(len(rest), drawn_count(n, other))
        words = random_words(n, seed=seed, purpose="goss/other", tree=tree, output=output)
        drawn = rest[_lowest(words[rest], other_count)]
        multiplier[drawn] = len(rest) / other_count
    return multiplier > 0, multiplier


def order_secret(bins: NDArray[np.uint8], seed: int) -> bytes:
    """What a passive party alone knows and finds again in every run: a digest of its own binned rows.

    Drawn at random it would make ties between features, and so the model, differ from run to run. Whoever can guess
    the whole table can tell the order (docs/adr/0011-turns-and-feature-order.md).

    Args:
        bins: shape (aligned rows, features), the party's own.
        seed: the job's.

    Returns:
        32 bytes; secret to the party.
    """
    rows, features = bins.shape
    digest = hashlib.sha256(b"fedchain/feature-order" + struct.pack("<QQQ", seed, rows, features))
    digest.update(np.ascontiguousarray(bins.T).data)
    return digest.digest()


def feature_order(features: int, *, secret: bytes, tree: int, output: int = 0) -> NDArray[np.int64]:
    """In which order a passive party shows its features in one tree.

    Args:
        features: how many.
        secret: `order_secret`.
        tree, output: as for `random_words`.

    Returns:
        Shape (features,), int64: the feature at each position.
    """
    key = hashlib.sha256(b"fedchain/feature-order/tree" + secret + struct.pack("<II", tree, output)).digest()
    words = np.random.Philox(key=int.from_bytes(key[:16], "little")).random_raw(features)
    return np.argsort(words, kind="stable").astype(np.int64)
