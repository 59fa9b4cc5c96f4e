"""`fedchain predict --id`: how ids are read, and what is shown."""

from __future__ import annotations

import csv
import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from fedchain.cli.main import app
from fedchain.cli.predict_ids import as_dict, parse_id, to_csv
from fedchain.errors import ConfigError
from fedchain.node.control_wire import PredictIdsReply, pack, unpack
from fedchain.node.modelstate import ModelUse
from fedchain.node.online.predictions import Predictions, from_reply, to_reply
from fedchain.types import JobId

JOB = JobId("0x" + "5c" * 32)
TEXTS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=20)


@given(st.lists(TEXTS, min_size=2, max_size=4))
def test_parts_are_read_as_csv_writes_them(parts: list[str]) -> None:
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow(parts)
    assert parse_id(line.getvalue()) == parts


def test_a_bare_id_is_itself_and_an_open_quote_is_refused() -> None:
    assert parse_id("0041 79") == "0041 79"
    assert parse_id("") == ""
    with pytest.raises(ConfigError, match="line of CSV"):
        parse_id('"open')


@pytest.mark.parametrize("outputs", [1, 3])
@pytest.mark.parametrize("explained", [True, False])
def test_what_is_shown_is_what_was_answered(outputs: int, explained: bool) -> None:
    random = np.random.default_rng(1)
    scores = random.random(2) if outputs == 1 else random.random((2, outputs))
    scores[1] = np.nan
    found = Predictions(
        JOB, ModelUse("arrears", 1, 1), np.array([7, -1]), scores, np.array([1, 4], np.uint8), ("a", "b"),
        random.random(outputs) if explained else None, random.random((2, 2, outputs)) if explained else None,
    )  # fmt: skip
    again = from_reply(unpack(pack(to_reply(found)), PredictIdsReply))
    np.testing.assert_array_equal(again.scores, scores)
    rows = list(csv.DictReader(io.StringIO(to_csv(again, ["x", "y"]))))
    names = ["score"] if outputs == 1 else [f"score_{number}" for number in range(outputs)]
    assert [float(rows[0][name]) for name in names] == np.atleast_1d(scores[0]).tolist()
    assert [rows[1][name] for name in names] == [""] * outputs
    assert [(row["id"], row["serial"], row["flags"]) for row in rows] == [
        ("x", "7", "missing_party"), ("y", "", "unknown_id"),
    ]  # fmt: skip
    document = as_dict(again, ["x", "y"])
    assert document["scores"] == [scores[0].tolist(), None]
    assert document["model"] == {"name": "arrears", "version": 1, "in_use": 1}
    if explained:
        assert found.contributions is not None
        ends = [""] if outputs == 1 else [f"_{number}" for number in range(outputs)]
        assert [float(rows[0][f"b{end}"]) for end in ends] == found.contributions[0, 1].tolist()
        expected = found.contributions[0, 1].tolist() if outputs > 1 else found.contributions[0, 1, 0]
        assert document["contributions"][0]["b"] == expected
    else:
        assert document["contributions"] is None


@pytest.mark.parametrize(
    ("options", "words"),
    [(["--id", "x", "--rows", "1"], "give one of them"), (["--explain"], "--explain goes with --id")],
)
def test_options_that_do_not_go_together_are_refused(options: list[str], words: str) -> None:
    result = CliRunner().invoke(app, ["predict", JOB, *options])
    assert result.exit_code == 2
    assert words in result.stderr
