"""The shell that follows pages notices what a page says wrongly."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.clone import Clone, PageError, Terminal
from tests.unit.docs.blocks import blocks_of


@pytest.fixture
def clone() -> Iterator[Clone]:
    made = Clone()
    yield made
    made.close()
    assert not made.folder.exists()


@pytest.fixture
def terminal(clone: Clone) -> Iterator[Terminal]:
    made = Terminal(clone, active=False, first="HELLO=world")
    yield made
    made.close()


def follow(terminal: Terminal, folder: Path, text: str) -> None:
    page = Path(__file__).parent / "page.md"  # its name is shown relative to the repository
    blocks = folder / "page.md"
    blocks.write_text(text, encoding="utf-8")
    for block in blocks_of(blocks):
        terminal.follow(type(block)(**{**block.__dict__, "page": page}))


def test_a_page_that_is_right_is_followed(terminal: Terminal, clone: Clone, tmp_path: Path) -> None:
    follow(
        terminal,
        tmp_path,
        "```console\n$ echo $HELLO; OTHER=thing\nworld\n$ ls pyproject.toml && cd docs\npyproject.toml\n```\n"
        "<!-- run: exit 3 -->\n```sh\necho $OTHER | grep -q thing\n(exit 3)\n```\n"
        "<!-- file: made/file.toml -->\n```toml\nport = 'localhost:8545'\n```\n"
        f"```console\n$ cat made/file.toml | tr -d {clone.port}\nport = 'localhost:'\n```\n"
        '<!-- run: background, until "up" -->\n```sh\necho up; exec sleep 60\n```\n<!-- stop: sleep 60 -->\n'
        "<!-- run: never, it is no command -->\n```sh\nno such command\n```\n",
    )


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("```console\n$ echo a\nb\n```\n", "the page shows\nb\nit printed\na"),
        ("```sh\ntrue\nfalse\n```\n", "exit code 1, not 0"),
        ("<!-- run: exit 1 -->\n```sh\ntrue\n```\n", "exit code 0, not 1"),
        ("```sh\nnosuchcommand\n```\n", "exit code 127"),
        ("```sh\nexit 0\n```\n", "ended the shell"),
        ('<!-- run: background, until "up" -->\n```sh\necho down\n```\n', "did not print 'up' but\ndown"),
        ("<!-- stop: serve -->\n", "nothing that was started contains 'serve'"),
    ],
)
def test_a_page_that_is_wrong_is_an_error_that_says_how(
    terminal: Terminal, tmp_path: Path, text: str, says: str
) -> None:
    with pytest.raises(PageError) as caught:
        follow(terminal, tmp_path, text)
    assert says in str(caught.value)


def test_what_takes_too_long_is_ended(terminal: Terminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.e2e.clone.PATIENCE_SECONDS", 0.2)
    with pytest.raises(PageError, match="took longer"):
        follow(terminal, tmp_path, "```sh\nsleep 60\n```\n")
