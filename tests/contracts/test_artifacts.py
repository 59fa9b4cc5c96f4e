"""The committed artifacts are what the sources give, deployable and free of anything but the contract."""

from __future__ import annotations

import importlib.util
import json
import shutil
from pathlib import Path
from types import ModuleType

import pytest

from fedchain.chain.artifacts import CONTRACT_NAMES

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
