"""Just enough Markdown for tests of the documentation: headings, tables, code blocks, links."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
OUTER = ("README.md", "CHANGELOG.md", "SECURITY.md", "nodes/README.md", "contracts/README.md")
PAGES = sorted([*(ROOT / name for name in OUTER), *(ROOT / "docs").rglob("*.md")])

_FENCE = re.compile(r"^ *```(\w*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
_HEADING = re.compile(r"^#+ +(.*)$", re.MULTILINE)
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


def name_of(page: Path) -> str:
    """A page's path from the repository's root, for test ids."""
    return page.relative_to(ROOT).as_posix()


def prose(text: str) -> str:
    """The text without its fenced code blocks."""
    return _FENCE.sub("", text)


def code_blocks(text: str, language: str) -> list[str]:
    """Contents of the fenced blocks in a language."""
    return [body for found, body in _FENCE.findall(text) if found == language]


def links(text: str) -> list[str]:
    """Targets of all inline links."""
    return _LINK.findall(prose(text))


def anchors(text: str) -> set[str]:
    """Anchors of all headings, spelled as GitHub does."""
    titles = (re.sub(r"[^\w\- ]", "", title.strip().lower()) for title in _HEADING.findall(prose(text)))
    return {title.replace(" ", "-") for title in titles}


def section(text: str, title: str) -> str:
    """The text under the heading `## title`, up to the next one of that level.

    Raises:
        AssertionError: there is no such heading.
    """
    parts = re.split(r"^## +(.*)$", prose(text), flags=re.MULTILINE)
    bodies = dict(zip(parts[1::2], parts[2::2], strict=True))
    assert title in bodies, f"no heading '## {title}'; there are {', '.join(bodies)}"
    return bodies[title]


def table(text: str) -> list[list[str]]:
    """Rows of the first table, without its header; cells trimmed, `\\|` is a bar.

    Raises:
        AssertionError: there is no table.
    """
    lines = [line.strip() for line in text.splitlines()]
    start = next((number for number, line in enumerate(lines) if re.fullmatch(r"[|\-: ]+", line) and "-" in line), None)
    assert start is not None, "no table"
    rows = []
    for line in lines[start + 1 :]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]])
    return rows
