"""Links lead somewhere, named files exist, commands and targets exist, exit codes are those of the errors."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import typer

from fedchain import errors
from fedchain.cli.guard import EXIT_INTERNAL, EXIT_INTERRUPTED
from fedchain.cli.main import app
from tests.unit.docs.blocks import blocks_of
from tests.unit.docs.markdown import PAGES, ROOT, anchors, links, name_of, prose, section, table

CLI = (ROOT / "docs" / "reference" / "cli.md").read_text(encoding="utf-8")


def read(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def commands() -> dict[str, set[str]]:
    """Each command, such as `job submit`, and its options; groups are in it without any."""
    found: dict[str, set[str]] = {}

    def walk(command: object, path: str) -> None:
        for name, sub in getattr(command, "commands", {}).items():
            found[f"{path}{name}"] = {one for parameter in sub.params for one in parameter.opts if one[0] == "-"}
            walk(sub, f"{path}{name} ")

    walk(typer.main.get_command(app), "")
    return found


COMMANDS = commands()
GROUPS = {name.rpartition(" ")[0] for name in COMMANDS if " " in name}


def command_in(words: list[str]) -> str:
    """The command with which a line begins: one word more for each group."""
    name = words[0]
    for word in words[1:]:
        if name not in GROUPS:
            break
        name = f"{name} {word}"
    return name


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_internal_links_lead_to_files_and_headings(page: Path) -> None:
    for link in links(read(page)):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{link}: no such file"
        assert target.is_relative_to(ROOT), f"{link}: outside the repository"
        assert not anchor or anchor in anchors(read(target)), f"{link}: no such heading"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_files_named_in_code_spans_exist(page: Path) -> None:
    for path in re.findall(r"`((?:fedchain|contracts|nodes|docs|tests)/[\w./*-]+)`", prose(read(page))):
        assert (ROOT / path).exists(), path


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_commands_in_the_text_exist_with_their_options(page: Path) -> None:
    typed = "\n".join(command.text for block in blocks_of(page) for command in block.commands)
    spans = re.findall(r"`(?:\.venv/bin/)?fedchain ([^`\n)]+)", prose(read(page)))
    for line in [*spans, *re.findall(r"(?:^|\$\(|[;&] *)(?:\.venv/bin/)?fedchain ([^\n)#]+)", typed, re.MULTILINE)]:
        words = line.split()
        if not re.fullmatch(r"[a-z]+", words[0]):
            continue  # COMMAND, an option: the root's own usage
        name = command_in(words)
        assert name in COMMANDS, f"fedchain {line}"
        options = {word for word in words if word.startswith("--")} - {"--help"}
        assert options <= COMMANDS[name], f"fedchain {line}"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_make_targets_in_the_text_exist(page: Path) -> None:
    targets = set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    for target in re.findall(r"(?:`|\n *)make ([a-z-]+)(?=[`\n ])", read(page)):
        assert target in targets, f"make {target}"


def test_every_command_is_in_the_list_and_no_other() -> None:
    listed = {row[0].strip("`").removeprefix("fedchain ") for row in table(CLI)}

    assert listed == set(COMMANDS) - GROUPS


def test_exit_codes_are_those_of_the_errors() -> None:
    listed = {int(row[0]): set(re.findall(r"`(\w+)`", row[2])) for row in table(section(CLI, "Exit codes"))}
    named = {name: code for code, names in listed.items() for name in names}

    assert {EXIT_INTERNAL, EXIT_INTERRUPTED, 0} <= set(listed)
    for error in _all_errors(errors.FedchainError):
        code = next((named[base.__name__] for base in error.__mro__ if base.__name__ in named), None)
        assert code == error.exit_code, error.__name__
    assert set(named) <= {error.__name__ for error in _all_errors(errors.FedchainError)}


def _all_errors(base: type[errors.FedchainError]) -> set[type[errors.FedchainError]]:
    direct = [one for one in base.__subclasses__() if one.__module__ == errors.__name__]
    return set(direct).union(*(_all_errors(one) for one in direct))
