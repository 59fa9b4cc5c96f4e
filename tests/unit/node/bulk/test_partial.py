"""The partial file: what is whole counts, what is torn is cut off, another run is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedchain.errors import ConfigError
from fedchain.node.bulk.partial import PartialFile

RUN = {"job": "0xaa", "rows": 7}


def filled(out: Path, payloads: list[bytes]) -> Path:
    with PartialFile(out, RUN) as partial:
        for payload in payloads:
            partial.append(payload)
    return partial.path


def test_a_run_goes_on_after_the_last_chunk(tmp_path: Path) -> None:
    filled(tmp_path / "scores.csv", [b"one", b""])
    with PartialFile(tmp_path / "scores.csv", RUN) as partial:
        assert partial.chunks == 2
        partial.append(b"three")
        assert list(partial.payloads()) == [b"one", b"", b"three"]


@settings(max_examples=40, deadline=None)
@given(payloads=st.lists(st.binary(max_size=40), max_size=4), data=st.data())
def test_wherever_a_run_is_killed_whole_chunks_stay_and_nothing_else(
    tmp_path_factory: pytest.TempPathFactory, payloads: list[bytes], data: st.DataObject
) -> None:
    out = tmp_path_factory.mktemp("killed") / "out.csv"
    path = filled(out, payloads)
    raw = path.read_bytes()
    kept = data.draw(st.integers(0, len(raw)))
    path.write_bytes(raw[:kept])
    with PartialFile(out, RUN) as partial:
        found = list(partial.payloads())
        assert found == payloads[: len(found)]
        sizes = [8 + len(payload) for payload in payloads]
        header = len(raw) - sum(sizes)
        assert len(found) == sum(header + sum(sizes[: count + 1]) <= kept for count in range(len(sizes)))
        for payload in payloads[len(found) :]:
            partial.append(payload)
    assert path.read_bytes() == raw


def test_a_damaged_chunk_and_all_after_it_are_done_again(tmp_path: Path) -> None:
    path = filled(tmp_path / "o.csv", [b"first", b"second", b"third"])
    raw = bytearray(path.read_bytes())
    raw[raw.index(b"second")] ^= 1
    path.write_bytes(raw)
    with PartialFile(tmp_path / "o.csv", RUN) as partial:
        assert list(partial.payloads()) == [b"first"]
        partial.append(b"second")
    with PartialFile(tmp_path / "o.csv", RUN) as partial:
        assert list(partial.payloads()) == [b"first", b"second"]


def test_another_run_is_refused_and_what_differs_is_named(tmp_path: Path) -> None:
    filled(tmp_path / "o.csv", [b"x"])
    with pytest.raises(ConfigError, match=r"o\.csv\.partial: is of another run \(another rows\); remove it"):
        PartialFile(tmp_path / "o.csv", {**RUN, "rows": 8})


def test_a_file_that_is_no_partial_file_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "o.csv.partial"
    path.write_text("something else\n")
    with pytest.raises(ConfigError, match="it is no partial file of a batch"):
        PartialFile(tmp_path / "o.csv", RUN)
    assert path.read_text() == "something else\n"


def test_two_runs_do_not_write_one_file(tmp_path: Path) -> None:
    with PartialFile(tmp_path / "o.csv", RUN), pytest.raises(ConfigError, match="another process writes it"):
        PartialFile(tmp_path / "o.csv", RUN)


def test_it_is_gone_when_the_output_is_there(tmp_path: Path) -> None:
    partial = PartialFile(tmp_path / "o.csv", RUN)
    partial.remove()
    assert not partial.path.exists()


@pytest.mark.parametrize("raw", [b"a file of somebody's", b'{"format": 1, "job": "0xbb', b"\x00" * 100_000])
def test_a_file_that_is_something_else_is_left_as_it_is(tmp_path: Path, raw: bytes) -> None:
    path = filled(tmp_path / "scores.csv", [])
    path.write_bytes(raw)
    with pytest.raises(ConfigError, match="no partial file of a batch"):
        PartialFile(tmp_path / "scores.csv", RUN)
    assert path.read_bytes() == raw
