"""`fedchain model show`: what a party's shard says, in its own units, and nothing that it does not hold."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedchain.data.csv import read_table
from fedchain.errors import ModelFormatError
from fedchain.model.shard import OwnSplit, Shard, Tree, TreeShape
from fedchain.model.shardview import ShardView

from .conftest import Case, Invoke, assert_one_line

NUMBER = {"column": "tenure", "kind": "numeric", "has_missing": True, "cuts": [0.5, 12.0, 24.25]}
CATEGORY = {"column": "Contract", "kind": "category", "has_missing": False, "category": "One year"}
GROUPED = {"column": "city", "kind": "grouped", "has_missing": False, "groups": [["Ghent", "Bruges"], ["Lille"]]}
BINNING = {"features": [NUMBER, CATEGORY, GROUPED]}
ROSTER = ("operator", "bank", "media")
SHAPE = TreeShape((0, 1, 2, 3, 4), (0, 1, -1, -1, -1))


def active(**changes: object) -> Shard:
    """Root: own, tenure < 12; its left child belongs to the bank."""
    tree = Tree(SHAPE, (OwnSplit(0, 0, 1, True),), (100, 60, 40, 25, 35), (0.5, -0.25, 0.125))
    fields: dict[str, object] = {
        "party": "operator", "roster": ROSTER, "mode": "layered", "objective": "binary", "base_margins": (-1.0,),
        "binning": BINNING, "trees": (tree, tree),
    }  # fmt: skip
    return Shard(**(fields | changes))  # type: ignore[arg-type]


def passive(mode: str) -> Shard:
    own = OwnSplit(1, 1, 0, False)
    trees = {
        "standard": (Tree(SHAPE, (own,)),),
        "layered": (
            Tree(TreeShape((0, 1, 2), (1, -1, -1)), (OwnSplit(0, 2, 0, False),)),
            Tree(TreeShape((0,), (-1,)), ()),
        ),
    }
    return active(party="bank", mode=mode, base_margins=(), trees=trees[mode])


def saved(shard: Shard, folder: Path) -> Path:
    path = folder / f"{shard.party}.shard.json"
    shard.save(path)
    return path


def test_the_active_party_sees_thresholds_weights_rows_and_owners(invoke: Invoke, tmp_path: Path) -> None:
    result = invoke("model", "show", saved(active(), tmp_path), "--tree", 2)
    assert result.exit_code == 0, result.output
    for words in (
        "operator (active)", "layered", "operator 2, bank 2, media 0", "1 used of 3", "tenure", "62.5%", "█",
        "tree 2", "tenure < 12, or no value?  [100 rows]", "yes: split of bank  [60 rows]", "no: leaf +0.5  [40 rows]",
        "left: leaf -0.25  [25 rows]", "right: leaf +0.125  [35 rows]",
    ):  # fmt: skip
        assert words in result.stdout


def test_json_has_the_same_and_importances_of_all_parties_add_up(invoke: Invoke, tmp_path: Path) -> None:
    result = invoke("model", "show", saved(active(), tmp_path), "--tree", 1, "--json")
    report = json.loads(result.stdout)
    assert report["features_used"] == [{"name": "tenure", "splits": 2, "cover": 200, "importance": 0.625}]
    assert report["base_margins"] == [-1.0]
    assert report["shard_digest"] == active().digest().hex()
    root, bank, leaf = report["tree"]["nodes"][:3]
    assert root == {
        "node": 0, "owner": "operator", "feature": "tenure", "left": "tenure < 12, or no value", "threshold": 12.0,
        "missing_left": True, "rows": 100,
    }  # fmt: skip
    assert bank == {"node": 1, "owner": "bank", "rows": 60}
    assert leaf == {"node": 2, "owner": None, "rows": 40, "weight": 0.5}


def test_a_passive_party_in_standard_mode_sees_the_shape_but_no_weight(invoke: Invoke, tmp_path: Path) -> None:
    result = invoke("model", "show", saved(passive("standard"), tmp_path), "--tree", 1)
    for words in ("bank (passive)", "operator 1, bank 1, media 0", "split of operator", "Contract is not One year?"):
        assert words in result.stdout
    assert result.stdout.count("leaf") == 3
    assert "rows" not in result.stdout.partition("tree 1")[2]
    assert "importance" not in result.stdout
    assert "base margins" not in result.stdout


def test_a_passive_party_in_layered_mode_sees_its_own_part_alone(invoke: Invoke, tmp_path: Path) -> None:
    path = saved(passive("layered"), tmp_path)
    first = invoke("model", "show", path, "--tree", 1).stdout
    for words in ("operator ?, bank 1, media ?", "2, 1 with a split", "city is one of Ghent, Bruges?", "goes on at"):
        assert words in first
    assert "no part in this tree" in invoke("model", "show", path, "--tree", 2).stdout
    report = json.loads(invoke("model", "show", path, "--json").stdout)
    assert report["splits"] == {"operator": None, "bank": 1, "media": None}
    assert report["features_used"] == [{"name": "city", "splits": 1}]


def test_a_trained_model_s_rules_send_the_table_s_rows_where_the_covers_say(
    invoke: Invoke, case: Case, tmp_path: Path
) -> None:
    case.edit_job('mode = "standard"', 'mode = "mix"')
    out = tmp_path / "shards"
    assert invoke("simulate", case.job, "--data", case.data, "--out", out, "--threads", 2).exit_code == 0
    view = ShardView(Shard.load(out / "operator.shard.json"))
    table = read_table(case.table("operator"), id_column="id", label_column="churned")
    calls = np.asarray(table.columns[0].values, dtype=np.float64)
    tree = json.loads(invoke("model", "show", out / "operator.shard.json", "--tree", 1, "--json").stdout)["tree"]
    rows = {node["node"]: node["rows"] for node in tree["nodes"]}
    root = tree["nodes"][0]
    assert root["left"] == f"calls < {root['threshold']:.10g}"
    assert rows[1] + rows[2] == rows[0]
    assert 0 < rows[1] <= (calls < root["threshold"]).sum()
    assert Counter(view.splits_by_party())["operator"] == len([one for one in view.nodes(1) if one.owner])


@given(st.integers(0, 3), st.booleans())
def test_a_rule_of_numbers_says_what_the_bins_say(split_bin: int, missing_left: bool) -> None:
    view = ShardView(active())
    text = view.rule(OwnSplit(0, 0, split_bin, missing_left))
    threshold = text.removeprefix("tenure < ").removesuffix(", or no value")
    if split_bin == 3:
        assert text == "tenure has a value"
    else:
        assert float(threshold) == NUMBER["cuts"][split_bin]  # type: ignore[index]
        assert text.endswith(", or no value") == missing_left


BAD = {
    "another feature": Tree(SHAPE, (OwnSplit(0, 3, 0, False),), (9, 6, 3, 3, 3), (0.0, 0.0, 0.0)),
    "another bin": Tree(SHAPE, (OwnSplit(0, 1, 2, False),), (9, 6, 3, 3, 3), (0.0, 0.0, 0.0)),
    "no split of its own node": Tree(SHAPE, (), (9, 6, 3, 3, 3), (0.0, 0.0, 0.0)),
    "a weight too few": Tree(SHAPE, (OwnSplit(0, 0, 0, False),), (9, 6, 3, 3, 3), (0.0, 0.0)),
    "no covers": Tree(SHAPE, (OwnSplit(0, 0, 0, False),), (), (0.0, 0.0, 0.0)),
    "a stranger": Tree(TreeShape((0, 1, 2), (3, -1, -1)), (), (9, 6, 3), (0.0, 0.0)),
    "a child too few": Tree(TreeShape((0, 1), (1, -1)), (), (9, 6), (0.0,)),
    "an owner too few": Tree(TreeShape((0, 1, 2), (1, -1)), (), (9, 6, 3), (0.0, 0.0)),
}


@pytest.mark.parametrize("tree", BAD.values(), ids=BAD)
def test_a_shard_whose_parts_do_not_fit_is_an_error(tree: Tree) -> None:
    with pytest.raises(ModelFormatError, match="tree 2"):
        ShardView(active(trees=(*active().trees[:1], tree)))


def test_a_tree_that_is_not_there_is_one_line(invoke: Invoke, tmp_path: Path) -> None:
    assert_one_line(invoke("model", "show", saved(active(), tmp_path), "--tree", 3), 2, "trees 1 to 2")


def test_a_missing_or_changed_file_is_one_line(invoke: Invoke, tmp_path: Path) -> None:
    assert_one_line(invoke("model", "show", tmp_path / "none.json"), 1, "none.json", "cannot be read")
    path = saved(active(), tmp_path)
    path.write_bytes(path.read_bytes() + b" ")
    assert_one_line(invoke("model", "show", path), 1, "canonical")


NODE = """\
name = "operator"
[chain]
rpc = "http://127.0.0.1:8545"
deployment = "deployment.json"
[data]
path = "operator.csv"
"""


def test_a_node_s_folder_and_a_job_s_id_name_a_shard_too(invoke: Invoke, tmp_path: Path) -> None:
    job = "0x" + "5c" * 32
    (tmp_path / "node.toml").write_text(NODE)
    assert_one_line(invoke("model", "show", job, "--node", tmp_path), 2, "no finished job", "it has none yet")
    folder = tmp_path / "state" / "jobs" / job
    folder.mkdir(parents=True)
    active().save(folder / "shard")
    (folder / "report.json").write_text("{}")
    shown = invoke("model", "show", job.upper().replace("0X", "0x"), "--node", tmp_path, "--json")
    assert json.loads(shown.stdout)["shard_digest"] == active().digest().hex()
    assert_one_line(invoke("model", "show", "0x" + "00" * 32, "--node", tmp_path), 2, f"it has {job}")
    assert_one_line(invoke("model", "show", "5c", "--node", tmp_path), 2, "64 lower-case hex digits")
