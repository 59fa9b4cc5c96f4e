"""What the command says of strict requests and of files, and which options go together."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from fedchain.cli.predict_strict import to_csv
from fedchain.node.strict.predictions import StrictPredictions
from fedchain.types import JobId
from tests.unit.cli.conftest import Invoke, assert_one_line

JOB = JobId("0x" + "ab" * 32)


def test_strict_scores_have_a_line_each_with_the_request_they_came_by() -> None:
    found = StrictPredictions(JOB, np.array([2**31, -1]), np.array([1 / 3, np.nan]), np.array([1, 4], np.uint8))
    assert to_csv(found, ["a,b", "x"]) == (
        f'id,score,request_id,flags\n"a,b",{1 / 3!r},2147483648,missing_party\nx,,,unknown_id\n'
    )
    several = StrictPredictions(JOB, np.array([2**31]), np.array([[0.25, 0.75]]), np.zeros(1, np.uint8))
    assert to_csv(several, ["a"]) == "id,score_0,score_1,request_id,flags\na,0.25,0.75,2147483648,\n"


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--file", "ids.csv", "--id", "7"], "--file goes without --id"),
        (["--file", "ids.csv", "--rows", "0"], "--file goes without --id, --rows"),
        (["--file", "ids.csv"], "--file needs --out FILE"),
        (["--file", "ids.csv", "--out", "missing/scores.csv"], "folder missing does not exist"),
        (["--id-column", "customer"], "give --file as well"),
        (["--strict"], "--strict goes with --id"),
        (["--strict", "--id", "7", "--explain"], "without --explain"),
    ],
)
def test_options_that_do_not_go_together_are_told(
    invoke: Invoke, options: list[str], says: str, tmp_path: Path
) -> None:
    assert_one_line(invoke("predict", "arrears", "--node", tmp_path, *options), 2, says)


def test_the_help_loads_neither_models_nor_chain() -> None:
    code = "import sys; import fedchain.cli.predict; print('fedchain.node.bulk.runner' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert result.stdout.strip() == "False"
