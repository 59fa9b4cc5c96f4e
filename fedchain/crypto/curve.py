"""secp256k1: its constants, and the loops over libsecp256k1 (`pairs` has those that add two groups at once).

The functions here take and return plain numpy arrays of `secp256k1_pubkey` structs (64 bytes each), so that an
executor can send them anywhere. They trust their input: **a zeroed struct aborts the process**, and an index out of
range reads foreign memory. `points.PointArray` is the guard.

cffi lets go of the interpreter lock during every call, so calls of some microseconds scale over threads.

Side channels: `multiply` and `sum_groups` take time that depends on their inputs (so does the library's own
`tweak_mul`). A neighbour on the same machine is outside the threat model.

Source: SEC 2 v2.0 (2010) section 2.4.1 for the curve, SEC 1 v2.0 (2009) section 2.3.3 for the encodings,
bitcoin-core/secp256k1 `include/secp256k1.h` through coincurve's cffi module.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import repeat
from typing import Any

import numpy as np
import numpy.typing as npt
from coincurve._libsecp256k1 import ffi, lib
from coincurve.context import GLOBAL_CONTEXT

Bytes2D = npt.NDArray[np.uint8]
Int64s = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
AnyArray = npt.NDArray[Any]

FIELD = 2**256 - 2**32 - 977
"""The prime p of the field."""

ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
"""The prime order n of the group."""

GENERATOR = bytes.fromhex(
    "0479be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798"
    "483ada7726a3c4655da4fbfc0e1108a8fd17b448a68554199c47d08ffb10d4b8"
)
"""The base point G, uncompressed SEC1."""

STRUCT_BYTES = 64
UNCOMPRESSED_BYTES = 65
COMPRESSED_BYTES = 33

CONTEXT = GLOBAL_CONTEXT.ctx
"""The library's context, made and blinded by coincurve."""

if ffi.sizeof("void *") != 8 or ffi.sizeof("secp256k1_pubkey") != STRUCT_BYTES:
    raise ImportError("fedchain's crypto needs a 64-bit machine and libsecp256k1 structs of 64 bytes")


def random_scalar() -> int:
    """A secret in [1, n-1], uniform, from the operating system."""
    return secrets.randbelow(ORDER - 1) + 1


def random_scalars(count: int) -> list[int]:
    """`count` independent secrets in [1, n-1], uniform, from the operating system (zero and >= n are drawn again)."""
    raw = secrets.token_bytes(32 * count)
    scalars = [int.from_bytes(raw[i : i + 32], "big") for i in range(0, 32 * count, 32)]
    return [k if 0 < k < ORDER else random_scalar() for k in scalars]


def _pubkeys(array: Bytes2D) -> Any:
    return ffi.cast("secp256k1_pubkey *", array.ctypes.data)


def try_parse(encoded: Bytes2D) -> tuple[Bytes2D, Bools]:
    """Parse SEC1 points, each checked to be on the curve.

    Args:
        encoded: (n, 33) or (n, 65) uint8.

    Returns:
        (n, 64) structs and (n,) bool, which encodings are points (the structs of the others are zeroed).
    """
    encoded = np.ascontiguousarray(encoded)
    count, size = encoded.shape
    structs = np.zeros((count, STRUCT_BYTES), np.uint8)
    calls = map(
        lib.secp256k1_ec_pubkey_parse,
        repeat(CONTEXT),
        pointers(structs, count),
        pointers(encoded, count),
        repeat(size, count),
    )
    valid: Bools = np.fromiter(calls, np.int64, count) == 1
    structs[~valid] = 0
    return structs, valid


def decode_ellswift(encoded: Bytes2D) -> Bytes2D:
    """The points that ElligatorSwift encodings stand for; every 64 bytes are one.

    Args:
        encoded: (n, 64) uint8.

    Returns:
        (n, 64) structs.

    Source: BIP 324, `secp256k1_ellswift_decode`.
    """
    encoded = np.ascontiguousarray(encoded)
    count = len(encoded)
    structs = np.zeros((count, STRUCT_BYTES), np.uint8)
    calls = map(lib.secp256k1_ellswift_decode, repeat(CONTEXT), pointers(structs, count), pointers(encoded, count))
    if not (np.fromiter(calls, np.int64, count) == 1).all():
        raise ValueError("libsecp256k1 refused an ElligatorSwift encoding, all of which are valid")
    return structs


def serialize(structs: Bytes2D, compressed: bool) -> Bytes2D:
    """Serialise by the library, point by point: for machines whose struct layout is not the usual one.

    Returns:
        (n, 33) or (n, 65) uint8 SEC1.
    """
    structs = np.ascontiguousarray(structs)
    size = COMPRESSED_BYTES if compressed else UNCOMPRESSED_BYTES
    flag = lib.SECP256K1_EC_COMPRESSED if compressed else lib.SECP256K1_EC_UNCOMPRESSED
    encoded = np.zeros((len(structs), size), np.uint8)
    out, source, length = ffi.cast("unsigned char *", encoded.ctypes.data), _pubkeys(structs), ffi.new("size_t *")
    for i in range(len(structs)):
        length[0] = size
        lib.secp256k1_ec_pubkey_serialize(CONTEXT, out + i * size, length, source + i, flag)
    return encoded


@lru_cache(maxsize=1)
def layout_is_little_endian() -> bool:
    """Whether a struct is x then y, 32 little-endian bytes each; asked of the library once, on G."""
    structs, valid = try_parse(np.frombuffer(GENERATOR, np.uint8).reshape(1, UNCOMPRESSED_BYTES))
    x, y = GENERATOR[1:33], GENERATOR[33:]
    return bool(valid.all()) and structs.tobytes() == x[::-1] + y[::-1]


def multiply(scalar: int, structs: Bytes2D) -> Bytes2D:
    """Copies of the points, each multiplied by one scalar in [1, n-1]; never infinity, the order being prime.

    Raises:
        ValueError: the scalar is out of range.
    """
    if not 0 < scalar < ORDER:
        raise ValueError("a scalar must be in [1, n-1]")
    result = np.array(structs, np.uint8, order="C", copy=True)
    out, tweak, call = _pubkeys(result), scalar.to_bytes(32, "big"), lib.secp256k1_ec_pubkey_tweak_mul
    for i in range(len(result)):
        if call(CONTEXT, out + i, tweak) != 1:
            raise ValueError("libsecp256k1 refused a multiplication of a point")
    return result


def sum_groups(sources: list[Bytes2D], members: Int64s, offsets: Int64s) -> tuple[Bytes2D, Bools]:
    """Sums of groups of points: one library call per group, over an array of addresses.

    Args:
        sources: struct arrays (n_s, 64), numbered through as if concatenated.
        members: (m,) positions in that numbering, each in range.
        offsets: (k + 1,) ascending; group i is ``members[offsets[i]:offsets[i+1]]``, possibly empty.

    Returns:
        (k, 64) structs and (k,) bool, true where the sum is infinity (its struct is then zeroed).
    """
    groups = len(offsets) - 1
    structs, infinity = np.zeros((groups, STRUCT_BYTES), np.uint8), np.ones(groups, np.bool_)
    sources = [np.ascontiguousarray(source) for source in sources]
    present = np.flatnonzero(offsets[1:] > offsets[:-1])  # the library aborts on a sum of nothing
    outputs = pointers(structs, groups)
    if len(present) < groups:
        outputs = [outputs[i] for i in present.tolist()]
        offsets = np.append(offsets[present], offsets[-1])
    infinity[present] = call_each(lib.secp256k1_ec_pubkey_combine, outputs, sources, members, offsets) != 1
    structs[infinity] = 0
    return structs, infinity


def call_each(
    call: Callable[..., int], outputs: list[Any], sources: Sequence[AnyArray], members: Int64s, offsets: Int64s
) -> Int64s:
    """``call(context, output, addresses of the group's members, their number)`` for every group, none empty.

    Returns:
        (k,) int64, what the library answered.

    The loop is `map` over lists of C pointers, which costs half of what Python bytecode does.
    """
    first = int(offsets[0])
    where = addresses(sources, members[first : int(offsets[-1])])
    starts = offsets[:-1] - first
    inputs = pointers(np.uint64(where.ctypes.data) + starts.astype(np.uint64) * np.uint64(8), len(starts), given=True)
    answers = map(call, repeat(CONTEXT), outputs, inputs, np.diff(offsets).tolist())
    return np.fromiter(answers, np.int64, len(starts))


def pointers(array: AnyArray, count: int, stride: int = 1, *, given: bool = False) -> list[Any]:
    """C pointers to every `stride`-th item of a contiguous array; to the addresses in it if `given`.

    The array must outlive the list. Pointers are untyped, which C's rules allow to stand for any other.
    """
    if not given:
        step = np.uint64(array.strides[0] * stride)
        array = np.uint64(array.ctypes.data) + np.arange(count, dtype=np.uint64) * step
    unpacked: list[Any] = ffi.unpack(ffi.cast("void **", array.ctypes.data), count)
    return unpacked


def addresses(sources: Sequence[AnyArray], members: Int64s) -> npt.NDArray[np.uint64]:
    """(m,) machine addresses of the members, items of one size; arithmetic modulo 2^64 on purpose."""
    size = sources[0].strides[0]
    result = members.astype(np.uint64)
    result *= np.uint64(size)
    first = 0
    bases = []
    for source in sources:
        bases.append((source.ctypes.data - first * size) % 2**64)
        first += len(source)
    if len(bases) == 1:
        result += np.uint64(bases[0])
        return result
    if len(bases) == 2:
        which = (members >= len(sources[0])).astype(np.intp)
    else:
        which = np.searchsorted(np.cumsum([len(source) for source in sources[:-1]]), members, side="right")
    result += np.array(bases, np.uint64)[which]
    return result


def zeroed(structs: Bytes2D) -> Bools:
    """(n,) bool: which structs of a contiguous (n, 64) array are zeroed (x = 0 is on no point of the curve)."""
    words = structs.view(np.uint64)
    result: Bools = (words[:, 0] | words[:, 1] | words[:, 2] | words[:, 3]) == 0
    return result
