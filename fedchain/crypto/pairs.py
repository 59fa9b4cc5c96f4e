"""Bulk point addition in pairs: one library call sums two groups of points at once.

`secp256k1_musig_nonce_agg` is, by its specification, the component-wise sum of pairs of points. It adds in variable
time and shares one inversion between the two results, so a sum costs 0.22 µs per point and 0.6 per result where
`secp256k1_ec_pubkey_combine` costs 0.27 and 2.4. A pair is a `secp256k1_musig_pubnonce`: 4 bytes that mark the type,
then two structs. Whether that holds is asked of the library once, on points whose sums are known; where it does not,
every function here does the same work with `combine`.

As in `curve`, the functions trust their input: **no struct may be zeroed**, and an index out of range reads foreign
memory. Addition in variable time depends on the points only when two partial sums are equal or opposite, which has
probability 2^-250 for masked points.

Source: BIP 327 "MuSig2" (NonceAgg); bitcoin-core/secp256k1 `include/secp256k1_musig.h` through coincurve's cffi module.
"""

from __future__ import annotations

import threading
from functools import lru_cache
from itertools import repeat
from typing import Any

import numpy as np
import numpy.typing as npt
from coincurve._libsecp256k1 import ffi, lib

from fedchain.crypto import curve
from fedchain.crypto.curve import STRUCT_BYTES, Bools, Bytes2D, Int64s

PAIR_BYTES = 132

Pairs = npt.NDArray[np.void]

_PAIR = np.dtype([("mark", "V4"), ("first", f"V{STRUCT_BYTES}"), ("second", f"V{STRUCT_BYTES}")])
_STRUCT = np.dtype(f"V{STRUCT_BYTES}")
_COPY_ROWS = 1 << 14
_KEPT_ITEMS = 1 << 15
_scratch = threading.local()
_GATHER_BYTES = 192 * 1024
"""Pairs gathered before they are summed: few enough to stay in a core's own cache."""


@lru_cache(maxsize=1)
def mark() -> bytes | None:
    """The 4 bytes that begin a pair, or None where the library cannot sum pairs as this module needs it."""
    try:
        call, size = lib.secp256k1_musig_nonce_agg, ffi.sizeof("secp256k1_musig_pubnonce")
        nonce = ffi.new("secp256k1_musig_pubnonce *")
    except (AttributeError, ffi.error):
        return None
    g = curve.GENERATOR
    structs, _ = curve.try_parse(np.frombuffer(g, np.uint8).reshape(1, -1))
    compressed = bytes([2 + (g[64] & 1)]) + g[1:33]
    if size != PAIR_BYTES or lib.secp256k1_musig_pubnonce_parse(curve.CONTEXT, nonce, compressed * 2) != 1:
        return None
    raw = bytes(ffi.buffer(nonce))
    if raw[4:] != structs.tobytes() * 2:
        return None
    # (G + 2G + 2G + G, G + 2G - G - 2G) must be (6G, infinity as zeros)
    points = np.concatenate([curve.multiply(k, structs) for k in (1, 2, curve.ORDER - 1, curve.ORDER - 2)])
    pairs, out = _assemble(raw[:4], points[[0, 1, 1, 0]], points), np.empty(1, _PAIR)
    answers = curve.call_each(call, curve.pointers(out, 1), [pairs], np.arange(4), np.array([0, 4]))
    expected = curve.multiply(6, structs).tobytes() + bytes(STRUCT_BYTES)
    return raw[:4] if answers[0] == 1 and out.tobytes()[4:] == expected else None


def make(first: Bytes2D, second: Bytes2D) -> Pairs:
    """(n,) pairs of two (n, 64) struct arrays; 132 bytes each."""
    return _assemble(mark() or bytes(4), first, second)


def gather(first: Bytes2D, second: Bytes2D, rows: Int64s) -> Pairs:
    """(k,) pairs of the structs at these positions of two (n, 64) arrays."""
    pairs = np.empty(len(rows), _PAIR)
    pairs["mark"] = np.frombuffer(mark() or bytes(4), "V4")
    for start in range(0, len(rows), _COPY_ROWS):
        cut = slice(start, start + _COPY_ROWS)
        pairs["first"][cut], pairs["second"][cut] = _void(first)[rows[cut]], _void(second)[rows[cut]]
    return pairs


def borrow(source: npt.NDArray[Any], rows: npt.NDArray[np.integer]) -> npt.NDArray[Any]:
    """The items at these positions, side by side in a buffer of this thread that its next call overwrites.

    Scattered rows cost a sum 50 % more time than a copy of them costs; a new buffer each time would cost as much.

    Args:
        source: (n,) pairs or (n, 64) structs.
        rows: (k,) positions in range: they are not checked.
    """
    items = source if source.ndim == 1 else _void(source)
    kept = getattr(_scratch, items.dtype.str, None)
    buffer = kept if kept is not None and len(kept) >= len(rows) else np.empty(len(rows), items.dtype)
    if len(rows) <= _KEPT_ITEMS:
        setattr(_scratch, items.dtype.str, buffer)
    found = items.take(rows, out=buffer[: len(rows)], mode="clip")
    return found if source.ndim == 1 else found.view(np.uint8).reshape(len(rows), STRUCT_BYTES)


def add(left: Bytes2D, right: Bytes2D) -> tuple[Bytes2D, Bools]:
    """Sums of (n, 64) structs, one by one; about 1.1 µs each and core.

    Returns:
        (n, 64) structs and (n,) bool, true where the sum is infinity (its struct is then zeroed).
    """
    count, start = len(left), mark()
    if start is None or not count:
        members = np.arange(2 * count).reshape(2, count).T.reshape(-1)
        return curve.sum_groups([left, right], members, np.arange(0, 2 * count + 1, 2))
    if count % 2:
        left, right = (np.concatenate([structs, structs[-1:]]) for structs in (left, right))
    summands = [_assemble(start, structs[0::2], structs[1::2]) for structs in (left, right)]
    pairs = len(summands[0])
    members = np.arange(2 * pairs).reshape(2, pairs).T.reshape(-1)
    first, second, _, _ = sum_groups(summands, members, np.arange(0, 2 * pairs + 1, 2))
    structs = np.stack([first, second], axis=1).reshape(2 * pairs, STRUCT_BYTES)[:count]
    return structs, curve.zeroed(structs)


def sum_rows(sources: list[Bytes2D], members: Int64s) -> tuple[Bytes2D, Bools]:
    """Sums of groups of one size; about 0.26 µs per member and core.

    Args:
        sources: struct arrays (n_s, 64), numbered through as if concatenated.
        members: (k, w) positions in that numbering, each in range, w >= 1.

    Returns:
        (k, 64) structs and (k,) bool, true where the sum is infinity (its struct is then zeroed).
    """
    groups, width = members.shape
    start = mark()
    if start is None or not groups:
        return curve.sum_groups(sources, members.reshape(-1), np.arange(groups + 1) * width)
    half = (groups + 1) // 2
    step = max(1, min(half, _GATHER_BYTES // (PAIR_BYTES * width)))
    scratch, sums = np.empty(step * width, _PAIR), np.empty(half, _PAIR)
    scratch["mark"] = np.frombuffer(start, "V4")
    addresses = curve.addresses([scratch], np.arange(step * width))
    inputs = curve.pointers(addresses, step, stride=width)
    outputs = curve.pointers(sums, half)
    call = lib.secp256k1_musig_nonce_agg
    for begin in range(0, half, step):
        count = min(step, half - begin)
        first, second = members[begin : begin + count], members[half + begin : half + begin + count]
        if len(second) < count:  # an odd number of groups: the last one is summed twice
            second = np.concatenate([second, first[-1:]])
        _gather(scratch["first"][: count * width], sources, first.reshape(-1))
        _gather(scratch["second"][: count * width], sources, second.reshape(-1))
        calls = map(call, repeat(curve.CONTEXT), outputs[begin : begin + count], inputs, repeat(width, count))
        _require(sum(calls), count)
    structs = np.empty((groups, STRUCT_BYTES), np.uint8)
    _void(structs)[:half] = sums["first"]
    _void(structs)[half:] = sums["second"][: groups - half]
    return structs, curve.zeroed(structs)


def sum_groups(sources: list[Pairs], members: Int64s, offsets: Int64s) -> tuple[Bytes2D, Bytes2D, Bools, Bools]:
    """Sums of groups of pairs, one library call per group; about 0.44 µs per member and core.

    Args:
        sources: one or two arrays of `make`, numbered through as if concatenated.
        members: (m,) positions in that numbering, each in range.
        offsets: (k + 1,) ascending; group i is ``members[offsets[i]:offsets[i+1]]``, not empty.

    Returns:
        (k, 64) structs of the first components, the same of the second, and where each is infinity.
    """
    if mark() is None:
        parts = [curve.sum_groups([half(s, name) for s in sources], members, offsets) for name in ("first", "second")]
        return parts[0][0], parts[1][0], parts[0][1], parts[1][1]
    groups = len(offsets) - 1
    sums = np.empty(groups, _PAIR)
    outputs = curve.pointers(sums, groups)
    answers = curve.call_each(lib.secp256k1_musig_nonce_agg, outputs, sources, members, offsets)
    _require(int(answers.sum()), groups)
    first, second = half(sums, "first"), half(sums, "second")
    return first, second, curve.zeroed(first), curve.zeroed(second)


def half(pairs: Pairs, name: str) -> Bytes2D:
    """(n, 64) copies of the structs that are ``first`` or ``second`` in their pairs."""
    return np.ascontiguousarray(pairs[name]).view(np.uint8).reshape(len(pairs), STRUCT_BYTES)


def _assemble(start: bytes, first: Bytes2D, second: Bytes2D) -> Pairs:
    pairs = np.empty(len(first), _PAIR)
    pairs["mark"] = np.frombuffer(start, "V4")
    pairs["first"], pairs["second"] = _void(first), _void(second)
    return pairs


def _gather(target: Pairs, sources: list[Bytes2D], members: Int64s) -> None:
    """Copy the members' structs to `target`."""
    if len(sources) == 1:
        target[:] = _void(borrow(sources[0], members))
        return
    last = 0
    for source in sources:
        inside = (members >= last) & (members < last + len(source))
        target[inside] = _void(source)[members[inside] - last]
        last += len(source)


def _void(structs: Bytes2D) -> npt.NDArray[np.void]:
    """(n,) items of 64 bytes, a view where the array is contiguous: numpy copies them faster than rows of bytes."""
    return np.ascontiguousarray(structs).view(_STRUCT).reshape(len(structs))


def _require(accepted: int, count: int) -> None:
    if accepted != count:
        raise ValueError("libsecp256k1 refused a sum of pairs of points")
