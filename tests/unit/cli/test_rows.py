"""Which rows `fedchain predict` asks for, and how scores are written."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedchain.cli.predict import parse_rows, to_csv
from fedchain.errors import ConfigError
from fedchain.node.control_client import Prediction
from fedchain.types import JobId

JOB = JobId("0x" + "5c" * 32)
POSITIONS = st.lists(st.integers(0, 10**17), min_size=1, max_size=50)


@given(POSITIONS)
def test_positions_keep_their_order_and_repetitions(positions: list[int]) -> None:
    assert parse_rows(",".join(map(str, positions))) == positions


@given(POSITIONS, st.sampled_from(["\n", ",", ", ", "\r\n", " "]))
def test_a_file_may_separate_positions_by_lines_or_commas(
    tmp_path_factory: pytest.TempPathFactory, positions: list[int], separator: str
) -> None:
    path = tmp_path_factory.mktemp("rows") / "rows.txt"
    path.write_bytes(separator.join(map(str, positions)).encode() + b"\n")
    assert parse_rows(f"@{path}") == positions


def test_holdout_is_passed_on() -> None:
    assert parse_rows("holdout") == "holdout"


@pytest.mark.parametrize("text", ["", ",", "-1", "1.5", "0x10", "1;2", "Holdout", "1,two", "²", "9" * 19])
def test_anything_else_is_an_error(text: str) -> None:
    with pytest.raises(ConfigError, match="--rows"):
        parse_rows(text)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.txt: cannot be read: No such file"):
        parse_rows(f"@{tmp_path / 'none.txt'}")


@given(st.lists(st.tuples(st.integers(0, 2**40), st.floats(0, 1)), max_size=20))
def test_scores_survive_the_csv_exactly(pairs: list[tuple[int, float]]) -> None:
    prediction = Prediction(
        1,
        np.asarray([one for one, _ in pairs], dtype=np.int64),
        np.asarray([one for _, one in pairs], dtype=np.float64),
        JOB,
        None,
    )
    rows = list(csv.reader(io.StringIO(to_csv(prediction))))
    assert rows[0] == ["position", "score"]
    assert [(int(position), float(score)) for position, score in rows[1:]] == pairs


def test_several_classes_have_a_column_of_scores_each() -> None:
    scores = np.asarray([[0.25, 0.5, 0.25], [0.125, 0.375, 0.5]])
    text = to_csv(Prediction(1, np.asarray([4, 2], dtype=np.int64), scores, JOB, None))
    assert text == "position,score_0,score_1,score_2\n4,0.25,0.5,0.25\n2,0.125,0.375,0.5\n"
