"""secp256k1: its constants, and the only loops over libsecp256k1.

The functions here take and return plain numpy arrays of `secp256k1_pubkey` structs (64 bytes each), so that an
executor can send them anywhere. They trust their input: **a zeroed struct aborts the process**, and an index out of
range reads foreign memory. `points.PointArray` is the guard; nothing else calls these.

cffi lets go of the interpreter lock during every call, so calls of some microseconds scale over threads.

Side channels: `multiply` and `sum_groups` take time that depends on their inputs (so does the library's own
`tweak_mul`). A neighbour on the same machine is outside the threat model.

Source: SEC 2 v2.0 (2010) section 2.4.1 for the curve, SEC 1 v2.0 (2009) section 2.3.3 for the encodings,
bitcoin-core/secp256k1 `include/secp256k1.h` through coincurve's cffi module.
"""

from __future__ import annotations

import secrets
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
from coincurve._libsecp256k1 import ffi, lib
from coincurve.context import GLOBAL_CONTEXT

Bytes2D = npt.NDArray[np.uint8]
Int64s = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

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

_CONTEXT = GLOBAL_CONTEXT.ctx

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
    structs, valid = np.zeros((count, STRUCT_BYTES), np.uint8), np.ones(count, np.bool_)
    out, source = _pubkeys(structs), ffi.cast("unsigned char *", encoded.ctypes.data)
    call = lib.secp256k1_ec_pubkey_parse
    for i in range(count):
        if call(_CONTEXT, out + i, source + i * size, size) != 1:
            valid[i] = False
    structs[~valid] = 0
    return structs, valid


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
        lib.secp256k1_ec_pubkey_serialize(_CONTEXT, out + i * size, length, source + i, flag)
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
        if call(_CONTEXT, out + i, tweak) != 1:
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
    sources = [np.ascontiguousarray(source) for source in sources]
    groups = len(offsets) - 1
    structs, infinity = np.zeros((groups, STRUCT_BYTES), np.uint8), np.zeros(groups, np.bool_)
    addresses = _addresses(sources, members)
    out, call = _pubkeys(structs), lib.secp256k1_ec_pubkey_combine
    pointers = ffi.cast("secp256k1_pubkey **", addresses.ctypes.data)
    bounds = offsets.tolist()
    start = bounds[0]
    for i in range(groups):
        end = bounds[i + 1]
        if end == start or call(_CONTEXT, out + i, pointers + start, end - start) != 1:
            infinity[i] = True
        start = end
    structs[infinity] = 0
    return structs, infinity


def _addresses(sources: list[Bytes2D], members: Int64s) -> npt.NDArray[np.uint64]:
    """(m,) machine addresses of the members' structs; arithmetic modulo 2^64 on purpose."""
    addresses = members.astype(np.uint64)
    addresses *= np.uint64(STRUCT_BYTES)
    first = 0
    bases = []
    for source in sources:
        bases.append((source.ctypes.data - first * STRUCT_BYTES) % 2**64)
        first += len(source)
    if len(bases) == 1:
        addresses += np.uint64(bases[0])
        return addresses
    if len(bases) == 2:
        which = (members >= len(sources[0])).astype(np.intp)
    else:
        which = np.searchsorted(np.cumsum([len(source) for source in sources[:-1]]), members, side="right")
    addresses += np.array(bases, np.uint64)[which]
    return addresses
