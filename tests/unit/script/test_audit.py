"""`make audit` fails when something is known, and when it could not be asked."""

from __future__ import annotations

import importlib.util
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from tests.unit.docs.markdown import ROOT


def _load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("fedchain_audit", ROOT / "script" / "audit.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


audit = _load()
PINNED = {"a-b": "1.0", "c": "2.0"}
FINE = {"name": "c", "version": "2.0", "vulns": []}


def test_what_fedchain_needs_is_found_with_what_that_needs() -> None:
    base = audit.installed("fedchain", ())
    with_sql = audit.installed("fedchain", ["sql"])

    assert {"numpy", "pydantic", "pydantic-core", "py-evm"} <= set(base)
    assert "pytest" not in base
    assert {"sqlalchemy", "sqlparse"} <= set(with_sql) - set(base)


def test_a_package_that_is_not_installed_is_not_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    needy = SimpleNamespace(
        metadata={"Name": "needy"},
        version="1",
        requires=("no-such-package-anywhere>=1", 'also-not-here; extra == "x"'),
    )
    real = audit.importlib.metadata.distribution
    monkeypatch.setattr(audit.importlib.metadata, "distribution", lambda name: needy if name == "needy" else real(name))
    with pytest.raises(audit.UnansweredError, match="no-such-package-anywhere is not installed"):
        audit.installed("needy", ())


def test_each_known_vulnerability_is_a_line() -> None:
    known = {"name": "a-b", "version": "1.0", "vulns": [{"id": "CVE-1", "fix_versions": ["1.1"]}]}

    assert audit.read_python([known, FINE], PINNED) == ["a-b 1.0: CVE-1, fixed in 1.1"]


@pytest.mark.parametrize("answers", [[FINE], [FINE, {"name": "a-b", "skip_reason": "not found"}], []])
def test_a_package_without_an_answer_is_no_pass(answers: list[dict[str, Any]]) -> None:
    with pytest.raises(audit.UnansweredError, match="of 2 packages, such as a-b, were not audited"):
        audit.read_python(answers, PINNED)


def test_npm_names_packages_with_their_severity() -> None:
    assert audit.read_npm({"vulnerabilities": {"x": {"severity": "high"}}}) == ["x: high"]
    assert audit.read_npm({"vulnerabilities": {}}) == []


def test_an_error_of_npm_is_no_pass() -> None:
    with pytest.raises(audit.UnansweredError, match=r"^405 Method Not Allowed$"):
        audit.read_npm({"message": "405 Method Not Allowed - POST https://registry.example/-/npm/v1/bulk"})


@pytest.mark.parametrize(
    ("python", "npm", "code"),
    [([], [], 0), (["a 1: CVE"], [], 1), ([], ["b: low"], 1), (None, [], 2), ([], None, 2), (["a 1: CVE"], None, 2)],
)
def test_the_exit_code_tells_clean_from_known_and_from_not_asked(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], python: Any, npm: Any, code: int
) -> None:
    def answer(lines: list[str] | None) -> list[str]:
        if lines is None:
            raise audit.UnansweredError("nobody there")
        return lines

    monkeypatch.setattr(audit, "installed", lambda *_: {"fedchain": "0", "c": "1"})
    monkeypatch.setattr(audit, "audit_python", lambda _: answer(python))
    monkeypatch.setattr(audit, "audit_npm", lambda: answer(npm))

    assert audit.main() == code
    printed = capsys.readouterr()
    assert printed.err.count("\n") == [python, npm].count(None)
    assert all(line.startswith("error: ") for line in printed.err.splitlines())
    assert all(line in printed.out for line in [*(python or ()), *(npm or ())])
