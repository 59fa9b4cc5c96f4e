"""`make contracts-report`: figures on stdout, one line for what is missing, and exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from contracts.script.report import __main__ as command
from contracts.script.report.part import Part
from contracts.script.report.sizes import MAX_RUNTIME_BYTES, runtime_sizes
from contracts.script.report.workspace import ReportError, Workspace
from fedchain.chain.artifacts import CONTRACT_NAMES


@pytest.fixture
def parts(monkeypatch: pytest.MonkeyPatch) -> dict[str, Part]:
    """What the parts of the report find."""
    found = {
        "coverage": Part({"line_coverage_percent": 95.0}, ("a table",), {"A.sol": 1}, ("a note",)),
        "gas": Part({"gas_batch_leaf": 29_999}),
    }
    monkeypatch.setattr(command, "PARTS", {name: lambda _, name=name: found[name] for name in found})
    return found


def test_figures_are_lines_of_name_and_value(parts: dict[str, Part], capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main([]) == 0
    printed = capsys.readouterr()
    assert printed.out == "line_coverage_percent 95.00\ngas_batch_leaf 29999\n"
    assert printed.err == "note: a note\n"
    assert command.main(["--only", "gas", "--verbose"]) == 0
    assert capsys.readouterr().out == "gas_batch_leaf 29999\n"


def test_json_has_the_figures_and_the_details(parts: dict[str, Part], capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["figures"] == {"line_coverage_percent": 95.0, "gas_batch_leaf": 29_999}
    assert document["details"]["coverage"] == {"A.sol": 1}


def test_a_missed_aim_matters_when_it_is_asked_for(parts: dict[str, Part], capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["--check"]) == 0
    parts["gas"] = Part({"gas_batch_leaf": 30_001})
    assert command.main([]) == 0
    assert command.main(["--check"]) == 1
    assert "error: gas_batch_leaf is 30001, at most 30000 is aimed at" in capsys.readouterr().err


def test_a_fault_is_an_error_without_being_asked_for(
    parts: dict[str, Part], capsys: pytest.CaptureFixture[str]
) -> None:
    parts["gas"] = Part({"gas_batch_leaf": 1}, faults=("a mutant lives",))
    assert command.main([]) == 1
    printed = capsys.readouterr()
    assert printed.err.endswith("error: a mutant lives\n")
    assert "gas_batch_leaf 1\n" in printed.out


def test_what_cannot_be_measured_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails(_: object) -> Part:
        raise ReportError("anvil is missing")

    monkeypatch.setattr(command, "PARTS", {"gas": fails})
    assert command.main([]) == 2
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("", "error: anvil is missing\n")


def test_a_missing_compiler_or_node_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ReportError, match="node_modules is missing the compiler: run 'make tools' first"):
        Workspace(tmp_path)
    (tmp_path / "node_modules" / "solc").mkdir(parents=True)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ReportError, match="node is not on PATH"):
        Workspace(tmp_path)


def test_every_contract_has_its_size() -> None:
    sizes = runtime_sizes()
    assert set(sizes) == set(CONTRACT_NAMES)
    assert all(0 < size < MAX_RUNTIME_BYTES for size in sizes.values())
