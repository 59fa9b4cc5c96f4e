"""Shards: exact on disk, the same digest for the same model, and typed errors for anything else."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedchain.errors import ModelFormatError
from fedchain.model.shard import OwnSplit, Shard, Tree, TreeShape, model_digest
from tests.strategies import shards


def example() -> Shard:
    return Shard(
        party="bank",
        roster=("operator", "bank"),
        mode="standard",
        objective="binary",
        base_margins=(),
        binning={"features": [{"column": "age", "kind": "numeric", "has_missing": False, "cuts": [0.1, 2.0]}]},
        trees=(Tree(TreeShape((0, 1, 2), (1, -1, -1)), (OwnSplit(0, 0, 1, False),)),),
    )


@settings(max_examples=60, deadline=None)
@given(shards())
def test_bytes_give_back_the_same_shard_and_digest(model: list[Shard]) -> None:
    for shard in model:
        again = Shard.from_bytes(shard.to_bytes())
        assert again == shard
        assert again.to_bytes() == shard.to_bytes()
        assert again.digest() == shard.digest()


@settings(max_examples=60, deadline=None)
@given(shards(), st.data())
def test_a_damaged_shard_is_refused_or_has_another_digest(model: list[Shard], data: st.DataObject) -> None:
    raw = bytearray(model[0].to_bytes())
    place = data.draw(st.integers(0, len(raw) - 1))
    raw[place] ^= data.draw(st.integers(1, 255))
    try:
        again = Shard.from_bytes(bytes(raw))
    except ModelFormatError:
        return
    assert again.digest() != model[0].digest()


def test_the_digest_does_not_depend_on_the_order_of_keys() -> None:
    shard = example()
    reordered = {"features": [dict(reversed(list(shard.binning["features"][0].items())))]}
    assert msgspec.structs.replace(shard, binning=reordered).digest() == shard.digest()


def test_the_digest_is_the_same_in_every_release() -> None:
    """It is on chains: a change of this number is a change of the format, and needs another version."""
    assert example().digest().hex() == "f988947388420cb2b433ca64bf179bd25251871d0064bf7280a5da27a93a153e"
    assert model_digest([bytes(32), bytes(32)]) == "74eafa3fe01636d2759e220e4ae4fab4db54bc368a25d460c6c04ab5d7685fc5"
    assert model_digest([b"a" * 32, b"b" * 32]) != model_digest([b"b" * 32, b"a" * 32])


def test_every_field_counts_in_the_digest() -> None:
    shard = example()
    tree = shard.trees[0]
    others = [
        msgspec.structs.replace(shard, party="operator"),
        msgspec.structs.replace(shard, roster=("bank", "operator")),
        msgspec.structs.replace(shard, base_margins=(0.0,)),
        msgspec.structs.replace(shard, base_margins=(0.0, 0.0)),
        msgspec.structs.replace(shard, mode="layered"),
        msgspec.structs.replace(shard, mode="mix"),
        msgspec.structs.replace(shard, objective="poisson"),
        msgspec.structs.replace(shard, trees=(msgspec.structs.replace(tree, output=1),)),
        msgspec.structs.replace(shard, binning={"features": []}),
        msgspec.structs.replace(shard, trees=()),
        msgspec.structs.replace(shard, trees=(tree, tree)),
        msgspec.structs.replace(shard, trees=(msgspec.structs.replace(tree, weights=(0.0, 0.0)),)),
        msgspec.structs.replace(shard, trees=(msgspec.structs.replace(tree, splits=(OwnSplit(0, 0, 1, True),)),)),
    ]
    assert len({one.digest() for one in [shard, *others]}) == len(others) + 1


@pytest.mark.parametrize(
    ("key", "value"),
    [("version", 1), ("version", 3), ("version", 0), ("format", "fedchain-linear-shard"), ("format", "")],
)
def test_another_format_or_version_is_refused(key: str, value: object) -> None:
    document = {**json.loads(example().to_bytes()), key: value}
    raw = json.dumps(document, sort_keys=True, separators=(",", ":")).encode()
    with pytest.raises(ModelFormatError, match="this fedchain reads fedchain-boosting-shard 2"):
        Shard.from_bytes(raw)


@pytest.mark.parametrize(
    "change",
    [
        lambda raw: raw + b"\n",
        lambda raw: b" " + raw,
        lambda raw: raw.replace(b'"base_margins":[]', b'"base_margins": []'),
        lambda raw: raw.replace(b'"base_margins":[],', b""),
        lambda raw: raw.replace(b'"mode":"standard"', b'"mode":"classic"'),
        lambda raw: raw.replace(b'"objective":"binary"', b'"objective":"ranking"'),
        lambda raw: raw.replace(b"0.1", b"0.10"),
        lambda raw: raw.replace(b'"party":"bank"', b'"extra":1,"party":"bank"'),
        lambda raw: raw.replace(b'"bank"', b'"b\\u0061nk"'),
        lambda raw: raw[:-1],
        lambda raw: b"",
        lambda raw: b"\x80\x04\x95",
        lambda raw: b"[]",
        lambda raw: raw.replace(b'"party":"bank"', b'"party":"shop"'),
        lambda raw: b"\xff\xfe" + raw,
    ],
)
def test_files_that_are_no_canonical_shard_are_refused(change: object) -> None:
    assert callable(change)
    raw = example().to_bytes()
    assert change(raw) != raw
    with pytest.raises(ModelFormatError, match="model shard"):
        Shard.from_bytes(change(raw))


def test_nesting_too_deep_to_read_is_refused() -> None:
    raw = example().to_bytes().replace(b'"features":[', b'"features":[' + b"[" * 100_000, 1)
    with pytest.raises(ModelFormatError, match="model shard"):
        Shard.from_bytes(raw)


def test_saving_and_loading_gives_the_same_shard_and_leaves_no_other_file(tmp_path: Path) -> None:
    path = tmp_path / "model.json"
    path.write_bytes(b"an old file")
    example().save(path)
    assert Shard.load(path) == example()
    assert path.read_bytes() == example().to_bytes()
    assert list(tmp_path.iterdir()) == [path]


def test_a_missing_or_damaged_file_is_a_typed_error(tmp_path: Path) -> None:
    with pytest.raises(ModelFormatError, match="cannot be read"):
        Shard.load(tmp_path / "absent.json")
    path = tmp_path / "model.json"
    example().save(path)
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(ModelFormatError, match="not readable"):
        Shard.load(path)


def test_floats_survive_exactly() -> None:
    values = (0.1, 1 / 3, 5e-324, 1.7976931348623157e308, -0.0, 1e16, 123456789.0)
    tree = Tree(TreeShape((0,), (-1,)), (), (1,), values)
    shard = msgspec.structs.replace(example(), base_margins=(1 / 3,), trees=(tree,))
    again = Shard.from_bytes(shard.to_bytes())
    assert [one.hex() for one in again.trees[0].weights] == [one.hex() for one in values]
    assert again.base_margins == (1 / 3,)
