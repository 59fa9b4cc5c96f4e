from __future__ import annotations

import subprocess
import sys

import coincurve
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedchain.compute.executor import Executor
from fedchain.crypto import curve, points
from fedchain.crypto.curve import ORDER
from fedchain.crypto.points import PointArray, concat, generator, sum_groups
from fedchain.crypto.tables import generator_table
from fedchain.errors import InvalidPointError


def _multiples(*scalars: int) -> PointArray:
    return generator_table().multiply_base(scalars)


def _coincurve(scalar: int, *, compressed: bool = False) -> bytes:
    key = coincurve.PrivateKey((scalar % ORDER).to_bytes(32, "big"))
    return bytes(key.public_key.format(compressed))


def test_a_struct_is_little_endian_x_then_y() -> None:
    """The guard of the pinned library's layout: if this fails, to_sec1 falls back to the library, and is slower."""
    key = coincurve.PrivateKey((12345).to_bytes(32, "big")).public_key
    raw = bytes(coincurve._libsecp256k1.ffi.buffer(key.public_key, 64))
    encoded = key.format(False)
    assert raw == encoded[32:0:-1] + encoded[:32:-1]
    assert curve.layout_is_little_endian()


def test_published_multiples_of_g() -> None:
    """x of 3·G and of another key: BIP-340 test vectors 0 and 1; 2·G as in SEC 2 implementations."""
    second_key = 0xB7E151628AED2A6ABF7158809CF4F3C762E7160F38B4DA56A784D9045190CFEF
    expected = [
        "c6047f9441ed7d6d3045406e95c07cd85c778e4b8cef3ca7abac09b95c709ee5",
        "f9308a019258c31049344f85f89d5229b531c845836f99b08601f113bce036f9",
        "dff1d77f2a671c5f36183726db2341be58feae1da2deced843240f7b502ba659",
    ]
    encoded = _multiples(2, 3, second_key).to_sec1(compressed=True)
    assert [encoded[i * 33 + 1 : i * 33 + 33].hex() for i in range(3)] == expected


@pytest.mark.parametrize("compressed", [False, True])
@settings(max_examples=20, deadline=None)
@given(scalars=st.lists(st.integers(1, ORDER - 1), min_size=1, max_size=5))
def test_serialising_agrees_with_coincurve_and_parses_back(compressed: bool, scalars: list[int]) -> None:
    array = _multiples(*scalars)
    encoded = array.to_sec1(compressed=compressed)
    assert encoded == b"".join(_coincurve(k, compressed=compressed) for k in scalars)
    again = PointArray.from_sec1(encoded, len(scalars), "peer", compressed=compressed)
    assert again.equals(array).all()


@pytest.mark.parametrize("compressed", [False, True])
def test_the_library_serialises_the_same_bytes_as_the_fast_path(
    compressed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    array = _multiples(5, 6, 7)
    fast = array.to_sec1(compressed=compressed), array.x_words().tolist(), array.odd_y().tolist()
    monkeypatch.setattr(curve, "layout_is_little_endian", lambda: False)
    assert (array.to_sec1(compressed=compressed), array.x_words().tolist(), array.odd_y().tolist()) == fast


def test_many_points_parse_across_chunks() -> None:
    array = _multiples(*range(1, 700))
    assert PointArray.from_sec1(array.to_sec1(compressed=True), 699, "p", compressed=True).equals(array).all()


@pytest.mark.parametrize("compressed", [False, True])
def test_an_off_curve_point_is_refused_with_culprit_and_index(compressed: bool) -> None:
    size = 33 if compressed else 65
    encoded = bytearray(_multiples(*range(1, 401)).to_sec1(compressed=compressed))
    encoded[300 * size + 1 : 300 * size + 33] = (5).to_bytes(32, "big")  # x = 5 is not on the curve
    with pytest.raises(InvalidPointError, match=r"mallory: point 300 of 400"):
        PointArray.from_sec1(bytes(encoded), 400, "mallory", compressed=compressed)


def test_x_at_or_above_the_field_prime_is_refused() -> None:
    """x = 1 is on the curve, and 1 + p still fits 32 bytes: a second encoding of the same point."""
    valid = PointArray.from_sec1(b"\x02" + (1).to_bytes(32, "big"), 1, "p", compressed=True)
    assert len(valid) == 1
    with pytest.raises(InvalidPointError, match="not on secp256k1"):
        PointArray.from_sec1(b"\x02" + (1 + curve.FIELD).to_bytes(32, "big"), 1, "p", compressed=True)


@pytest.mark.parametrize("prefix", [0, 2, 5, 6, 7])
def test_only_the_uncompressed_prefix_is_taken(prefix: int) -> None:
    encoded = bytes([prefix]) + _coincurve(9)[1:]
    with pytest.raises(InvalidPointError, match="peer: point 0 of 1 has SEC1 prefix"):
        PointArray.from_sec1(encoded, 1, "peer")


@pytest.mark.parametrize("length", [0, 64, 66, 130])
def test_a_wrong_length_is_refused(length: int) -> None:
    with pytest.raises(InvalidPointError, match=f"peer: 1 points have 65 bytes, found {length}"):
        PointArray.from_sec1((_coincurve(3) * 2)[:length], 1, "peer")


@given(st.binary(max_size=140), st.integers(-1, 3), st.booleans())
def test_arbitrary_bytes_never_become_points_by_accident(data: bytes, count: int, compressed: bool) -> None:
    try:
        array = PointArray.from_sec1(data, count, "peer", compressed=compressed)
    except InvalidPointError:
        return
    assert array.to_sec1(compressed=compressed) == data


def test_a_zeroed_struct_raises_instead_of_aborting_the_process() -> None:
    structs = np.array(_multiples(1, 2, 3).structs)
    structs[1] = 0
    with pytest.raises(InvalidPointError, match="struct 1 is zeroed"):
        PointArray(structs)


def test_the_library_does_abort_on_a_zeroed_struct() -> None:
    """Why the guards exist; run in a process of its own."""
    code = (
        "import numpy as np; from fedchain.crypto import curve;"
        "curve.sum_groups([np.zeros((1, 64), np.uint8)], np.array([0]), np.array([0, 1]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert done.returncode < 0


def test_cancelling_sums_are_infinity_and_go_no_further() -> None:
    total = _multiples(4, 7).add(_multiples(ORDER - 4, 1))
    assert total.infinity.tolist() == [True, False]
    for operation in (
        lambda: total.multiply(3),
        lambda: total.to_sec1(),
        lambda: total.add(_multiples(1, 2)),
        lambda: sum_groups([total], np.array([1]), np.array([0, 1])),
    ):
        with pytest.raises(InvalidPointError, match="point 0 of 2 is infinity"):
            operation()
    assert total[1:].equals(_multiples(8)).all()
    assert concat([total, total]).infinity.tolist() == [True, False, True, False]


def test_infinity_cannot_be_claimed_for_a_real_point() -> None:
    with pytest.raises(InvalidPointError, match="or the reverse"):
        PointArray(_multiples(1).structs, np.array([True]))


def test_structs_cannot_be_overwritten() -> None:
    with pytest.raises(ValueError, match="read-only"):
        _multiples(1, 2).structs[0] = 0


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.lists(st.integers(0, 9), max_size=6), min_size=1, max_size=6),
    st.lists(st.integers(-3, 3).filter(bool), min_size=10, max_size=10),
)
def test_group_sums_equal_sums_of_scalars(groups: list[list[int]], scalars: list[int]) -> None:
    sources = [_multiples(*scalars[:4]), _multiples(*scalars[4:5]), _multiples(*scalars[5:])]
    members = np.array([m for group in groups for m in group], np.int64)
    offsets = np.cumsum([0] + [len(group) for group in groups])
    found = sum_groups(sources, members, offsets)
    assert found.equals(_multiples(*[sum(scalars[m] for m in group) for group in groups])).all()


def test_group_sums_are_the_same_in_many_chunks_and_serially(monkeypatch: pytest.MonkeyPatch) -> None:
    array = _multiples(*range(1, 101))
    members, offsets = np.arange(100), np.arange(0, 101, 5)
    whole = sum_groups([array], members, offsets, Executor(1))
    monkeypatch.setattr(points, "SUM_CHUNK_MEMBERS", 12)
    assert sum_groups([array], members, offsets, Executor(2)).equals(whole).all()


@pytest.mark.parametrize(
    ("members", "offsets"),
    [([3], [0, 1]), ([-1], [0, 1]), ([0], [0, 2]), ([0, 1], [0, 2, 1, 2]), ([0, 1], [1, 2]), ([], [])],
)
def test_groups_that_would_read_foreign_memory_are_refused(members: list[int], offsets: list[int]) -> None:
    with pytest.raises(InvalidPointError, match="group"):
        sum_groups([_multiples(1, 2, 3)], np.array(members, np.int64), np.array(offsets, np.int64))


def test_multiplying_copies_and_agrees_with_coincurve() -> None:
    array = _multiples(*range(1, 1100))
    before = array.structs.copy()
    product = array.multiply(2**200 + 1)
    assert (array.structs == before).all()
    assert product.equals(_multiples(*[k * (2**200 + 1) for k in range(1, 1100)])).all()
    assert product[:1].to_sec1() == _coincurve(2**200 + 1)


@pytest.mark.parametrize("scalar", [0, -1, ORDER])
def test_a_scalar_out_of_range_is_refused(scalar: int) -> None:
    with pytest.raises(ValueError, match="scalar"):
        generator().multiply(scalar)


def test_bulk_work_is_the_same_in_worker_processes() -> None:
    array = _multiples(*range(1, 1100))
    assert array.multiply(77, Executor(2, "loky")).equals(array.multiply(77)).all()


def test_empty_arrays_are_fine_everywhere() -> None:
    empty = PointArray.from_sec1(b"", 0, "peer")
    assert len(empty) == len(empty.multiply(5)) == len(concat([])) == len(empty.add(empty)) == 0
    assert empty.to_sec1() == b""
