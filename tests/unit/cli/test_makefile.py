"""The Makefile finds a Python and a Node that serve, and says in one line what is missing."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
MAKE = shutil.which("make")
TOOLS = ("sh", "echo", "sed", "printf", "cat", "touch", "rm", "find", "basename", "dirname", "mkdir", "tail")

pytestmark = pytest.mark.skipif(MAKE is None, reason="make is not installed")

Make = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A folder that is all of PATH: a shell's tools, no Python, no Node."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for tool in TOOLS:
        found = shutil.which(tool)
        if found is not None:
            (folder / tool).symlink_to(found)
    return folder


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A checkout without `.venv` and `node_modules`."""
    folder = tmp_path / "a checkout"
    folder.mkdir()
    for name in ("Makefile", "pyproject.toml", "package.json", "package-lock.json"):
        shutil.copy(ROOT / name, folder)
    return folder


@pytest.fixture
def make(path: Path, project: Path) -> Make:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        assert MAKE is not None
        environment = {"PATH": str(path), "HOME": str(project), "LC_ALL": "C"}
        return subprocess.run(
            [MAKE, "--no-print-directory", *arguments], cwd=project, env=environment, capture_output=True, text=True
        )

    return run


def script(path: Path, name: str, lines: Sequence[str]) -> None:
    file = path / name
    file.write_text("\n".join(["#!/bin/sh", *lines]) + "\n")
    file.chmod(0o755)


def python(path: Path, name: str, *, in_range: bool = True, has_ensurepip: bool = True) -> None:
    """A stand-in that answers the Makefile's questions as such a Python would."""
    script(
        path,
        name,
        [
            'case "$2" in',
            f"  *sys.exit*version_info*) exit {0 if in_range else 1} ;;",
            f"  *ensurepip*) exit {0 if has_ensurepip else 1} ;;",
            "  *print*) echo 3.12 ;;",
            "  *) exit 1 ;;",
            "esac",
        ],
    )


def complaint(done: subprocess.CompletedProcess[str]) -> str:
    """The one line that is not make's own."""
    assert done.returncode != 0
    lines = [line for line in done.stderr.splitlines() if not line.startswith("make")]
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("error: ")
    return lines[0]


def test_the_newest_python_in_range_is_picked(make: Make, path: Path) -> None:
    python(path, "python3", in_range=True)
    python(path, "python3.11")
    python(path, "python3.12")
    assert make("which-python").stdout == "python3.12\n"


def test_a_python_that_does_not_run_is_passed_over(make: Make, path: Path) -> None:
    script(path, "python3.13", ["echo 'command not found in this version' >&2", "exit 127"])
    python(path, "python3.10")
    done = make("which-python")
    assert (done.stdout, done.stderr) == ("python3.10\n", "")


def test_a_python_out_of_range_is_passed_over(make: Make, path: Path) -> None:
    python(path, "python3", in_range=False)
    assert "no Python 3.10 to 3.13" in complaint(make("which-python"))


def test_a_python_without_ensurepip_is_passed_over_for_one_that_has_it(make: Make, path: Path) -> None:
    python(path, "python3.12", has_ensurepip=False)
    python(path, "python3", has_ensurepip=True)
    assert make("which-python").stdout == "python3\n"


@pytest.mark.parametrize("target", ["which-python", "venv", "demo", "test-python"])
def test_missing_ensurepip_is_one_line_that_names_the_package(make: Make, path: Path, target: str) -> None:
    python(path, "python3", has_ensurepip=False)
    line = complaint(make(target))
    assert "python3.12-venv" in line
    assert "python3-venv" in line


def test_no_python_at_all_is_one_line(make: Make) -> None:
    assert "no Python 3.10 to 3.13 on PATH" in complaint(make("demo"))


def test_a_named_python_is_the_only_candidate(make: Make, path: Path) -> None:
    python(path, "python3.12")
    python(path, "python3.11")
    assert make("which-python", "PYTHON=python3.11").stdout == "python3.11\n"
    assert "PYTHON=nosuch" in complaint(make("which-python", "PYTHON=nosuch"))


def node(path: Path, version: str) -> None:
    script(path, "node", [f"echo {version}"])
    script(path, "npm", ["echo 10.0.0"])


@pytest.mark.parametrize("target", ["test", "tools", "docs", "docs-serve", "audit"])
def test_a_missing_node_is_one_line_before_anything_is_installed(make: Make, path: Path, target: str) -> None:
    python(path, "python3", has_ensurepip=False)
    line = complaint(make(target))
    assert "Node.js >= 20" in line
    assert "there is none on PATH" in line


def test_an_old_node_is_named_with_its_version(make: Make, path: Path) -> None:
    node(path, "v18.19.1")
    line = complaint(make("tools"))
    assert "Node.js >= 20" in line
    assert "v18.19.1 is on PATH" in line


def test_a_node_without_npm_is_named(make: Make, path: Path) -> None:
    node(path, "v20.1.0")
    (path / "npm").unlink()
    assert "npm is not on PATH" in complaint(make("check-node"))


@pytest.mark.parametrize("version", ["v20.0.0", "v22.11.0", "v100.0.0"])
def test_a_new_enough_node_serves(make: Make, path: Path, version: str) -> None:
    node(path, version)
    done = make("check-node")
    assert (done.returncode, done.stderr) == (0, "")


def test_tools_run_npm_ci_once(make: Make, path: Path, project: Path) -> None:
    script(path, "node", ["echo v20.1.0"])
    script(path, "npm", ['echo "$1" >> calls', "mkdir -p node_modules"])
    assert make("tools").returncode == 0
    assert make("tools").returncode == 0
    assert (project / "calls").read_text().split().count("ci") == 1


@pytest.fixture
def ready(path: Path, project: Path) -> Path:
    """The checkout with all installed; what `make test` runs does nothing, and passes."""
    node(path, "v20.1.0")
    for folder in (".venv/bin", "node_modules/.bin", "contracts/script"):
        (project / folder).mkdir(parents=True)
    for stamp in (".venv/.installed", ".venv/.installed-test", "node_modules/.installed"):
        (project / stamp).touch()
    for name in ("python", "ruff", "mypy", "lint-imports", "pytest"):
        script(project / ".venv/bin", name, ["exit 0"])
    script(project / "node_modules/.bin", "solhint", ["exit 0"])
    script(project / "contracts/script", "forge.sh", ['echo "Ran 52 test suites"'])
    return project


def test_make_test_shows_what_it_runs_and_how_the_contracts_tests_ended(make: Make, ready: Path) -> None:
    done = make("test")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[0].startswith("contracts/script/forge.sh test >")
    assert done.stdout.splitlines()[-1] == "Ran 52 test suites"
    for tool in ("ruff check .", "ruff format --check .", "mypy", "lint-imports", "pytest -n"):
        assert f"\n.venv/bin/{tool}" in done.stdout


@pytest.mark.parametrize("name", ["ruff", "mypy", "lint-imports", "pytest"])
def test_make_test_fails_with_each_of_its_steps(make: Make, ready: Path, name: str) -> None:
    script(ready / ".venv/bin", name, ["exit 1"])
    assert make("test").returncode != 0


@pytest.mark.parametrize("subcommand", ["test", "fmt"])
def test_make_test_fails_with_forge_and_shows_what_it_said(make: Make, ready: Path, subcommand: str) -> None:
    lines = [f'[ "$1" = {subcommand} ] || exit 0', "echo Failing tests", "echo and why", "exit 1"]
    script(ready / "contracts/script", "forge.sh", lines)
    done = make("test")
    assert done.returncode != 0
    assert "Failing tests\nand why" in done.stdout


def test_the_default_goal_lists_the_targets(make: Make) -> None:
    listed = make().stdout
    targets = "demo test test-python tools lint fmt contracts docs docs-serve audit soak clean venv help"
    for target in targets.split():
        assert f"\n  {target} " in listed


@pytest.fixture
def installed(project: Path) -> Path:
    """A `.venv` whose `fedchain` writes down how it was called."""
    folder = project / ".venv" / "bin"
    folder.mkdir(parents=True)
    script(folder, "fedchain", ['for one in "$@"; do echo "$one"; done'])
    stamp = project / ".venv" / ".installed"
    stamp.touch()
    newer = (project / "pyproject.toml").stat().st_mtime + 10
    os.utime(stamp, (newer, newer))
    return project


def test_demo_alone_takes_the_built_in_table(make: Make, installed: Path) -> None:
    assert make("demo").stdout.split() == ["demo", "--chain", "embedded", "--report", "demo-report.json"]


def test_demo_finds_the_job_by_the_name_of_the_data_folder(make: Make, installed: Path) -> None:
    data = installed.parent / "some data" / "telco"
    data.mkdir(parents=True)
    job = installed / "nodes/examples/telco/job.toml"
    job.parent.mkdir(parents=True)
    job.touch()
    lines = make("demo", f"DATA={data}/", "CHAIN=anvil", "REPORT=r.json").stdout.splitlines()
    assert lines[:5] == ["demo", "--chain", "anvil", "--report", "r.json"]
    assert lines[5:] == ["--data", f"{data}/", "--job", "nodes/examples/telco/job.toml"]


def test_demo_takes_a_named_job(make: Make, installed: Path) -> None:
    lines = make("demo", "DATA=my data", "JOB=my job.toml").stdout.splitlines()
    assert lines[5:] == ["--data", "my data", "--job", "my job.toml"]


def test_demo_without_a_job_for_its_data_says_where_it_looked(make: Make, installed: Path) -> None:
    (installed / "mine").mkdir()
    assert "nodes/examples/mine/job.toml: no such job file" in complaint(make("demo", "DATA=mine"))
    assert "no such folder" in complaint(make("demo", "DATA=nowhere"))


def test_ci_runs_make_test_and_nothing_else(path: Path, project: Path) -> None:
    (project / ".ci").mkdir()
    shutil.copy(ROOT / ".ci" / "run", project / ".ci")
    script(path, "make", ['echo "make $*"'])
    (path / "bash").symlink_to(shutil.which("bash") or "/bin/bash")
    done = subprocess.run(
        [project / ".ci" / "run"], env={"PATH": f"{path}:/usr/bin:/bin"}, cwd="/", capture_output=True, text=True
    )
    assert (done.stdout, done.stderr, done.returncode) == ("make test\n", "", 0)
