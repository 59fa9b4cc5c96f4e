"""What the command says about itself."""

from __future__ import annotations

import importlib.metadata
import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import typer
from typer.core import TyperGroup
from typer.testing import CliRunner

from fedchain.cli.main import app

HEAVY = ("web3", "eth_account", "grpc", "numpy", "pydantic", "sklearn", "xgboost", "coincurve", "fastapi", "uvicorn")


def walk(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    yield path, command
    if isinstance(command, TyperGroup):
        for name, child in command.commands.items():
            yield from walk(child, (*path, name))


TREE = dict(walk(typer.main.get_command(app)))
LEAVES = [path for path, command in TREE.items() if not isinstance(command, TyperGroup)]


@pytest.mark.parametrize("path", TREE, ids=" ".join)
def test_help_of_every_command_has_an_example_of_itself(path: tuple[str, ...]) -> None:
    result = CliRunner(env={"COLUMNS": "200"}).invoke(app, [*path, "--help"])
    assert result.exit_code == 0
    example = " ".join(result.stdout.partition("Example: ")[2].split())
    assert example.startswith(" ".join(("fedchain", *path)))


def test_a_help_text_fills_the_terminal_it_is_read_in() -> None:
    """A line of the source that ends within a sentence is no line of the text; examples stand by themselves."""
    shown = CliRunner(env={"COLUMNS": "100"}).invoke(app, ["bench", "contribution", "--help"]).stdout
    lines = [line.strip() for line in shown.splitlines()]
    assert len([line for line in lines if line.startswith("Example: ")]) == 2
    for path, command in TREE.items():
        prose = (command.help or "").partition("Example:")[0].strip()
        assert "\n" not in prose.replace("\n\n", ""), " ".join(path)


@pytest.mark.parametrize("path", LEAVES, ids=" ".join)
def test_every_option_of_every_command_has_a_help_text(path: tuple[str, ...]) -> None:
    for parameter in TREE[path].params:
        if parameter.name != "help":
            assert parameter.help, f"{' '.join(path)} {parameter.name}"


@pytest.mark.parametrize("path", TREE, ids=" ".join)
def test_no_name_in_brackets_is_taken_for_markup(path: tuple[str, ...]) -> None:
    texts = [TREE[path].help or "", *(getattr(parameter, "help", None) or "" for parameter in TREE[path].params)]
    shown = CliRunner(env={"COLUMNS": "200"}).invoke(app, [*path, "--help"]).stdout
    for name in re.findall(r"\[(\w+)\]", "\n".join(texts)):
        assert f"[{name}]" in shown


def test_all_commands_of_the_manual_are_there() -> None:
    wanted = (
        "demo", "simulate", "chain start", "deploy", "steward accredit", "steward suspend", "steward reinstate",
        "node init", "node run", "job submit", "job show", "job status", "job watch", "predict", "contributions",
        "model show", "bench boosting",
    )  # fmt: skip
    assert {tuple(one.split()) for one in wanted} <= set(LEAVES)


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys\nfrom fedchain.cli.main import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit:\n    pass\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "Usage: fedchain" in done.stdout
    assert done.stderr.strip() == "[]"


def test_version_is_the_package_s() -> None:
    result = CliRunner().invoke(app, ["--version"])
    assert result.stdout == f"fedchain {importlib.metadata.version('fedchain')}\n"
    assert result.exit_code == 0


def test_examples_of_all_commands_parse() -> None:
    import shlex

    from typer.models import OptionInfo

    assert OptionInfo is not None
    for path in LEAVES:
        text = TREE[path].help or ""
        example = shlex.split(re.split(r"Example: ", text)[1].replace("…", "0"))
        assert example[: 1 + len(path)] == ["fedchain", *path]
        TREE[path].make_context(path[-1], example[1 + len(path) :]).close()
