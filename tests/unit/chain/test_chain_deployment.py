"""The deployment file: written whole, read strictly."""

import json
from pathlib import Path

import pytest

from fedchain.chain import DeployedContract, Deployment
from fedchain.chain.artifacts import CONTRACT_NAMES
from fedchain.chain.files import write_atomically
from fedchain.errors import ConfigError


def deployment() -> Deployment:
    contract = DeployedContract(address="0x" + "11" * 20, code_hash="0x" + "22" * 32)
    return Deployment(
        chain_id=31337,
        genesis_hash="0x" + "33" * 32,
        deployer="0x" + "44" * 20,
        stewards=["0x" + "55" * 20],
        threshold=1,
        delay_seconds=0,
        contracts=dict.fromkeys(CONTRACT_NAMES, contract),
        transactions={"JobManager": "0x" + "66" * 32},
    )


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    path = tmp_path / "new" / "deployment.json"
    deployment().save(path)
    assert Deployment.load(path) == deployment()
    assert [entry.name for entry in path.parent.iterdir()] == ["deployment.json"]
    assert path.read_text().endswith("}\n")


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"surplus": 1}, "surplus"),
        ({"chain_id": -1}, "chain_id"),
        ({"genesis_hash": "0x12"}, "genesis_hash"),
        ({"stewards": ["nobody"]}, "stewards"),
        ({"version": 0}, "version"),
        ({"threshold": 0}, "threshold"),
        ({"delay_seconds": -1}, "delay_seconds"),
        ({"contracts": {}}, "contracts"),
        ({"contracts": {"JobManager": {"address": "0x", "code_hash": "0x"}}}, "contracts.JobManager.address"),
    ],
)
def test_a_wrong_field_is_named(tmp_path: Path, change: dict[str, object], named: str) -> None:
    path = tmp_path / "deployment.json"
    path.write_text(json.dumps({**deployment().model_dump(), **change}))
    with pytest.raises(ConfigError, match=named):
        Deployment.load(path)


@pytest.mark.parametrize("content", ["", "{", "[]", "null", "x" * (2 << 20)])
def test_a_file_that_is_no_deployment_is_named(tmp_path: Path, content: str) -> None:
    path = tmp_path / "deployment.json"
    path.write_text(content)
    with pytest.raises(ConfigError, match=r"deployment\.json"):
        Deployment.load(path)


def test_a_missing_file_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="fedchain deploy"):
        Deployment.load(tmp_path / "none.json")


def test_a_failed_write_leaves_the_old_file_and_no_neighbour(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    write_atomically(path, b"old")

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", fail)
    with pytest.raises(OSError, match="No space"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]
