"""Encrypted histograms: sums of ciphertexts for every (node, feature, bin), re-randomised.

Every sum begins with a fresh encryption of zero. So an empty bin is one, and no sum shows which rows, or how many, it
holds to whoever knows the rows' ciphertexts and not the key.

Components are summed two at a time (`pairs`), an odd last one alone. Rows are sorted once per feature, for all nodes
of a level together, and summed in chunks, each of which begins with the sums so far: memory stays bounded.

Source: Cheng et al., "SecureBoost" arXiv:1901.08755 for histograms of encrypted gradients.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from functools import partial

import numpy as np
import numpy.typing as npt

from fedchain.compute.executor import Executor, default_executor
from fedchain.compute.pool import Block
from fedchain.crypto import curve, pairs
from fedchain.crypto.ciphertexts import CipherRows, CipherSums, Integers, checked_columns
from fedchain.crypto.counts import ADDED
from fedchain.crypto.curve import Bytes2D, Int64s
from fedchain.crypto.keys import PublicKey
from fedchain.crypto.masks import ZeroPool, fresh, zero_maker
from fedchain.crypto.pairs import Pairs
from fedchain.crypto.points import PointArray
from fedchain.errors import CryptoError, InvalidPointError

CHUNK_ROWS = 1 << 18
CHUNK_MEMBERS = 1 << 22
MIN_CHUNK_ROWS = 1 << 14
TASK_MEMBERS = 1 << 14
MIN_TASK_MEMBERS = 1 << 11

SortTask = tuple[Integers, Int64s, int]
SumTask = tuple[npt.NDArray[np.uint32], Int64s, Block]


def histogram(
    cipher_rows: CipherRows,
    row_index: Integers,
    bin_matrix: Integers,
    n_bins: Sequence[int],
    public_key: PublicKey,
    executor: Executor | None = None,
    zeros: ZeroPool | None = None,
    columns: Sequence[int] | None = None,
) -> CipherSums:
    """Encrypted sums of one node's rows for every (feature, bin): `histograms` of a single node.

    Returns:
        ``sum(n_bins)`` ciphertexts, feature by feature, bin by bin.
    """
    return histograms(cipher_rows, [row_index], bin_matrix, n_bins, public_key, executor, zeros, columns)


def histograms(
    cipher_rows: CipherRows,
    nodes: Sequence[Integers],
    bin_matrix: Integers,
    n_bins: Sequence[int],
    public_key: PublicKey,
    executor: Executor | None = None,
    zeros: ZeroPool | None = None,
    columns: Sequence[int] | None = None,
) -> CipherSums:
    """Encrypted sums of several nodes' rows for every (feature, bin), re-randomised.

    Two columns cost 0.75 µs per row, feature and core, and 20 µs per sum, 5 with zeros in stock.

    Args:
        cipher_rows: n ciphertexts.
        nodes: for each node, (k,) positions of its rows in ``range(n)``.
        bin_matrix: (n, f) bins of all rows; ``0 <= bin_matrix[:, j] < n_bins[j]``.
        n_bins: f numbers of bins, each at least 1.
        public_key: the key of `cipher_rows`.
        executor: where the work runs.
        zeros: a pool of this key, used as far as it goes; it pauses meanwhile.
        columns: which plaintext columns to sum, in this order; None for all.

    Returns:
        ``len(nodes) * sum(n_bins)`` ciphertexts, node by node, feature by feature, bin by bin.

    Raises:
        CryptoError: shapes, rows, bins or columns out of range, or a key or pool of another key.
    """
    bin_matrix, rows = np.asarray(bin_matrix), [np.asarray(node) for node in nodes]
    _check(cipher_rows, rows, bin_matrix, n_bins, public_key, zeros)
    chosen = checked_columns(columns, public_key.columns)
    executor = executor or default_executor()
    total = len(rows) * sum(n_bins)
    flat = np.concatenate([np.zeros(0, np.int64), *(node.astype(np.int64) for node in rows)])
    labels = np.repeat(np.arange(len(rows)), [len(node) for node in rows])
    components = [cipher_rows.c1.structs, *(cipher_rows.c2[j].structs for j in chosen)]
    with zeros.paused() if zeros is not None else nullcontext():
        sums = _zeros(public_key, chosen, total, zeros, executor)
        step = max(MIN_CHUNK_ROWS, min(CHUNK_ROWS, CHUNK_MEMBERS // len(n_bins)))
        for start in range(0, len(flat), step):
            cut = slice(start, start + step)
            _add_rows(sums, components, flat[cut], labels[cut], bin_matrix, n_bins, len(rows), executor)
    ADDED.add(len(flat) * len(n_bins) * len(chosen))
    order = _node_by_node(n_bins, len(rows))
    columns_ = [PointArray(component[order]) for component in sums]
    return CipherSums(columns_[0], tuple(columns_[1:]))


def _check(
    cipher_rows: CipherRows,
    nodes: Sequence[Integers],
    bin_matrix: Integers,
    n_bins: Sequence[int],
    public_key: PublicKey,
    zeros: ZeroPool | None,
) -> None:
    if cipher_rows.columns != public_key.columns:
        raise CryptoError(f"ciphertexts have {cipher_rows.columns} columns, the key has {public_key.columns}")
    if zeros is not None and zeros.public_key.to_bytes() != public_key.to_bytes():
        raise CryptoError("the pool of zeros is of another key")
    if bin_matrix.ndim != 2 or bin_matrix.shape != (len(cipher_rows), len(n_bins)) or len(n_bins) < 1:
        raise CryptoError(f"bins have shape {bin_matrix.shape}, expected {(len(cipher_rows), len(n_bins))}")
    for rows in nodes:
        if rows.ndim != 1 or (len(rows) and not 0 <= rows.min() <= rows.max() < len(cipher_rows)):
            raise CryptoError(f"row positions must lie within the {len(cipher_rows)} ciphertexts")
    if min(n_bins) < 1:
        raise CryptoError("every feature needs at least one bin")


def _zeros(
    public_key: PublicKey, chosen: tuple[int, ...], total: int, zeros: ZeroPool | None, executor: Executor
) -> list[Bytes2D]:
    """1 + c arrays (total, 64) that hold fresh encryptions of zero."""
    if zeros is None:
        public_key.tables(executor)
        return list(fresh(zero_maker(public_key, chosen), total, executor))
    block = zeros.take(total, executor)
    return [block[0], *(block[1 + j] for j in chosen)]


def _add_rows(
    sums: list[Bytes2D],
    components: list[Bytes2D],
    rows: Int64s,
    labels: Int64s,
    bin_matrix: Integers,
    n_bins: Sequence[int],
    nodes: int,
    executor: Executor,
) -> None:
    """Add a chunk of rows to `sums`, in place; sums are in order of feature, node, bin."""
    sort_tasks = [(bin_matrix[:, j][rows], labels, count) for j, count in enumerate(n_bins)]
    results = executor.map(partial(_sort, nodes), sort_tasks)
    for j, (order, _) in enumerate(results):
        if order is None:
            raise CryptoError(f"feature {j} has a bin outside 0 … {n_bins[j] - 1}")
    members = np.concatenate([order for order, _ in results if order is not None])
    counts = np.concatenate([counts for _, counts in results])
    present = np.flatnonzero(counts)
    sizes, ends = counts[present], np.cumsum(counts[present])
    target = min(TASK_MEMBERS, max(MIN_TASK_MEMBERS, len(members) // (8 * executor.n_jobs)))
    cuts = np.unique(np.searchsorted(ends, np.arange(target, len(members), target)))
    bounds = np.unique(np.concatenate([[0], cuts + 1, [len(present)]]))
    tasks: list[SumTask] = []
    for low, high in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True):
        first = int(ends[low] - sizes[low])
        so_far = tuple(component[present[low:high]] for component in sums)
        tasks.append((members[first : int(ends[high - 1])], sizes[low:high], so_far))
    joined = [pairs.gather(components[i], components[i + 1], rows) for i in range(0, len(components) - 1, 2)]
    alone = components[-1][rows] if len(components) % 2 else None
    done = executor.map(partial(_sum, joined, alone), tasks)
    for i, component in enumerate(sums):
        component[present] = np.concatenate([part[i] for part in done])


def _sort(nodes: int, task: SortTask) -> tuple[npt.NDArray[np.uint32] | None, Int64s]:
    """The chunk's rows in order of (node, bin) and how many there are of each; None if a bin is out of range."""
    bins, labels, count = task
    if bins.min() < 0 or bins.max() >= count:
        return None, np.zeros(0, np.int64)
    keys = labels * count + bins
    counts: Int64s = np.bincount(keys, minlength=nodes * count).astype(np.int64)
    if nodes * count <= 1 << 16:
        keys = keys.astype(np.uint16)  # numpy sorts these by radix
    return np.argsort(keys, kind="stable").astype(np.uint32), counts


def _sum(joined: list[Pairs], alone: Bytes2D | None, task: SumTask) -> list[Bytes2D]:
    """Groups of rows, each with the sum so far: all components of the new sums."""
    rows, sizes, so_far = task
    groups, count = len(sizes), len(rows)
    offsets = np.zeros(groups + 1, np.int64)
    offsets[1:] = np.cumsum(sizes + 1)
    members = np.empty(offsets[-1], np.int64)
    members[np.arange(count) + np.repeat(np.arange(groups), sizes)] = np.arange(count)
    members[offsets[1:] - 1] = count + np.arange(groups)
    result = []
    for i, source in enumerate(joined):
        extra = pairs.make(so_far[2 * i], so_far[2 * i + 1])
        first, second, *infinity = pairs.sum_groups([pairs.borrow(source, rows), extra], members, offsets)
        _require_finite(*infinity)
        result += [first, second]
    if alone is not None:
        last, none = curve.sum_groups([pairs.borrow(alone, rows), so_far[-1]], members, offsets)
        _require_finite(none)
        result.append(last)
    return result


def _node_by_node(n_bins: Sequence[int], nodes: int) -> npt.NDArray[np.intp]:
    """From the order of (feature, node, bin) to that of (node, feature, bin)."""
    starts = np.cumsum([0, *n_bins])
    places = [
        nodes * starts[j] + count * np.arange(nodes)[:, None] + np.arange(count) for j, count in enumerate(n_bins)
    ]
    return np.concatenate(places, axis=1).reshape(-1)


def _require_finite(*masks: npt.NDArray[np.bool_]) -> None:
    if any(mask.any() for mask in masks):
        raise InvalidPointError("a masked sum is infinity")  # probability 2^-250
