"""The declared mutants fit the contracts: each rule has one, and each text stands in its source once."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from contracts.script.report.mutants import (
    SOURCES,
    Mutant,
    enum_members,
    load_mutants,
    require_applicable,
    without_comments,
)
from contracts.script.report.workspace import ROOT, ReportError, contracts_of, read_tests

INTERFACE = SOURCES / "interfaces" / "IUplinkLedger.sol"


def rules() -> set[str]:
    return {mutant.rule for mutant in load_mutants()}


def test_every_reason_code_has_a_mutant() -> None:
    reasons = enum_members(INTERFACE.read_text(encoding="utf-8"), "Reason")
    assert reasons[0] == "Accepted"
    assert not {f"UplinkLedger.{reason}" for reason in reasons[1:]} - rules()


def test_every_fault_has_a_mutant() -> None:
    source = without_comments((SOURCES / "Faults.sol").read_text(encoding="utf-8"))
    numbered = {name: int(value) for name, value in re.findall(r"constant (\w+) = (\d+);", source)}
    faults = {name for name, value in numbered.items() if value > numbered["LAST_STRUCTURAL"]}
    assert len(faults) >= 6
    assert not {f"Faults.{name}" for name in faults} - rules()


def test_every_guard_of_the_registry_has_a_mutant() -> None:
    source = without_comments((SOURCES / "interfaces" / "IParticipantRegistry.sol").read_text(encoding="utf-8"))
    errors = set(re.findall(r"\berror (\w+)\(", source))
    assert len(errors) >= 18
    assert not {f"ParticipantRegistry.{name}" for name in errors} - rules()


def test_every_guard_of_the_router_has_a_mutant() -> None:
    source = without_comments((SOURCES / "interfaces" / "IInferenceRouter.sol").read_text(encoding="utf-8"))
    errors = set(re.findall(r"\berror (\w+)\(", source))
    assert len(errors) >= 13
    assert not {f"InferenceRouter.{name}" for name in errors} - rules()


@pytest.mark.parametrize(("contract", "least"), [("ContributionAudit", 18), ("Settlement", 8)])
def test_every_guard_of_audits_and_settlements_has_a_mutant(contract: str, least: int) -> None:
    source = without_comments((SOURCES / "interfaces" / f"I{contract}.sol").read_text(encoding="utf-8"))
    errors = set(re.findall(r"\berror (\w+)\(", source))
    assert len(errors) >= least
    assert not {f"{contract}.{name}" for name in errors} - rules()


def test_every_call_on_deadlines_has_a_mutant() -> None:
    assert {f"JobManager.{call}" for call in ("attend", "closeRound", "markMissing", "expire")} <= rules()


def test_every_text_stands_in_its_source_once() -> None:
    require_applicable(load_mutants())


def test_no_mutation_is_declared_twice() -> None:
    mutations = [(mutant.file, mutant.find, mutant.replace) for mutant in load_mutants()]
    assert len(set(mutations)) == len(mutations)


def test_no_mutation_changes_comments_alone() -> None:
    for mutant in load_mutants():
        source = (SOURCES / mutant.file).read_text(encoding="utf-8")
        changed = source.replace(mutant.find, mutant.replace)
        assert without_comments(changed).split() != without_comments(source).split(), mutant.name


def test_every_filter_matches_a_test_contract() -> None:
    sources = [path.read_text(encoding="utf-8") for path in (ROOT / "contracts" / "test").glob("*.t.sol")]
    contracts = [name for text in sources for name in contracts_of(text)]
    for mutant in load_mutants():
        assert any(re.search(mutant.tests, contract) for contract in contracts), mutant.name


def test_a_mutation_is_written_and_the_original_given_back(tmp_path: Path) -> None:
    file = tmp_path / "A.sol"
    file.write_text("if (a) b; // if (a) c;")
    assert Mutant("A.x", "A.sol", "if (a) b;", "b;").apply(tmp_path) == "if (a) b; // if (a) c;"
    assert file.read_text() == "b; // if (a) c;"


@pytest.mark.parametrize(
    ("find", "replace", "says"),
    [
        ("if (a)", "", "occurs 2 times in A.sol"),
        ("if (z)", "", "occurs 0 times in A.sol"),
        ("b;", "b;", "changes nothing"),
    ],
)
def test_a_text_that_is_not_there_once_is_an_error(tmp_path: Path, find: str, replace: str, says: str) -> None:
    (tmp_path / "A.sol").write_text("if (a) b; if (a) c;")
    mutant = Mutant("A.x", "A.sol", find, replace)
    with pytest.raises(ReportError, match=says):
        mutant.apply(tmp_path)
    with pytest.raises(ReportError, match=says):
        require_applicable([mutant], tmp_path)
    with pytest.raises(ReportError, match=r"source B\.sol: No such file"):
        require_applicable([Mutant("B.x", "B.sol", find, replace)], tmp_path)


ENTRY = '[[mutant]]\nrule = "A.x"\nfile = "A.sol"\nfind = "a"\nreplace = ""\n'


@pytest.mark.parametrize(
    "text",
    [
        "",
        "other = 1\n" + ENTRY,
        ENTRY.replace('find = "a"', 'find = ""'),
        ENTRY.replace('find = "a"\n', ""),
        ENTRY + "line = 3\n",
        ENTRY + "tests = 3\n",
        "[[mutant]\n",
    ],
)
def test_a_broken_list_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "mutants.toml"
    file.write_text(text)
    with pytest.raises(ReportError, match=r"^mutants\.toml: "):
        load_mutants(file)


def test_a_list_is_read_in_order(tmp_path: Path) -> None:
    file = tmp_path / "mutants.toml"
    file.write_text(ENTRY + ENTRY.replace("A.x", "A.y") + 'tests = "T"\n')
    assert [(one.rule, one.tests) for one in load_mutants(file)] == [("A.x", ""), ("A.y", "T")]


def test_members_of_an_enum_are_read_without_comments() -> None:
    source = "enum Other { A }\nenum Reason { /* no, */ One, // two, three\n Two }"
    assert enum_members(source, "Reason") == ["One", "Two"]
    with pytest.raises(ReportError, match="no enum Phase"):
        enum_members(source, "Phase")


RESULTS = (
    '{"contracts/test/A.t.sol:ATest":{"duration":"1ms","test_results":{"test_a()":{"status":"Success"},'
    '"testFuzz_b(uint256,bytes)":{"status":"Failure"}},"warnings":[]}}'
)


def test_results_of_forge_are_read_by_test() -> None:
    assert read_tests(f"Compiling\n{RESULTS}\n", "") == {"ATest.test_a": True, "ATest.testFuzz_b": False}


def test_sources_that_do_not_compile_are_told_from_a_forge_that_breaks() -> None:
    assert read_tests("Compiler run failed:\nError (9582)", "Error: Compilation failed") is None
    assert read_tests("No tests found in project! Forge looks for functions that start with `test`", "") == {}
    with pytest.raises(ReportError, match="forge test gave no results: panicked"):
        read_tests("", "thread main\npanicked\n")
