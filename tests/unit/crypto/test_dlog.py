from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fedchain.compute.executor import Executor
from fedchain.crypto.curve import ORDER
from fedchain.crypto.dlog import MAX_BOUND, DlogTable, default_path
from fedchain.crypto.tables import generator_table
from fedchain.errors import CryptoError, DecryptionRangeError

SIZE = 1 << 12


def _solve(table: DlogTable, values: list[int], bound: int) -> list[int]:
    return [int(m) for m in table.solve(generator_table().multiply_base(values), bound)]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(values=st.lists(st.integers(-50_000, 50_000), max_size=20))
def test_every_value_within_the_bound_is_found(dlog: DlogTable, values: list[int]) -> None:
    assert _solve(dlog, values, 50_000) == values


@pytest.mark.parametrize(
    "bound", [0, 1, SIZE - 1, SIZE, SIZE + 1, 2 * SIZE, 2 * SIZE + 1, 3 * SIZE, 3 * SIZE + 1, 20_000]
)
def test_the_range_ends_exactly_at_the_bound(dlog: DlogTable, bound: int) -> None:
    assert _solve(dlog, [bound, -bound, 0], bound) == [bound, -bound, 0]
    for beyond in (bound + 1, -bound - 1):
        with pytest.raises(DecryptionRangeError, match="plaintext 1 of 2"):
            _solve(dlog, [0, beyond], bound)


def test_giant_step_boundaries_on_both_sides(dlog: DlogTable) -> None:
    giant = 2 * SIZE + 1
    values = [sign * (k * giant + d) for k in range(4) for d in (-SIZE, -1, 0, 1, SIZE) for sign in (1, -1)]
    assert _solve(dlog, values, 5 * giant) == values


def test_a_point_far_out_is_an_error(dlog: DlogTable) -> None:
    with pytest.raises(DecryptionRangeError, match="plaintext 0 of 1 is beyond ±100000"):
        _solve(dlog, [ORDER // 2], 100_000)


@pytest.mark.parametrize("bound", [-1, MAX_BOUND + 1])
def test_a_bound_out_of_range_is_refused(dlog: DlogTable, bound: int) -> None:
    with pytest.raises(CryptoError, match="the bound must be"):
        _solve(dlog, [1], bound)


def test_a_lying_table_makes_decryption_fail_rather_than_lie(dlog: DlogTable) -> None:
    forged = DlogTable(dlog._words, np.roll(dlog._codes, 1))
    with pytest.raises(DecryptionRangeError):
        _solve(forged, [17], 1000)


@pytest.mark.parametrize("size", [2, 64, 1024, 2048])
def test_tables_of_every_size_find_all_their_values(size: int) -> None:
    table = DlogTable.build(size, executor=Executor(1))
    values = list(range(-size, size + 1, max(1, size // 64)))
    assert table.size == size
    assert _solve(table, values, size) == values


@pytest.mark.parametrize("size", [0, 1, 1000, 1 << 27])
def test_a_size_out_of_range_is_refused(size: int) -> None:
    with pytest.raises(CryptoError, match="power of two"):
        DlogTable.build(size)


def test_progress_ends_at_the_size() -> None:
    seen: list[tuple[int, int]] = []
    DlogTable.build(SIZE, lambda done, total: seen.append((done, total)))
    assert seen == sorted(seen)
    assert seen[-1] == (SIZE, SIZE)


def test_the_cache_is_written_once_and_then_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "deep" / "table.bin"
    built = DlogTable.load_or_build(path, SIZE)
    monkeypatch.setattr(DlogTable, "build", None)
    assert DlogTable.load_or_build(path, SIZE).to_bytes() == built.to_bytes()
    assert [p.name for p in path.parent.iterdir()] == ["table.bin"]


@pytest.mark.parametrize("damage", ["body", "checksum", "version", "short", "empty", "other size", "unsorted"])
def test_a_damaged_cache_is_rebuilt(tmp_path: Path, dlog: DlogTable, damage: str) -> None:
    path, good = tmp_path / "table.bin", dlog.to_bytes()
    flip = {"body": len(good) - 5, "checksum": 40, "version": 14}
    if damage in flip:
        bad = bytearray(good)
        bad[flip[damage]] ^= 1
        path.write_bytes(bad)
    elif damage == "unsorted":
        forged = object.__new__(DlogTable)
        forged._words, forged._codes, forged.size = dlog._words[::-1], dlog._codes[::-1], SIZE
        path.write_bytes(forged.to_bytes())
    else:
        path.write_bytes({"short": good[:-1], "empty": b"", "other size": DlogTable.build(2048).to_bytes()}[damage])
    assert _solve(DlogTable.load_or_build(path, SIZE), [99], 100) == [99]
    assert path.read_bytes() == good


def test_a_cache_that_cannot_be_written_is_logged_and_no_error(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("in the way")
    table = DlogTable.load_or_build(tmp_path / "file" / "table.bin", 1024)
    assert _solve(table, [3], 5) == [3]
    assert "cannot be cached" in caplog.text


def test_a_failed_write_leaves_no_partial_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("os.replace", fail)
    DlogTable.load_or_build(tmp_path / "table.bin", 1024)
    assert list(tmp_path.iterdir()) == []


def test_the_cache_folder_follows_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FEDCHAIN_CACHE_DIR", str(tmp_path))
    assert default_path(1024).parent == tmp_path
    DlogTable.load_or_build(size=1024)
    assert default_path(1024).exists()
    monkeypatch.delenv("FEDCHAIN_CACHE_DIR")
    assert "fedchain" in str(default_path())
