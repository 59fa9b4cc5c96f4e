"""Output files: what they hold, and that they depend on the scores alone."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from fedchain.errors import ConfigError
from fedchain.node.bulk.outputs import CsvOutput, ScoredChunk, output_of

CHUNKS = [
    ScoredChunk((["a", "b,c"],), np.array([[0.1], [np.nan]]), ["", "unknown_id"]),
    ScoredChunk((["d"],), np.array([[1 / 3]]), ["missing_party+silent_party"]),
]


def test_csv_holds_ids_scores_and_flags(tmp_path: Path) -> None:
    out = tmp_path / "scores.csv"
    output = output_of(out, ["id"], 1)
    output.finish([output.encode(chunk) for chunk in CHUNKS], out)
    with out.open(newline="") as file:
        rows = list(csv.reader(file))
    assert rows == [
        ["id", "score", "flags"],
        ["a", "0.1", ""],
        ["b,c", "", "unknown_id"],
        ["d", repr(1 / 3), "missing_party+silent_party"],
    ]
    assert float(rows[3][1]) == 1 / 3
    assert not list(tmp_path.glob("*.tmp"))


def test_several_classes_have_a_column_each() -> None:
    output = CsvOutput(["name", "born"], 3)
    chunk = ScoredChunk((["x"], ["1990"]), np.array([[0.5, 0.25, 0.25]]), [""])
    assert output.encode(chunk) == b"x,1990,0.5,0.25,0.25,\n"
    assert output.columns == ["name", "born", "score_0", "score_1", "score_2", "flags"]


def test_parquet_holds_the_same(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    out = tmp_path / "scores.parquet"
    output = output_of(out, ["id"], 1)
    payloads = [output.encode(chunk) for chunk in CHUNKS]
    output.finish(payloads, out)
    table = parquet.read_table(out)
    assert table.to_pydict() == {
        "id": ["a", "b,c", "d"],
        "score": [0.1, None, 1 / 3],
        "flags": ["", "unknown_id", "missing_party+silent_party"],
    }
    assert parquet.ParquetFile(out).num_row_groups == 2
    first = out.read_bytes()
    output_of(out, ["id"], 1).finish(payloads, out)
    assert out.read_bytes() == first


def test_an_id_column_named_as_an_added_one_is_refused() -> None:
    with pytest.raises(ConfigError, match="the id column 'score' has the name of a column of the output"):
        CsvOutput(["score"], 1)


def test_a_failed_write_leaves_the_earlier_output(tmp_path: Path) -> None:
    out = tmp_path / "scores.csv"
    out.write_text("earlier")

    def broken() -> object:
        yield b"half"
        raise OSError(28, "No space left on device")

    with pytest.raises(ConfigError, match="cannot be written: No space left"):
        CsvOutput(["id"], 1).finish(broken(), out)  # type: ignore[arg-type]
    assert out.read_text() == "earlier"
