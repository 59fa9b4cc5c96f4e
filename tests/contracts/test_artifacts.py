"""The committed artifacts are what the sources give, deployable and free of anything but the contract."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import shutil
from pathlib import Path
from types import ModuleType

import pytest

from fedchain.chain.artifacts import CONTRACT_NAMES, DIRECTORY, LASTING, REGISTRY, STEWARDS, load_artifact

ROOT = Path(__file__).resolve().parents[2]
ARTIFACTS = ROOT / "fedchain" / "chain" / "artifacts"


def _compiler() -> ModuleType:
    pytest.importorskip("solcx", reason="py-solc-x is not installed")
    spec = importlib.util.spec_from_file_location("contracts_compile", ROOT / "contracts" / "script" / "compile.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_artifacts_are_what_the_sources_compile_to() -> None:
    compiler = _compiler()
    if shutil.which("node") is None or not compiler.is_installed():
        pytest.skip("the npm side is not installed: run 'npm ci'")
    assert compiler.stale(compiler.compile_all()) == []


def test_stale_names_each_artifact_that_differs_is_missing_or_has_no_contract(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiler = _compiler()
    folder = tmp_path / "artifacts"
    folder.mkdir()
    (folder / "Same.json").write_text("same")
    (folder / "Old.json").write_text("old")
    (folder / "Gone.json").write_text("gone")
    monkeypatch.setattr(compiler, "ROOT", tmp_path)
    monkeypatch.setattr(compiler, "ARTIFACTS", folder)
    assert compiler.stale({"Same": "same", "Old": "new", "New": "new"}) == [
        "stale artifact: artifacts/Old.json differs from the sources",
        "stale artifact: artifacts/New.json is missing",
        "stale artifact: artifacts/Gone.json has no contract",
    ]


LASTING_CODE = {
    STEWARDS: "33235173d03f58a93daae240ef4b8f3d506405e0d04e7319825d36b74b9173b2",
    REGISTRY: "b73fae265386b2b1da3850463515e45b443535e52eb3227ea004100747c41512",
    DIRECTORY: "c27051df577bd722447eb247e597b17d210d181623e55922a48794d718230563",
}
"""SHA-256 of the creation code that consortia have: an upgrade keeps these contracts, and checks their code."""


def test_contracts_that_outlast_upgrades_are_those_that_consortia_have() -> None:
    assert set(LASTING_CODE) == set(LASTING)
    for name, expected in LASTING_CODE.items():
        found = hashlib.sha256(load_artifact(name).bytecode).hexdigest()
        assert found == expected, f"{name}: `fedchain deploy --upgrade` of a present consortium would refuse its own"


def test_folder_holds_exactly_the_contracts_that_are_deployed() -> None:
    assert sorted(path.stem for path in ARTIFACTS.glob("*.json")) == sorted(CONTRACT_NAMES)


@pytest.mark.parametrize("name", CONTRACT_NAMES)
def test_artifact_is_canonical_and_fits_a_deployment(name: str) -> None:
    text = (ARTIFACTS / f"{name}.json").read_text(encoding="utf-8")
    built = json.loads(text)
    assert text == json.dumps(built, sort_keys=True, indent=1) + "\n"
    assert set(built) == {"contractName", "abi", "bytecode", "deployedBytecode", "compiler", "evmVersion"}
    assert built["contractName"] == name
    assert built["evmVersion"] == "shanghai"
    assert 0 < len(bytes.fromhex(built["deployedBytecode"][2:])) < 24_576
    assert built["bytecode"].startswith("0x")
    assert "__$" not in built["bytecode"]
    assert str(ROOT) not in text
