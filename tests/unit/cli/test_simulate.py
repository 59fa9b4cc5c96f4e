"""`fedchain simulate`, and the clear error for each way to feed it wrongly."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.csv
import pytest
from pyarrow import parquet

from fedchain.model.shard import Shard, model_digest

from .conftest import Case, Invoke, assert_one_line


def test_json_is_one_object_and_progress_goes_to_stderr(invoke: Invoke, case: Case, tmp_path: Path) -> None:
    out = tmp_path / "shards"
    result = invoke("simulate", case.job, "--data", case.data, "--out", out, "--threads", 2, "--json")
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert report["aligned_rows"] == 144
    assert report["trees"] == 2
    assert report["auc"] == 1.0  # the partner's column tells the label
    assert set(report["contributions"]) == {"operator", "partner"}
    assert report["contributions"]["partner"] > report["contributions"]["operator"]
    assert all(value >= 0 for value in report["seconds"].values())
    shards = [Shard.load(Path(report["shards"][name])) for name in ("operator", "partner")]
    assert report["model_digest"] == model_digest([shard.digest() for shard in shards])
    assert "alignment" in result.stderr
    assert "trees: 2 of 2" in result.stderr


def test_a_saved_model_is_continued_and_the_result_can_be_shown(invoke: Invoke, case: Case, tmp_path: Path) -> None:
    """Two rounds and one more are the model of three."""
    run = ("simulate", case.job, "--data", case.data, "--threads", 2, "--json")
    done = json.loads(invoke(*run, "--out", tmp_path / "two").stdout)
    case.edit_job("trees = 2", "trees = 3")
    whole = json.loads(invoke(*run).stdout)

    case.edit_job("trees = 3", "trees = 1")
    refused = invoke(*run, "--checkpoint", tmp_path / "two")
    advice = f'[warm_start] model = "{done["model_digest"]}"'
    assert_one_line(refused, 2, "continues no model", advice)
    case.edit_job("[alignment]", f"{advice.replace(' ', chr(10), 1)}\n[alignment]")
    assert_one_line(invoke(*run), 2, f"continues model {done['model_digest']}", "--checkpoint DIR")
    assert_one_line(invoke(*run, "--checkpoint", tmp_path), 1, "operator.shard.json", "cannot be read")

    result = invoke(*run, "--checkpoint", tmp_path / "two", "--out", tmp_path / "three")
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert (report["trees"], report["model_digest"]) == (3, whole["model_digest"])
    shown = invoke("model", "show", report["shards"]["partner"], "--tree", 3, "--json")
    assert json.loads(shown.stdout)["trees"] == 3

    shards = [tmp_path / "three" / f"{party}.shard.json" for party in ("operator", "partner")]
    (tmp_path / "two" / "partner.shard.json").write_bytes(shards[1].read_bytes())
    mixed = invoke(*run, "--checkpoint", tmp_path / "two")
    assert mixed.exit_code == 2
    assert "one party or more has a shard of another model" in mixed.stderr


def test_table_shows_the_same_for_people(invoke: Invoke, case: Case) -> None:
    result = invoke("simulate", case.job, "--data", case.data, "--threads", 2)
    assert result.exit_code == 0, result.output
    for word in ("aligned rows", "144", "AUC", "1.0000", "model digest", "uplinks"):
        assert word in result.stdout


def test_parquet_files_give_the_model_of_csv_files(invoke: Invoke, case: Case, tmp_path: Path) -> None:
    run = ("simulate", case.job, "--data", case.data, "--threads", 2, "--json")
    expected = json.loads(invoke(*run).stdout)["model_digest"]
    operator, partner = case.table("operator"), case.table("partner")
    parquet.write_table(pyarrow.csv.read_csv(operator), operator.with_suffix(".parquet"))
    assert_one_line(invoke(*run), 2, "operator.csv", "operator.parquet too")
    operator.unlink()
    parquet.write_table(pyarrow.csv.read_csv(partner), tmp_path / "other.pq")
    partner.unlink()
    result = invoke(*run, "--table", f"partner={tmp_path / 'other.pq'}")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["model_digest"] == expected


def test_a_named_table_goes_before_the_folder(invoke: Invoke, case: Case, tmp_path: Path) -> None:
    other = tmp_path / "other.csv"
    case.table("partner").rename(other)
    named = invoke("simulate", case.job, "--data", case.data, "--table", f"partner={other}", "--threads", 2, "--json")
    assert named.exit_code == 0, named.output
    assert_one_line(invoke("simulate", case.job, "--data", case.data), 3, "partner.csv", "no such file")


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("trees = 2", "treees = 2", ("algorithm.treees", "unknown key", "docs/reference/job.md")),
        ("depth = 2", 'depth = "deep"', ("algorithm.depth",)),
        ("[algorithm]", "[algorithm", ("not valid TOML",)),
        ('role = "passive"', 'role = "active"', ("active party 'partner' needs label",)),
    ],
)
def test_a_typo_in_the_job_file_is_named(
    invoke: Invoke, case: Case, old: str, new: str, words: tuple[str, ...]
) -> None:
    case.edit_job(old, new)
    assert_one_line(invoke("simulate", case.job, "--data", case.data), 2, str(case.job), *words)


def test_a_missing_job_file_is_named(invoke: Invoke, tmp_path: Path) -> None:
    assert_one_line(invoke("simulate", tmp_path / "no.toml", "--data", tmp_path), 2, "no.toml", "no such job file")


def test_a_missing_label_column_is_named_with_those_that_are_there(invoke: Invoke, case: Case) -> None:
    case.edit_job("churned", "left")
    result = invoke("simulate", case.job, "--data", case.data)
    assert_one_line(result, 3, "operator.csv", "no label column 'left'", "columns present: id, calls, churned")


def test_a_ragged_row_is_named_by_its_line(invoke: Invoke, case: Case) -> None:
    lines = case.table("partner").read_text().splitlines()
    lines[4] += ",9"
    case.table("partner").write_text("\n".join(lines) + "\n")
    result = invoke("simulate", case.job, "--data", case.data)
    assert_one_line(result, 3, "partner.csv, line 5", "expected 3 fields, found 4")


def test_a_label_that_is_none_is_named(invoke: Invoke, case: Case) -> None:
    case.edit_job("churned", "calls")
    result = invoke("simulate", case.job, "--data", case.data)
    assert_one_line(result, 3, "operator.csv", "'calls'")


def test_too_few_common_rows_are_an_error_of_the_data(invoke: Invoke, case: Case) -> None:
    case.edit_job("min_rows = 20", "min_rows = 150")
    result = invoke("simulate", case.job, "--data", case.data, "--threads", 2)
    assert result.stderr.splitlines()[-1].startswith("error: ")
    assert "144" in result.stderr
    assert result.stdout == ""
    assert result.exit_code == 3


def test_debug_after_the_command_shows_the_traceback(invoke: Invoke, case: Case) -> None:
    case.edit_job("trees = 2", "treees = 2")
    result = invoke("simulate", case.job, "--data", case.data, "--debug")
    assert "Traceback (most recent call last)" in result.stderr
    assert result.stderr.splitlines()[-1].startswith("error: ")
    assert result.exit_code == 2


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), ("no table for party operator, partner", "--data DIR")),
        (("--table", "operator"), ("'operator' is not NAME=FILE",)),
        (("--table", "stranger=a.csv"), ("no party 'stranger'", "operator, partner")),
        (("--table", "operator=a.csv", "--table", "operator=b.csv"), ("'operator' twice",)),
        (("--data", "nowhere"), ("--data nowhere", "no such folder")),
    ],
)
def test_tables_named_wrongly_are_an_error(
    invoke: Invoke, case: Case, arguments: tuple[str, ...], words: tuple[str, ...]
) -> None:
    assert_one_line(invoke("simulate", case.job, *arguments), 2, *words)


@pytest.mark.parametrize(
    ("algorithm", "label", "metric", "words"),
    [
        ('objective = "squared_error"', "films", "rmse", "RMSE, held-out rows"),
        ('objective = "poisson"', "films", "poisson_deviance", "Poisson deviance, held-out rows"),
        ('objective = "multiclass"\nclasses = 3', "news", "mlogloss", "log loss, held-out rows"),
    ],
)
def test_other_objectives_show_a_metric_of_their_own(
    invoke: Invoke, case: Case, algorithm: str, label: str, metric: str, words: str
) -> None:
    case.edit_job('mode = "standard"', f'mode = "standard"\n{algorithm}')
    case.edit_job('label = "churned"', f'label = "{label}"')
    files = ("--table", f"operator={case.table('partner')}", "--table", f"partner={case.table('operator')}")
    result = invoke("simulate", case.job, *files, "--threads", 2, "--json")
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert report["metric"] == metric
    assert report[metric] > 0
    assert "auc" not in report
    assert words in invoke("simulate", case.job, *files, "--threads", 2).stdout


def test_contributions_are_measured_by_the_method_that_the_job_names(invoke: Invoke, case: Case) -> None:
    run = ("simulate", case.job, "--data", case.data, "--threads", 2)
    mask = json.loads(invoke(*run, "--json").stdout)
    case.edit_job("[alignment]", '[contribution]\nmethod = "block-permutation"\n[alignment]')
    found = json.loads(invoke(*run, "--json").stdout)
    assert (mask["contribution_method"], found["contribution_method"]) == ("leaf-mask", "block-permutation")
    assert found["model_digest"] == mask["model_digest"]
    assert found["contributions_e6"]["partner"] > mask["contributions_e6"]["partner"] > 0
    case.edit_job("[contribution]", "[contribution]\naudit = true")
    assert_one_line(invoke(*run), 2, str(case.job), "contribution", 'set method = "leaf-mask"')


def test_the_default_mode_is_layered(invoke: Invoke, case: Case) -> None:
    case.edit_job('mode = "standard"\n', "")
    result = invoke("simulate", case.job, "--data", case.data, "--threads", 2, "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["mode"] == "layered"


PARTS = """
[[alignment.parts]]
name = "phone"
rules = ["phone"]
country_code = "44"
national_digits = [10]
[[alignment.parts]]
name = "name"
rules = ["nfkc", "casefold", "squeeze"]
"""
NAMES = (("Zoë  SMITH", "zoe\u0308 smith"), ("STRASSER, Ｋ", " Straßer, k "), ("a,1:b", "A,1:B"))
PHONES = ("+44 (0)7700 {}", "07700-{}", "7700{}.0", "0044 7700{}", "447700{}", "\u202a(07700) {}")


def _spelled(case: Case, party: str, columns: str, which: int) -> None:
    """The customers by telephone number and name, each row spelled in a way of its own; two rows without either."""
    header, *rows = case.table(party).read_text().splitlines()
    lines = [f"{columns},{header.partition(',')[2]}"]
    for place, row in enumerate(rows):
        number, _, rest = row[1:].partition(",")
        phone = PHONES[(place + which) % len(PHONES)].format(f"{900000 + int(number)}")
        lines.append(f'"{phone}","{NAMES[int(number) % 3][which]}",{rest}')
    lines += [
        f'"", "ann",{rows[0].partition(",")[2]}',
        f'"ask him","ann",{rows[0].partition(",")[2]}',
        f'"07700 800000"," ",{rows[0].partition(",")[2]}',
    ]
    case.table(party).write_text("\n".join(lines) + "\n", encoding="utf-8")


def test_tables_that_spell_their_customers_differently_are_aligned_by_phone_and_name(
    invoke: Invoke, case: Case
) -> None:
    """As many rows, and as good a model, as with one id that both spell alike."""
    plain = json.loads(invoke("simulate", case.job, "--data", case.data, "--json").stdout)
    _spelled(case, "operator", "msisdn,full_name", 0)
    _spelled(case, "partner", "phone,customer", 1)
    case.edit_job("min_rows = 20\n", "min_rows = 20\n" + PARTS)
    case.edit_job('label = "churned"', 'label = "churned"\nid = { phone = "msisdn", name = "full_name" }')
    case.edit_job('role = "passive"', 'role = "passive"\nid = { name = "customer" }')

    result = invoke("simulate", case.job, "--data", case.data, "--json")

    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert (report["aligned_rows"], report["auc"]) == (plain["aligned_rows"], plain["auc"]) == (144, 1.0)
    left_out = {"blank_ids": 2, "unreadable_ids": 1, "repeated_ids": 0}
    assert report["rows"] == {"operator": {"with_id": 160} | left_out, "partner": {"with_id": 144} | left_out}


def test_repeated_ids_are_refused_or_merged_as_the_job_says(invoke: Invoke, case: Case) -> None:
    plain = json.loads(invoke("simulate", case.job, "--data", case.data, "--json").stdout)
    table = case.table("partner")
    table.write_text(table.read_text() + " c7 ,,1\nc8,,2\n")
    assert_one_line(invoke("simulate", case.job, "--data", case.data), 3, "partner.csv", "2 rows repeat", "duplicates")
    for policy in ("first", "aggregate"):
        case.edit_job("min_rows = 20", f'min_rows = 20\nduplicates = "{policy}"')
        result = invoke("simulate", case.job, "--data", case.data, "--json")
        assert result.exit_code == 0, result.output
        report = json.loads(result.stdout)
        assert report["rows"]["partner"]["repeated_ids"] == 2
        assert report["model_digest"] == plain["model_digest"], "the rows add nothing that the first ones did not say"
        case.edit_job(f'\nduplicates = "{policy}"', "")
