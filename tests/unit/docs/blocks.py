"""What the documentation tells people to type, read out of its pages, and how the tests are to run it.

A block of commands is a fence `sh` (commands alone), a fence `console` (commands behind `$ `, with what they print), or
an indented block that begins with a command. All of them are run, in the order of the page. A comment on a line of its
own before a block, which no reader of the page sees, says what is special about it:

    <!-- run: never, REASON -->             it cannot be run here; a test lists these
    <!-- run: background, until "TEXT" -->  it is started, and goes on once it has printed TEXT
    <!-- run: exit 4 -->                    its last command must end so
    <!-- file: PATH -->                     the block is a file's content, and is written there
    <!-- first: COMMANDS -->                what the page takes for granted; may have several lines
    <!-- stop: TEXT -->                     Ctrl-C in the terminal of the background command that contains TEXT
    <!-- page: never, REASON -->            no block of this page can be run here

In what a command prints, `…` stands for anything, and on a line of its own for any number of lines.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt

from tests.unit.docs.markdown import PAGES, name_of

COMMAND_PAGES = [page for page in PAGES if page.name != "CHANGELOG.md"]

_TOOLS = "fedchain make python python3 pip pytest npx npm docker curl git cd cat cp mv rm mkdir chmod export"
_BEGINS = re.compile(rf"(?:{'|'.join(_TOOLS.split())})\b|\.venv/bin/|\. \.venv|contracts/script/|\(umask|[A-Z_]+=")
_COMMENT = re.compile(r"<!-- (run|page|file|stop|first):\s(.*?)\s-->", re.DOTALL)
_RULE = re.compile(r'never, (?P<never>.+)|background, until "(?P<until>[^"]+)"|exit (?P<exit>\d+)', re.DOTALL)
_HEREDOC = re.compile(r"<<-?\s*(['\"]?)(\w+)\1")


@dataclass(frozen=True)
class Command:
    """One command, and the lines that it is said to print; None where the page does not say."""

    text: str
    prints: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Block:
    """A block of commands, or the content of a file; `line` counts from 1."""

    page: Path
    line: int
    commands: tuple[Command, ...] = ()
    content: str = ""
    file: str = ""
    stop: str = ""
    never: str = ""
    until: str = ""
    code: int = 0

    @property
    def where(self) -> str:
        return f"{name_of(self.page)}:{self.line}"


def blocks_of(page: Path) -> list[Block]:
    """All blocks of a page in their order.

    Raises:
        ValueError: a comment is none of the above, or has no block behind it.
    """
    return list(_read(page, page.read_text(encoding="utf-8")))


def _read(page: Path, text: str) -> Iterator[Block]:
    said: dict[str, str] = {}
    whole = ""
    for token in MarkdownIt("commonmark").parse(text):
        line = token.map[0] + 1 if token.map else 0
        where = f"{page.name}:{line}"
        if token.type == "html_block":
            for kind, words in _COMMENT.findall(token.content):
                if kind == "page":
                    whole = _rule(words, where)["never"]
                elif kind == "stop":
                    yield Block(page, line, stop=words)
                elif kind == "first":
                    yield Block(page, line, tuple(Command(one) for one in _split(words)), never=whole)
                else:
                    said[kind] = words
        elif token.type in ("fence", "code_block"):
            block = _block(page, line, token.type, token.info.strip(), token.content, said, whole)
            if block is None:
                if said:
                    raise ValueError(f"{where}: {said} stands before a block that is no command")
                continue
            yield block
            said = {}
    if said:
        raise ValueError(f"{page.name}: no block comes after {said}")


def _block(
    page: Path, line: int, kind: str, language: str, content: str, said: dict[str, str], whole: str
) -> Block | None:
    where = f"{page.name}:{line}"
    if "file" in said:
        return Block(page, line, content=content, file=said["file"], never=whole)
    if kind == "fence" and language == "console":
        commands = _session(content, where)
    elif (kind == "fence" and language == "sh") or (kind == "code_block" and _BEGINS.match(content)):
        commands = [Command(one) for one in _split(content)]
    else:
        return None
    rule = _rule(said.get("run", "exit 0"), where)
    return Block(
        *(page, line, tuple(commands)),
        never=whole or rule["never"],
        until=rule["until"],
        code=int(rule["exit"] or 0),
    )


def _rule(words: str, where: str) -> dict[str, str]:
    match = _RULE.fullmatch(" ".join(words.split()))
    if match is None:
        raise ValueError(f"{where}: what is 'run: {words}'?")
    return {name: found or "" for name, found in match.groupdict().items()}


def _split(content: str) -> list[str]:
    """Commands of a block: a line each, but for those that go on behind a backslash or in a here document."""
    found: list[str] = []
    lines = iter(content.rstrip("\n").split("\n"))
    for line in lines:
        command = line
        while command.endswith("\\"):
            command += "\n" + next(lines)
        heredoc = _HEREDOC.search(command)
        while heredoc and command.rsplit("\n", 1)[-1] != heredoc[2]:
            command += "\n" + next(lines)
        if command.strip() and not command.lstrip().startswith("#"):
            found.append(command)
    return found


def _session(content: str, where: str) -> list[Command]:
    found: list[tuple[list[str], list[str]]] = []
    for line in content.rstrip("\n").split("\n"):
        if line.startswith("$ "):
            found.append(([line[2:]], []))
        elif not found:
            raise ValueError(f"{where}: a console block begins with '$ '")
        elif line.startswith("> ") and not found[-1][1]:
            found[-1][0].append(line[2:])
        else:
            found[-1][1].append(line)
    return [Command("\n".join(command), tuple(printed)) for command, printed in found]
