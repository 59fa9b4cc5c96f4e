#!/usr/bin/env python3
"""Compile the contracts and write (or, with ``--check``, compare) the committed artifacts.

Run from anywhere after ``npm ci``::

    python contracts/script/compile.py          # writes fedchain/chain/artifacts/<Name>.json
    python contracts/script/compile.py --check  # exits 1 and names each artifact that is not what the sources give

The output depends only on the sources and the pinned compiler: source names are relative to the repository, the
bytecode carries no metadata.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import solcx

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ROOT / "contracts" / "src"
ARTIFACTS = ROOT / "fedchain" / "chain" / "artifacts"
WRAPPER = Path(__file__).resolve().with_name("solc-wrapper.js")
CONTRACTS = (
    "AnomalyPolicy", "AnomalyRecord", "ContributionAudit", "ContributionLedger", "Directory", "FaultProofs",
    "InferenceRouter", "JobManager", "ModelRegistry", "ParticipantRegistry", "Settlement", "Stewards", "UplinkLedger",
)  # fmt: skip
EVM_VERSION = "shanghai"
OPTIMIZER_RUNS = 200
MAX_RUNTIME_BYTES = 24_576


class CompileError(RuntimeError):
    """The npm side is missing, a source does not compile, or a contract is too large to deploy."""


def is_installed() -> bool:
    """Whether ``npm ci`` has put the compiler and OpenZeppelin into ``node_modules``."""
    return all((ROOT / "node_modules" / name).is_dir() for name in ("solc", "@openzeppelin/contracts"))


def standard_input() -> dict[str, Any]:
    """Compiler input (standard JSON) with every source under contracts/src, named relative to the repository."""
    sources = {
        path.relative_to(ROOT).as_posix(): {"content": path.read_text(encoding="utf-8")}
        for path in sorted(SOURCES.rglob("*.sol"))
    }
    return {
        "language": "Solidity",
        "sources": sources,
        "settings": {
            "remappings": ["@openzeppelin/=node_modules/@openzeppelin/"],
            "evmVersion": EVM_VERSION,
            "optimizer": {"enabled": True, "runs": OPTIMIZER_RUNS},
            "metadata": {"bytecodeHash": "none", "appendCBOR": False},
            "outputSelection": {"*": {"*": ["abi", "metadata", "evm.bytecode.object", "evm.deployedBytecode.object"]}},
        },
    }


def compile_all() -> dict[str, str]:
    """Compile everything.

    Returns: artifact text (canonical JSON) by contract name.
    Raises: CompileError if ``npm ci`` has not run, on compiler warnings too, and above 24,576 bytes of runtime code.
    """
    if not is_installed():
        raise CompileError("node_modules is missing solc or @openzeppelin/contracts: run 'npm ci' first")
    try:
        output = solcx.compile_standard(
            standard_input(),
            solc_binary=str(WRAPPER),
            base_path=str(ROOT),
            allow_paths=str(ROOT),
        )
    except solcx.exceptions.SolcError as error:
        raise CompileError(str(error)) from error
    complaints = [entry["formattedMessage"] for entry in output.get("errors", [])]
    if complaints:
        raise CompileError("\n".join(complaints))
    return {name: _artifact(name, output["contracts"][f"contracts/src/{name}.sol"][name]) for name in CONTRACTS}


def _artifact(name: str, contract: dict[str, Any]) -> str:
    runtime = contract["evm"]["deployedBytecode"]["object"]
    if len(runtime) // 2 >= MAX_RUNTIME_BYTES:
        raise CompileError(f"{name}: {len(runtime) // 2} bytes of runtime code, limit {MAX_RUNTIME_BYTES}")
    artifact = {
        "contractName": name,
        "abi": contract["abi"],
        "bytecode": "0x" + contract["evm"]["bytecode"]["object"],
        "deployedBytecode": "0x" + runtime,
        "compiler": json.loads(contract["metadata"])["compiler"]["version"],
        "evmVersion": EVM_VERSION,
    }
    return json.dumps(artifact, sort_keys=True, indent=1) + "\n"


def stale(artifacts: dict[str, str]) -> list[str]:
    """One line per committed artifact that is missing, differs from ``artifacts`` or has no source any more."""
    lines = []
    for name, text in artifacts.items():
        path = ARTIFACTS / f"{name}.json"
        if not path.is_file():
            lines.append(f"stale artifact: {path.relative_to(ROOT).as_posix()} is missing")
        elif path.read_bytes() != text.encode():
            lines.append(f"stale artifact: {path.relative_to(ROOT).as_posix()} differs from the sources")
    for path in sorted(ARTIFACTS.glob("*.json")):
        if path.stem not in artifacts:
            lines.append(f"stale artifact: {path.relative_to(ROOT).as_posix()} has no contract")
    return lines


def main() -> int:
    """Entry point; 0 when written or fresh, 1 when stale or not compiling."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="compare only; exit 1 when an artifact is stale")
    check = parser.parse_args().check
    try:
        artifacts = compile_all()
    except CompileError as error:
        print(error, file=sys.stderr)
        return 1
    if check:
        lines = stale(artifacts)
        print("\n".join(lines) if lines else f"{len(artifacts)} artifacts are fresh")
        return 1 if lines else 0
    ARTIFACTS.mkdir(parents=True, exist_ok=True)
    for name, text in artifacts.items():
        (ARTIFACTS / f"{name}.json").write_text(text, encoding="utf-8", newline="\n")
        print(f"{name}: {(len(json.loads(text)['deployedBytecode']) - 2) // 2} bytes of runtime code")
    return 0


if __name__ == "__main__":
    sys.exit(main())
