"""The site of docs/: every page is in it, it builds without a warning, and loads nothing from elsewhere."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType

import pytest

from tests.browser import Browser, started
from tests.unit.docs.markdown import ROOT


def _load_hooks() -> ModuleType:
    spec = importlib.util.spec_from_file_location("hooks", ROOT / "docs" / "site" / "hooks.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


hooks = _load_hooks()


class _Sources(HTMLParser):
    """Addresses of all that a page loads."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        names = {"script": "src", "img": "src", "link": "href", "iframe": "src", "source": "src"}
        self.found += [value for name, value in attributes if name == names.get(tag) and value]


def test_every_page_is_in_the_navigation() -> None:
    listed = re.findall(r"^ +- (?:[^:\n]+: )?([\w/-]+\.md)$", (ROOT / "mkdocs.yml").read_text("utf-8"), re.MULTILINE)
    pages = {page.relative_to(ROOT / "docs").as_posix() for page in (ROOT / "docs").rglob("*.md")}

    assert len(listed) == len(set(listed))
    assert set(listed) == pages | set(hooks.OUTER_PAGES.values()), "one line of nav in mkdocs.yml"


def test_every_page_is_in_the_index() -> None:
    index = (ROOT / "docs" / "README.md").read_text(encoding="utf-8")
    for page in (ROOT / "docs").rglob("*.md"):
        path = page.relative_to(ROOT / "docs").as_posix()
        assert path in ("README.md",) or f"]({path})" in index or path.startswith("adr/0"), path


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    yield from started()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built strictly."""
    pytest.importorskip("material", reason="mkdocs-material is not installed: make docs brings it")
    if not hooks.MERMAID.is_file():
        pytest.skip("Mermaid is not in node_modules: make tools brings it")
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--quiet", "--strict", "--site-dir", str(folder)],
        cwd=ROOT,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_pages_load_nothing_from_elsewhere(site: Path) -> None:
    pages = sorted(site.rglob("*.html"))
    assert len(pages) > 30
    for page in pages:
        parser = _Sources()
        parser.feed(page.read_text(encoding="utf-8"))
        assert parser.found, page
        for source in parser.found:
            assert not re.match(r"(?:https?:)?//", source), f"{page.name}: {source}"
            if page.name != "404.html" and not source.startswith("data:"):  # 404.html is served from anywhere
                assert (page.parent / source.partition("?")[0].partition("#")[0]).exists(), f"{page.name}: {source}"


def test_diagrams_find_mermaid_before_they_ask_for_it_elsewhere(site: Path) -> None:
    overview = (site / "overview.html").read_text(encoding="utf-8")

    assert '<pre class="mermaid"><code>flowchart LR' in overview
    assert overview.index("assets/mermaid.js") < overview.index("</body>")
    assert (site / "assets" / "mermaid.js").stat().st_size > 1_000_000


@pytest.mark.parametrize("page", ["overview.html", "reference/job.html", "explanation/threat-model.html"])
def test_a_page_fits_a_telephone_and_its_diagrams_are_drawn(site: Path, browser: Browser, page: str) -> None:
    browser.open(site / page, width=390)

    assert [one for one in browser.requests() if re.match(r"(?:https?:)?//", one)] == []
    assert browser.tell("document.documentElement.scrollWidth - document.documentElement.clientWidth") <= 0
    undrawn = "document.querySelectorAll('pre.mermaid').length"
    deadline = time.monotonic() + 60
    while browser.tell(undrawn) and time.monotonic() < deadline:
        time.sleep(0.1)
    heights = browser.tell("[...document.querySelectorAll('.mermaid')].map(one => one.offsetHeight)")
    assert len(heights) == (site / page).read_text(encoding="utf-8").count('<pre class="mermaid">')
    assert all(height > 100 for height in heights)


def test_numbered_steps_hold_their_blocks_and_no_comment_shows(site: Path) -> None:
    text = (site / "how-to" / "backup.html").read_text(encoding="utf-8")
    steps = text.partition('id="restoring"')[2].partition("</ol>")[0]

    assert steps.count("<ol>") == 1
    assert steps.count("<li>") == 5
    assert "node restore" in re.sub("<[^>]+>", "", steps)
    assert not re.search(r"(?:&lt;|<)!-- (?:run|first|file|page|stop)", text)


def test_links_out_of_docs_lead_to_pages_of_the_site() -> None:
    text = "[a](../README.md#x) `[b](../README.md)` [c](https://x.org) [d](#e) [f](adr/README.md) [g](../LICENSE)"

    assert hooks.relink(text, "docs/README.md", "README.md") == (
        "[a](overview.md#x) `[b](../README.md)` [c](https://x.org) [d](#e) [f](adr/README.md) [g](files/LICENSE)"
    )
    assert hooks.relink("[a](docs/how-to/data.md)", "README.md", "overview.md") == "[a](how-to/data.md)"
    assert hooks.relink("[a](../../contracts/README.md)", "docs/reference/contracts.md", "reference/contracts.md") == (
        "[a](../contracts.md)"
    )


@pytest.mark.parametrize(
    ("written", "wanted"),
    [
        ("1. a\n   b\n\n   c\n\n       code\n2. d", "1. a\n    b\n\n    c\n\n        code\n2. d"),
        ("- a\n\n  b\n  - c\n\n    d\n- e", "- a\n\n    b\n    - c\n\n        d\n- e"),
        ("1. a\n\n    ```sh\n    x\n    ```\n\nb", "1. a\n\n    ```sh\n    x\n    ```\n\nb"),
        ("text\n- a\n- b", "text\n\n- a\n- b"),
        ("text\n\n    code\n\ntext", "text\n\n    code\n\ntext"),
        ("```\n- a\n  b\n```", "```\n- a\n  b\n```"),
        ("10. a\n\n    b", "10. a\n\n    b"),
        ("1. a\n\n    ```\n      x\n    ```\n2. b\n\nc", "1. a\n\n    ```\n      x\n    ```\n2. b\n\nc"),
    ],
)
def test_what_belongs_to_an_item_is_indented_by_four_columns(written: str, wanted: str) -> None:
    assert hooks.four_columns(written) == wanted
