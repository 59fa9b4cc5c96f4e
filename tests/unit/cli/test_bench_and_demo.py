"""`fedchain bench` and `fedchain demo`: what a script gets, and what a wrong call gets."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fedchain.cli.demo import show_demo
from fedchain.contribution.gain import gain_shares
from fedchain.demo.options import DemoOptions
from fedchain.demo.report import DemoReport

from .conftest import Case, Invoke, assert_one_line


def test_bench_prints_settings_and_metrics(invoke: Invoke, case: Case) -> None:
    files = ("--active", case.table("operator"), "--passive", case.table("partner"))
    shape = ("--label", "churned", "--trees", 2, "--depth", 2, "--bins", 8, "--threads", 2)
    result = invoke("bench", "boosting", *files, *shape, "--json")
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert set(report) == {"settings", "metrics"}
    assert (report["settings"]["trees"], report["settings"]["mode"]) == (2, "standard")
    for name in ("seconds_per_tree", "auc_federated", "auc_plaintext", "auc_active_only", "bytes_per_tree"):
        assert report["metrics"][name] > 0
    assert report["metrics"]["auc_federated"] > report["metrics"]["auc_active_only"]


def test_bench_of_a_column_that_is_not_there_is_one_line(invoke: Invoke, case: Case) -> None:
    files = ("--active", case.table("operator"), "--passive", case.table("partner"))
    assert_one_line(invoke("bench", "boosting", *files, "--label", "y"), 3, "no label column 'y'")


def test_demo_without_its_tables_is_an_error_before_anything_is_started(
    invoke: Invoke, case: Case, tmp_path: Path
) -> None:
    case.table("partner").unlink()
    report = tmp_path / "report.json"
    result = invoke("demo", "--data", case.data, "--job", case.job, "--report", report)
    assert_one_line(result, 2, "partner.csv: no such table")
    assert not report.exists()


def test_demo_with_a_typo_in_its_job_is_one_line(invoke: Invoke, case: Case) -> None:
    case.edit_job("min_rows", "min_row")
    assert_one_line(invoke("demo", "--data", case.data, "--job", case.job), 2, "unknown key 'alignment.min_row'")


def report_of(**changes: object) -> DemoReport:
    values: dict[str, object] = {
        "dataset": "telco", "parties": ["operator", "bank"], "aligned_rows": 10, "holdout_rows": 2, "trees": 1,
        "depth": 3, "mode": "layered", "holdout_seed": 1, "auc_federated": 0.8, "auc_active_only": 0.7,
        "auc_plaintext": 0.8, "seconds": dict.fromkeys(("start", "align", "train", "contribution", "predict"), 1.0),
        "chain": {"kind": "embedded", "uplinks_accepted": 9, "uplinks_rejected": 0}
        | dict.fromkeys(("transactions", "blocks", "gas"), 7),
        "contributions": {"operator": 0.75, "bank": 0.25}, "contributions_e6": {"operator": 30, "bank": 10},
        "p_values": {"bank": 0.01}, "anomalies": {"structural": 2, "claim": 1}, "model_digest": "ab", "job_id": "0x",
    }  # fmt: skip
    return DemoReport.model_validate(values | changes)


def test_demo_tells_who_contributed_and_what_is_on_record(capsys: pytest.CaptureFixture[str]) -> None:
    show_demo(report_of())
    lines = {" ".join(line.split()) for line in capsys.readouterr().out.splitlines()}
    assert "contributions operator 75.0%, bank 25.0%" in lines
    assert "free-rider test bank p 0.010" in lines
    assert "anomalies 2 structural, 1 claim" in lines
    show_demo(report_of(p_values={}, anomalies={}))
    lines = {" ".join(line.split()) for line in capsys.readouterr().out.splitlines()}
    assert {"free-rider test -", "anomalies none on record"} <= lines


@pytest.mark.parametrize(
    ("numbers", "page"),
    [("demo-report.json", "demo-report.html"), ("a/r.txt", "a/r.txt.html"), ("r.html", "r.html.html")],
)
def test_the_demo_s_page_lies_beside_its_numbers(numbers: str, page: str) -> None:
    assert DemoOptions(report=Path(numbers)).page == Path(page)


def test_shares_of_the_gain_sum_to_one_and_are_zero_without_a_gain() -> None:
    assert gain_shares({"a": 250_000, "b": 750_000}) == {"a": 0.25, "b": 0.75}
    assert gain_shares({"a": -5, "b": 5}) == {"a": 0.0, "b": 0.0}
    assert gain_shares({"a": -77_500, "b": 7_500}) == {"a": 0.0, "b": 0.0}


def test_demo_of_another_objective_than_binary_is_one_line(invoke: Invoke, case: Case) -> None:
    case.edit_job('mode = "standard"', 'objective = "poisson"')
    result = invoke("demo", "--data", case.data, "--job", case.job)
    assert_one_line(result, 2, "objective 'poisson'", "'binary'", "fedchain simulate")


def test_bench_of_made_up_columns_takes_modes_and_seeds(invoke: Invoke) -> None:
    source = ("--rows", 400, "--active-features", 2, "--passive-features", 2, "--passive-features", 1)
    shape = ("--mode", "layered", "--trees", 2, "--depth", 3, "--bins", 8, "--seeds", "1,2")
    result = invoke("bench", "boosting", *source, *shape, "--json")
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert (report["settings"]["seeds"], report["settings"]["passive_features"]) == ([1, 2], [2, 1])
    assert report["settings"]["min_leaf_rows"] == 20
    assert {"auc_parity", "auc_federated_seed_2", "floor_ratio", "encrypt_us_per_row"} <= set(report["metrics"])


def test_bench_takes_leaf_wise_growth_and_refuses_leaves_without_it(invoke: Invoke) -> None:
    source = ("--rows", 400, "--active-features", 2, "--passive-features", 2, "--trees", 2, "--bins", 8)
    result = invoke("bench", "boosting", *source, "--growth", "leaf_wise", "--max-leaves", 5, "--depth", 4, "--json")
    assert result.exit_code == 0, result.output
    settings = json.loads(result.stdout)["settings"]
    assert (settings["growth"], settings["max_leaves"]) == ("leaf_wise", 5)
    assert_one_line(invoke("bench", "boosting", *source, "--max-leaves", 5), 2, "max_leaves goes with growth")


def test_bench_without_tables_or_with_a_typo_in_its_seeds_is_one_line(invoke: Invoke) -> None:
    assert_one_line(invoke("bench", "boosting"), 2, "--active FILE", "--rows N")
    assert_one_line(invoke("bench", "leakage", "--seeds", "1;2"), 2, "--seeds is '1;2'")
    assert_one_line(invoke("bench", "leakage", "--passive-features", "0"), 2, "a column or more")
