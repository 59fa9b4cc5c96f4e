"""What MkDocs needs so that pages written for a repository's browser come out right as a site.

The pages in `docs/`, and the few Markdown files outside of it that they link to, are CommonMark with links relative to
the file. So the site (1) takes in those outer files as pages and rewrites the links between them, (2) indents what
belongs to a list item by four columns, as Python-Markdown wants it, and (3) drops the comments that tell the tests how
to run a block. Mermaid comes from `node_modules`, never from a CDN.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[2]
OUTER_PAGES = {
    "README.md": "overview.md",
    "CHANGELOG.md": "changelog.md",
    "SECURITY.md": "security.md",
    "nodes/README.md": "nodes.md",
    "contracts/README.md": "contracts.md",
}
"""Markdown files of the repository outside `docs/`, and where they stand in the site."""

MERMAID = ROOT / "node_modules" / "@mermaid-js" / "tiny" / "dist" / "mermaid.tiny.js"

_FENCE = re.compile(r" *(`{3,}|~{3,})")
_ITEM = re.compile(r"( *)([-*+]|\d{1,9}[.)])( +)(?=\S)")
_COMMENT = re.compile(r"^ *<!-- (?:run|page|file|stop|first)\b.*?-->\n?", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"(\]\()([^)\s]+)(?=\))")
_CODE_OR_LINK = re.compile(r"`+[^`]*`+|\]\([^)\s]+\)")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the outer pages, the files that they link to, and Mermaid.

    Raises:
        Abort: Mermaid is not installed.
    """
    from mkdocs.exceptions import Abort
    from mkdocs.structure.files import File

    if not MERMAID.is_file():
        raise Abort("error: Mermaid is not in node_modules: run make tools (it needs Node.js)")
    files.append(File.generated(config, "assets/mermaid.js", abs_src_path=str(MERMAID)))
    for source, target in OUTER_PAGES.items():
        files.append(File.generated(config, target, content=(ROOT / source).read_text(encoding="utf-8")))
    pages = [*OUTER_PAGES, *(f"docs/{file.src_uri}" for file in files.documentation_pages())]
    copied = {file.src_uri for file in files}
    for page in pages:
        text = (ROOT / page).read_text(encoding="utf-8") if (ROOT / page).is_file() else ""
        for target in links_of(text):
            found = repository_path(page, target)
            place = site_path(found)
            if place is not None and place not in copied and (ROOT / found).is_file():
                copied.add(place)
                files.append(File.generated(config, place, abs_src_path=str(ROOT / found)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """One page's text as Python-Markdown needs it."""
    del config, files
    uri = page.file.src_uri
    outer = {target: source for source, target in OUTER_PAGES.items()}
    source = outer.get(uri, f"docs/{uri}")
    return four_columns(relink(_COMMENT.sub("", markdown), source, uri))


def links_of(text: str) -> list[str]:
    """Targets of the relative links of a page, without anchors."""
    found = []
    for line, is_code in _lines(text):
        if not is_code:
            for piece in _CODE_OR_LINK.findall(line):
                match = _LINK.match(piece)
                if match and not re.match(r"[a-z]+:|#", match[2]):
                    found.append(match[2].partition("#")[0])
    return found


def repository_path(page: str, target: str) -> str:
    """Where a relative link of a page leads, from the repository's root."""
    return posixpath.normpath(posixpath.join(posixpath.dirname(page), target))


def site_path(path: str) -> str | None:
    """Where a file of the repository stands in the site; None if it is outside of the repository."""
    if path.startswith(".."):
        return None
    if path.startswith("docs/"):
        return path.removeprefix("docs/")
    return OUTER_PAGES.get(path, f"files/{path}")


def relink(text: str, source: str, uri: str) -> str:
    """Rewrite the links of a page that lead out of `docs/`, or come from outside of it."""

    def one(match: re.Match[str]) -> str:
        piece = match[0]
        if piece.startswith("`"):
            return piece
        target, mark, anchor = piece[2:-1].partition("#")
        if not target or re.match(r"[a-z]+:", target):
            return piece
        place = site_path(repository_path(source, target))
        if place is None:
            return piece
        return f"]({posixpath.relpath(place, posixpath.dirname(uri) or '.')}{mark}{anchor})"

    return "\n".join(line if is_code else _CODE_OR_LINK.sub(one, line) for line, is_code in _lines(text))


def four_columns(text: str) -> str:
    """Indent the content of list items by four columns for each level, and put a blank line before each list.

    CommonMark indents it to where the item's text begins; Python-Markdown wants four columns.
    """
    out: list[str] = []
    levels: list[tuple[int, int]] = []  # of each open item: column of its marker, column of its content
    blank, fence, drop = True, "", 0
    for line in text.split("\n"):
        bare = line.lstrip(" ")
        indent = len(line) - len(bare)
        if not bare:
            out.append("")
            blank = True
            continue
        if fence:
            out.append(_moved(bare, indent - drop, levels))
            if bare.rstrip() == fence:
                fence = ""
            continue
        item = _ITEM.match(line)
        in_list = bool(levels)
        if blank or item:
            while levels and indent < levels[-1][1]:
                levels.pop()
        if item and indent - (levels[-1][1] if levels else 0) < 4:
            if not blank and not in_list:
                out.append("")
            out.append(" " * (4 * len(levels)) + f"{item[2]} " + line[item.end() :])
            levels.append((indent, item.end() if len(item[3]) <= 4 else item.end(2) + 1))
        else:
            beyond = indent - (levels[-1][1] if levels else 0)
            drop = beyond if 0 < beyond < 4 else 0  # means nothing in CommonMark
            out.append(_moved(bare, indent - drop, levels))
            opened = _FENCE.match(bare)
            fence = opened[1] if opened else ""
        blank = False
    return "\n".join(out)


def _moved(bare: str, indent: int, levels: list[tuple[int, int]]) -> str:
    """A line at the place where its list item's content goes, deeper by as much as it was."""
    content = levels[-1][1] if levels else 0
    return " " * (4 * len(levels) + max(indent - content, 0)) + bare


def _lines(text: str) -> list[tuple[str, bool]]:
    """Lines, and whether each is part of a fenced block."""
    found, fence = [], None
    for line in text.split("\n"):
        match = _FENCE.match(line)
        if fence is None and match:
            fence = match[1]
            found.append((line, True))
            continue
        found.append((line, fence is not None))
        if fence is not None and line.strip() == fence:
            fence = None
    return found
