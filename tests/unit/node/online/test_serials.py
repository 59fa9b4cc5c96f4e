"""Each serial is good once: also when many ask in the same moment, and after a restart."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedchain.errors import AskRefusedError, ConfigError
from fedchain.node.online import serials as module
from fedchain.node.online.serials import PAGE, Serials
from fedchain.types import JobId

JOB = JobId("0x" + "5c" * 32)
Opened = Callable[..., Serials]


class Chain:
    """What is reserved."""

    def __init__(self, reserved: int) -> None:
        self.reserved = reserved
        self.reads = 0

    def __call__(self, job_id: JobId, requester: str) -> int:
        self.reads += 1
        return self.reserved


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Opened]:
    """Opens the same file, as often as a node is started."""
    made: list[Serials] = []

    def start(reserved: Chain | Callable[[JobId, str], int], *, has_answered: bool = False) -> Serials:
        for one in made:
            one.close()
        made.append(Serials(tmp_path / "serials", reserved, has_answered=has_answered))
        return made[-1]

    yield start
    for one in made:
        one.close()


@pytest.fixture(autouse=True)
def no_lag(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_LAG_SECONDS", 0.0)


def code_of(serials: Serials, first: int, rows: int, requester: str = "0xaa") -> str:
    try:
        serials.spend(JOB, requester, first, rows)
    except AskRefusedError as error:
        return error.code
    return "spent now"


def test_serials_are_spent_once_and_only_reserved_ones(tmp_path: Path, opened: Opened) -> None:
    chain = Chain(100)
    serials = opened(chain)
    assert code_of(serials, 10, 20) == "spent now"
    assert [code_of(serials, first, 1) for first in (9, 10, 29, 30)] == ["spent now", "spent", "spent", "spent now"]
    assert code_of(serials, 25, 10) == "spent", "all of them or none"
    assert code_of(serials, 32, 3) == "spent now"
    assert code_of(serials, 99, 2) == "unreserved"
    assert code_of(serials, 99, 1) == "spent now"
    assert code_of(serials, 10, 20, "0xbb") == "spent now", "another requester's"
    assert chain.reads == 3, "once for each reservation, and for what is beyond"
    assert (tmp_path / "serials").stat().st_mode & 0o777 == 0o600


def test_a_wait_for_the_chain_is_rewarded(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_LAG_SECONDS", 30.0)
    blocks = iter([0, 0, 5])
    serials = opened(lambda job_id, requester: next(blocks))
    serials.spend(JOB, "0xaa", 0, 5)


def test_after_a_restart_what_was_begun_is_refused_and_says_what_is_not(tmp_path: Path, opened: Opened) -> None:
    chain = Chain(50)
    first = opened(chain)
    first.spend(JOB, "0xaa", 0, 1)
    chain.reserved = 80
    again = opened(chain, has_answered=True)
    with pytest.raises(AskRefusedError, match="reserve anew") as refused:
        again.spend(JOB, "0xaa", 30, 1)
    assert (refused.value.code, refused.value.number) == ("begun", 50)
    assert code_of(again, 50, 30) == "spent now"
    assert code_of(again, 10, 5, "0xbb") == "spent now", "nothing of that one was begun"


def test_without_its_file_nothing_that_was_reserved_is_taken(tmp_path: Path, opened: Opened) -> None:
    chain = Chain(50)
    serials = opened(chain, has_answered=True)
    assert code_of(serials, 49, 1) == "begun"
    chain.reserved = 60
    again = opened(chain, has_answered=True)
    assert code_of(again, 59, 1, "0xbb") == "begun"
    chain.reserved = 70
    assert code_of(again, 60, 10, "0xbb") == "spent now"


def test_in_the_same_moment_a_serial_is_spent_once(opened: Opened) -> None:
    serials = opened(Chain(400))
    with ThreadPoolExecutor(16) as pool:
        codes = list(pool.map(lambda place: code_of(serials, place % 100 * 4, 4), range(400)))
    assert codes.count("spent now") == 100
    assert codes.count("spent") == 300


def test_memory_is_bounded_and_what_is_forgotten_is_refused(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_PAGES", 4)
    serials = opened(Chain(PAGE * 10))
    for page in range(5):
        assert code_of(serials, page * PAGE, 1) == "spent now"
    assert code_of(serials, 1, 1) == "begun"
    assert code_of(serials, 4 * PAGE + 1, 1) == "spent now"


@given(st.lists(st.tuples(st.integers(0, 3 * PAGE), st.integers(1, PAGE + 5)), max_size=8))
def test_bits_are_those_of_a_plain_set(spans: list[tuple[int, int]]) -> None:
    book, plain = module._Book(0), set[int]()
    for first, rows in spans:
        wanted = set(range(first, first + rows))
        if wanted & plain:
            with pytest.raises(AskRefusedError):
                book.spend(first, first + rows)
        else:
            book.spend(first, first + rows)
            plain |= wanted


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "serials").write_bytes(b"no database" * 100)
    with pytest.raises(ConfigError, match="serials"):
        Serials(tmp_path / "serials", Chain(0))
