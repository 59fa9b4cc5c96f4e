"""Which commands of the documentation are run, and that the reader of its pages finds them all."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from tests.unit.docs.blocks import COMMAND_PAGES, Block, Command, blocks_of
from tests.unit.docs.markdown import name_of
from tests.unit.docs.printed import difference, same

NEVER = {
    "README.md": {"it needs the tables of the telecom case"},
    "contracts/README.md": {"it needs Node; make test runs these", "it needs Node and some minutes"},
    "docs/explanation/alignment-cost.md": {"it takes minutes and a quiet machine"},
    "docs/explanation/contribution-cost.md": {"it takes minutes and a quiet machine"},
    "docs/explanation/exchange-cost.md": {"it takes minutes and a quiet machine"},
    "docs/how-to/backup.md": {"the tutorial's node still runs, and two copies of one node must not"},
    "docs/how-to/cached-sets.md": {"no node of the tutorial holds a cached set"},
    "docs/how-to/batch.md": {"it needs a finished job and files of customers; a test with three nodes does the same"},
    "docs/how-to/besu.md": {"it needs Hyperledger Besu"},
    "docs/how-to/data.md": {"it would install packages into the environment of the tests"},
    "docs/how-to/docker.md": {"it needs a Docker engine; make test-docker does the same"},
    "docs/how-to/stewards.md": {"it needs a consortium of three stewards, each with a key of its own"},
    "docs/reference/api.md": {"the how-to has the same requests in the order of a job"},
    "docs/tutorial.md": {"the tests run in a clone already"},
}
"""What is not run, and why; `tests/e2e/test_pages.py` runs all else."""


def page_of(folder: Path, text: str) -> list[Block]:
    page = folder / "page.md"
    page.write_text(text, encoding="utf-8")
    return blocks_of(page)


def test_what_is_not_run_is_listed_with_its_reason() -> None:
    found: dict[str, set[str]] = {}
    for page in COMMAND_PAGES:
        for block in blocks_of(page):
            if block.never:
                found.setdefault(name_of(page), set()).add(block.never)

    assert found == NEVER


@pytest.mark.parametrize("page", COMMAND_PAGES, ids=name_of)
def test_no_command_hides_in_a_block_that_is_not_read(page: Path) -> None:
    read = {block.line for block in blocks_of(page)}
    for token in MarkdownIt("commonmark").parse(page.read_text(encoding="utf-8")):
        if token.type in ("fence", "code_block"):
            command = re.search(r"^(?:\$ )?(?:\.venv/bin/)?(?:fedchain|make) [a-z].*", token.content, re.MULTILINE)
            assert token.map is not None
            assert command is None or token.map[0] + 1 in read, f"not in a block `sh` or `console`: {command[0]}"


def test_blocks_of_commands_are_found_in_their_three_forms(tmp_path: Path) -> None:
    found = page_of(
        tmp_path,
        "1. Do\n\n    ```sh\n    # first\n    make venv\n    echo a \\\n      b\n    ```\n\n"
        "```console\n$ cat <<E\n> x\n> E\nx\n$ true\n```\n\n"
        "    fedchain deploy\n\n    just text\n\n```toml\na = 1\n```\n",
    )

    assert [block.commands for block in found] == [
        (Command("make venv"), Command("echo a \\\n  b")),
        (Command("cat <<E\nx\nE", ("x",)), Command("true", ())),
        (Command("fedchain deploy"), Command("just text")),
    ]


def test_comments_say_how_a_block_is_run(tmp_path: Path) -> None:
    found = page_of(
        tmp_path,
        '<!-- run: background, until "up" -->\n```sh\nserve\n```\n\n<!-- run: exit 4 -->\n```sh\nfail\n```\n'
        "<!-- file: a/b.toml -->\n```toml\nx = 1\n```\n\n<!-- stop: serve -->\n\n"
        "<!-- first:\ntouch a\ntouch b\n-->\n\n<!-- run: never, no\nmoon -->\n```sh\nfly\n```\n",
    )

    assert [(one.until, one.code, one.file, one.content, one.stop, one.never) for one in found] == [
        ("up", 0, "", "", "", ""),
        ("", 4, "", "", "", ""),
        ("", 0, "a/b.toml", "x = 1\n", "", ""),
        ("", 0, "", "", "serve", ""),
        ("", 0, "", "", "", ""),
        ("", 0, "", "", "", "no moon"),
    ]
    assert [command.text for command in found[4].commands] == ["touch a", "touch b"]


@pytest.mark.parametrize(
    "text",
    [
        "<!-- run: sometimes -->\n```sh\nx\n```\n",
        "<!-- run: exit 1 -->\n\nNo block.\n",
        "<!-- run: exit 1 -->\n```toml\nx = 1\n```\n",
        "```console\nno prompt\n```\n",
    ],
)
def test_what_the_reader_does_not_understand_is_an_error(tmp_path: Path, text: str) -> None:
    with pytest.raises(ValueError, match=r"page\.md"):
        page_of(tmp_path, text)


@pytest.mark.parametrize(
    ("said", "printed", "is_same"),
    [
        ("digest  0123456789abcdef0123456789abcdef", "digest 00000000000000000000000000000000", True),
        ("at 0xAbCd… done", "at 0xAbCdef01 done", True),
        ("took 3.2 s", "took 11 s", True),
        ("AUC 0.8220", "AUC 0.8301", True),
        ("AUC 0.8220", "AUC 0.7220", False),
        ("800 rows", "801 rows", False),
        ("AUC 0.8", "AUC 0.8 and more", False),
    ],
)
def test_a_printed_line_is_the_one_shown_up_to_what_differs_from_run_to_run(
    said: str, printed: str, is_same: bool
) -> None:
    assert same(said, printed, {}) is is_same


def test_a_digest_that_a_page_shows_twice_must_be_printed_twice() -> None:
    shown, one, other = "2c0e1e0c386ff5e57723ad1a", "00000000000000000000000a", "00000000000000000000000b"
    known: dict[str, str] = {}

    assert difference([f"digest {shown}"], [f"digest {one}"], known) is None
    assert difference([f"completed {shown}"], [f"completed {one}"], known) is None
    assert difference([f"completed {shown}"], [f"completed {other}"], known) == f"completed {shown}"


@pytest.mark.parametrize(
    ("said", "lost"),
    [
        (["a", "b", "c"], None),
        (["a", "…"], None),
        (["…", "c"], None),
        (["a", "…", "c"], None),
        (["…", "b", "…"], None),
        (["a", "c"], "c"),
        (["a", "b"], "(nothing more; printed: c)"),
        (["…", "b"], "b"),
        (["b", "…"], "b"),
        ([], "(nothing more; printed: a)"),
    ],
)
def test_dots_on_a_line_of_their_own_stand_for_any_number_of_lines(said: list[str], lost: str | None) -> None:
    assert difference(said, ["a", "", "b", "c"]) == lost
