"""Journal: what a killed party finds again, and nothing else."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedchain.errors import ConfigError
from fedchain.node.journal import Journal


class PowerFailureError(Exception):
    """Ends a process between two steps."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "state" / "jobs" / "0x12" / "journal"


def test_a_secret_is_made_once_and_found_by_every_later_process(folder: Path) -> None:
    made = Journal(folder).remember("salt", lambda: os.urandom(32))
    assert len(made) == 32
    assert Journal(folder).remember("salt", lambda: b"another") == made
    assert Journal(folder).remember("other_salt", lambda: b"another") == b"another"


def test_the_state_of_the_latest_round_is_recalled(folder: Path) -> None:
    journal = Journal(folder)
    assert journal.recall("training") is None
    for round_ in range(1, 12):  # past one digit
        journal.checkpoint("training", b"after %d" % round_, round_)
        assert Journal(folder).recall("training") == b"after %d" % round_
    journal.checkpoint("aligned", b"rows")
    assert (journal.recall("training"), journal.recall("aligned")) == (b"after 11", b"rows")


def test_a_round_that_is_rolled_back_takes_its_state_along_and_leaves_the_one_before(folder: Path) -> None:
    journal = Journal(folder)
    journal.checkpoint("aligned", b"rows")
    for round_ in (1, 2, 3):
        journal.checkpoint("training", b"after %d" % round_, round_)
    journal.roll_back(3)
    assert journal.recall("training") == b"after 2"
    assert journal.recall("aligned") == b"rows"


def test_files_are_for_their_owner_s_eyes_and_so_are_all_folders_that_it_makes(folder: Path) -> None:
    before = os.umask(0)
    try:
        journal = Journal(folder)
        journal.remember("salt", lambda: b"x")
        journal.checkpoint("training", b"y", 1)
    finally:
        os.umask(before)
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}
    assert {stat.S_IMODE(one.stat().st_mode) for one in (folder, folder.parent, folder.parent.parent)} == {0o700}


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_process_that_dies_while_it_writes_leaves_what_was_there(
    step: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(folder)
    journal.checkpoint("training", b"after 1", 1)

    def die(*_: object) -> None:
        raise PowerFailureError

    with monkeypatch.context() as patched:
        if step == "fsync":
            patched.setattr(os, "fsync", die)
        else:
            patched.setattr(Path, "replace", die)
        with pytest.raises(PowerFailureError):
            journal.checkpoint("training", b"after 2", 2)
        with pytest.raises(PowerFailureError):
            journal.remember("salt", lambda: b"never used: its maker died before it knew")
    again = Journal(folder)
    assert again.recall("training") == b"after 1"
    assert again.remember("salt", lambda: b"fresh") == b"fresh"
    again.checkpoint("training", b"after 2", 2)
    assert again.recall("training") == b"after 2"
    again.forget()
    assert not folder.exists()


@given(position=st.integers(0, 45), bit=st.integers(0, 7))
def test_no_bit_of_a_file_can_be_changed(position: int, bit: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("journal")
    journal = Journal(folder)
    journal.remember("salt", lambda: b"fourteen bytes")
    path = folder / "salt.secret"
    raw = bytearray(path.read_bytes())
    raw[position] ^= 1 << bit
    path.write_bytes(raw)
    with pytest.raises(ConfigError, match=r"salt\.secret: damaged"):
        journal.remember("salt", lambda: b"")


def test_a_truncated_or_a_swapped_file_is_damaged(folder: Path) -> None:
    journal = Journal(folder)
    journal.remember("salt", lambda: b"one")
    journal.remember("psi_secret", lambda: b"two")
    (folder / "salt.secret").write_bytes((folder / "psi_secret.secret").read_bytes())
    with pytest.raises(ConfigError, match="damaged"):
        journal.remember("salt", lambda: b"")
    (folder / "salt.secret").write_bytes(b"")
    with pytest.raises(ConfigError, match="damaged"):
        journal.remember("salt", lambda: b"")


def test_what_is_forgotten_is_gone_and_forgetting_twice_is_harmless(folder: Path) -> None:
    journal = Journal(folder)
    journal.forget()
    assert not journal.exists
    journal.remember("salt", lambda: b"one")
    journal.checkpoint("training", b"two", 7)
    assert journal.exists
    journal.forget()
    journal.forget()
    assert not journal.exists
    assert journal.recall("training") is None
    assert folder.parent.exists()  # the outcome lies there


@pytest.mark.parametrize("name", ["", "../salt", "Salt", "a.b", "x" * 65])
def test_a_name_is_no_path(name: str, folder: Path) -> None:
    with pytest.raises(ValueError, match="names are"):
        Journal(folder).remember(name, lambda: b"x")
