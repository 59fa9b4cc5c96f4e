"""A node's folder comes back from its backup as it was, or not at all; the passphrase is never in it."""

from __future__ import annotations

import contextlib
import io
import os
import sqlite3
import stat
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fedchain.chain import Account, keystore_address
from fedchain.errors import ConfigError, CryptoError
from fedchain.exchange import Identity
from fedchain.node import archive
from fedchain.node.archive import ArchiveReader, ArchiveWriter
from fedchain.node.backup import back_up
from fedchain.node.certificate_files import CertificateFiles
from fedchain.node.config import load_config
from fedchain.node.evaluations import EVALUATIONS, Evaluations
from fedchain.node.journal import Journal
from fedchain.node.manifest import FileEntry, Manifest
from fedchain.node.restore import restore, safe_path
from fedchain.node.sections import AlignmentSection
from fedchain.node.setepochs import SetEpochs
from fedchain.types import JobId, PartyId

PASSPHRASE = "a dozen letters"
JOB = "0x" + "ab" * 32


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(archive._SCRYPT, "n", 2)


@pytest.fixture
def node(tmp_path: Path) -> Path:
    """A node's folder with a finished job, a journal, payloads, and files that belong into no backup."""
    folder = tmp_path / "node"
    (folder / "state" / "jobs" / JOB / "journal").mkdir(parents=True)
    (folder / "node.toml").write_text(
        'name = "bank"\n[chain]\nrpc = "http://127.0.0.1:1"\ndeployment = "deployment.json"\n[data]\npath = "t.csv"\n'
    )
    Account.create().save_keystore(folder / "keystore.json", "key's passphrase", iterations=2)
    (folder / "passphrase").write_text("key's passphrase\n")
    (folder / "encryption.key").write_text("ab" * 32 + "\n")
    (folder / "deployment.json").write_text("{}")
    (folder / "t.csv").write_text("id,a\n1,2\n")
    Identity.create("bank").save(folder / "certificate.pem", folder / "certificate.key")
    job = folder / "state" / "jobs" / JOB
    (job / "shard").write_bytes(os.urandom(3 << 20))
    (job / "journal" / "keys.secret").write_bytes(b"secret")
    (job / "journal" / "keys.secret.part").write_bytes(b"half")
    (folder / "state" / "receipts" / JOB).mkdir(parents=True)
    (folder / "state" / "receipts" / JOB / "receipts").write_bytes(b"signed")
    for kind in ("outgoing", "incoming"):
        (folder / "state" / kind).mkdir()
        (folder / "state" / kind / "payload").write_bytes(kind.encode())
    (folder / "state" / "lock").touch()
    return folder


@pytest.fixture
def database(node: Path) -> Iterator[sqlite3.Connection]:
    """The state file as a running node has it: open, and its last rows in the write-ahead log alone."""
    with contextlib.closing(sqlite3.connect(node / "state" / "node.sqlite", isolation_level=None)) as db:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("CREATE TABLE uplinks (digest TEXT)")
        db.execute("INSERT INTO uplinks VALUES ('committed')")
        yield db


def paths(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


SETTINGS = {"node.toml", "keystore.json", "certificate.pem", "certificate.key", "encryption.key", "deployment.json"}
KEPT = {
    f"state/jobs/{JOB}/shard",
    f"state/jobs/{JOB}/journal/keys.secret",
    f"state/receipts/{JOB}/receipts",
    "state/node.sqlite",
}


@pytest.mark.usefixtures("database")
def test_a_running_node_s_folder_comes_back_without_passphrase_table_and_payloads(node: Path, tmp_path: Path) -> None:
    made = back_up(node, tmp_path / "b", PASSPHRASE)
    there = tmp_path / "elsewhere" / "node"
    assert restore(tmp_path / "b", there, PASSPHRASE) == made
    assert paths(there) == SETTINGS | KEPT == set(made.files)
    for name in paths(there) - {"state/node.sqlite"}:
        assert (there / name).read_bytes() == (node / name).read_bytes()
    with contextlib.closing(sqlite3.connect(there / "state" / "node.sqlite")) as db:
        assert db.execute("SELECT * FROM uplinks").fetchall() == [("committed",)]
    assert Identity.load(there / "certificate.pem", there / "certificate.key").name == "bank"
    assert load_config(there / "node.toml").state.folder == there / "state"


@pytest.mark.usefixtures("database")
def test_counts_of_evaluations_come_back_and_keys_of_set_epochs_do_not(node: Path, tmp_path: Path) -> None:
    state = node / "state"
    ids = [f"id-{number}" for number in range(30)]
    SetEpochs(state, AlignmentSection()).of_job(JobId("0x1"), Journal(state / "j")).own(PartyId("shop"), ids, None, 10)
    SetEpochs(state, AlignmentSection()).hold(PartyId("shop"), bytes(32)).put("tags_0", b"tags")
    Evaluations(state / EVALUATIONS).charge(JobId("0x1"), PartyId("shop"), 30, most=100, days=7)
    back_up(node, tmp_path / "b", PASSPHRASE)
    restore(tmp_path / "b", tmp_path / "there", PASSPHRASE)
    assert paths(tmp_path / "there") == SETTINGS | KEPT | {f"state/{EVALUATIONS}"}
    assert Evaluations(tmp_path / "there" / "state" / EVALUATIONS).used(PartyId("shop"), 7) == 30


@pytest.mark.usefixtures("database")
def test_all_that_is_written_is_its_owner_s_alone_and_nothing_else_is_left(node: Path, tmp_path: Path) -> None:
    before = paths(node)
    back_up(node, tmp_path / "b", PASSPHRASE)
    restore(tmp_path / "b", tmp_path / "there", PASSPHRASE)
    assert stat.S_IMODE((tmp_path / "b").stat().st_mode) == 0o600
    for path in (tmp_path / "there").rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path
    assert stat.S_IMODE((tmp_path / "there").stat().st_mode) == 0o700
    assert paths(node) == before
    assert {path.name for path in tmp_path.iterdir()} == {"node", "b", "there"}


@pytest.mark.usefixtures("database")
def test_a_key_that_is_being_rotated_to_is_in_the_backup_beside_the_present_one(node: Path, tmp_path: Path) -> None:
    following = Account.create()
    following.save_keystore(node / "keystore.json.next", "key's passphrase", iterations=2)
    assert "keystore.json.next" in back_up(node, tmp_path / "b", PASSPHRASE).files
    restore(tmp_path / "b", tmp_path / "there", PASSPHRASE)
    assert keystore_address(tmp_path / "there" / "keystore.json.next") == following.address
    assert keystore_address(tmp_path / "there" / "keystore.json") == keystore_address(node / "keystore.json")


@pytest.mark.usefixtures("database")
def test_a_backup_in_the_middle_of_a_rotation_comes_back_as_the_node_would(node: Path, tmp_path: Path) -> None:
    """Certificate and key that are half installed do not belong together; the staged pair is the identity."""
    files = CertificateFiles.of(load_config(node / "node.toml"))
    staged = files.stage()
    files.key.write_bytes(staged.key_pem)
    assert "certificate.key.next" in back_up(node, tmp_path / "b", PASSPHRASE).files
    restore(tmp_path / "b", tmp_path / "there", PASSPHRASE)
    restored = CertificateFiles.of(load_config(tmp_path / "there" / "node.toml"))
    assert restored.load() == staged
    restored.install(staged)
    assert Identity.load(restored.certificate, restored.key) == staged


@pytest.mark.usefixtures("database")
def test_a_staged_passphrase_is_in_no_backup(node: Path, tmp_path: Path) -> None:
    (node / "passphrase.next").write_text("the next passphrase\n")
    assert set(back_up(node, tmp_path / "b", PASSPHRASE).files) == SETTINGS | KEPT


def test_payloads_are_in_it_when_asked_for(node: Path, tmp_path: Path) -> None:
    made = back_up(node, tmp_path / "b", PASSPHRASE, with_payloads=True)
    assert {"state/outgoing/payload", "state/incoming/payload"} <= set(made.files)
    assert made.payloads


@pytest.mark.usefixtures("database")
def test_neither_passphrase_nor_keys_are_readable_in_the_archive(node: Path, tmp_path: Path) -> None:
    back_up(node, tmp_path / "b", PASSPHRASE, with_payloads=True)
    raw = (tmp_path / "b").read_bytes()
    assert b"key's passphrase" not in raw
    assert b"PRIVATE KEY" not in raw
    with (tmp_path / "b").open("rb") as file:
        content = ArchiveReader(file, PASSPHRASE, "b").read()
    assert b"PRIVATE KEY" in content
    assert b"key's passphrase" not in content


def test_an_existing_file_is_not_overwritten(node: Path, tmp_path: Path) -> None:
    (tmp_path / "b").write_text("precious")
    with pytest.raises(ConfigError, match="exists already"):
        back_up(node, tmp_path / "b", PASSPHRASE)
    assert (tmp_path / "b").read_text() == "precious"


def test_a_state_folder_elsewhere_is_refused(node: Path, tmp_path: Path) -> None:
    with (node / "node.toml").open("a") as file:
        file.write('[state]\nfolder = "../state"\n')
    with pytest.raises(ConfigError, match="a backup holds one folder"):
        back_up(node, tmp_path / "b", PASSPHRASE)
    assert not (tmp_path / "b").exists()


def test_a_damaged_state_file_is_refused(node: Path, tmp_path: Path) -> None:
    (node / "state" / "node.sqlite").write_bytes(b"not a database" * 100)
    with pytest.raises(ConfigError, match=r"node\.sqlite"):
        back_up(node, tmp_path / "b", PASSPHRASE)
    assert {path.name for path in tmp_path.iterdir()} == {"node"}


def test_a_folder_that_is_not_empty_is_left_as_it_is(node: Path, tmp_path: Path) -> None:
    back_up(node, tmp_path / "b", PASSPHRASE)
    before = paths(node)
    with pytest.raises(ConfigError, match="not empty"):
        restore(tmp_path / "b", node, PASSPHRASE)
    assert paths(node) == before


def test_an_empty_folder_is_filled(node: Path, tmp_path: Path) -> None:
    back_up(node, tmp_path / "b", PASSPHRASE)
    (tmp_path / "there").mkdir()
    restore(tmp_path / "b", tmp_path / "there", PASSPHRASE)
    assert (tmp_path / "there" / "node.toml").exists()


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (lambda raw: raw[:-1], CryptoError),
        (lambda raw: raw[: len(raw) // 2], CryptoError),
        (lambda raw: raw[:-20] + bytes((raw[-20] ^ 1,)) + raw[-19:], CryptoError),
        (lambda raw: raw[:40], ConfigError),
    ],
)
def test_a_damaged_archive_leaves_nothing(
    node: Path, tmp_path: Path, change: Callable[[bytes], bytes], error: type[Exception]
) -> None:
    back_up(node, tmp_path / "b", PASSPHRASE)
    (tmp_path / "b").write_bytes(change((tmp_path / "b").read_bytes()))
    with pytest.raises(error):
        restore(tmp_path / "b", tmp_path / "there", PASSPHRASE)
    assert {path.name for path in tmp_path.iterdir()} == {"node", "b"}


def test_a_wrong_passphrase_leaves_nothing(node: Path, tmp_path: Path) -> None:
    back_up(node, tmp_path / "b", PASSPHRASE)
    with pytest.raises(ConfigError, match="the passphrase does not open it"):
        restore(tmp_path / "b", tmp_path / "there", "another dozen")
    assert {path.name for path in tmp_path.iterdir()} == {"node", "b"}


def made_by_hand(path: Path, members: list[tarfile.TarInfo], files: dict[str, FileEntry]) -> None:
    """An archive with the right passphrase and any members, all empty."""
    with path.open("wb") as out:
        writer = ArchiveWriter(out, PASSPHRASE)
        with tarfile.open(fileobj=writer, mode="w|") as tar:  # type: ignore[call-overload]
            for member in members:
                tar.addfile(member)
            raw = Manifest(created="now", node="bank", payloads=False, files=files).model_dump_json().encode()
            last = tarfile.TarInfo("manifest.json")
            last.size = len(raw)
            tar.addfile(last, io.BytesIO(raw))
        writer.finish()


EMPTY = FileEntry(size=0, sha256="e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
ESCAPES = ("../outside", "/tmp/outside", "a/../../outside", "..", "./a", "a//b", "a\\b")


@pytest.mark.parametrize("name", ESCAPES)
def test_a_path_that_leads_out_of_the_folder_is_refused(tmp_path: Path, name: str) -> None:
    made_by_hand(tmp_path / "b", [tarfile.TarInfo(name)], {name: EMPTY})
    with pytest.raises(CryptoError, match="does not belong into a node's folder"):
        restore(tmp_path / "b", tmp_path / "there", PASSPHRASE)
    assert {path.name for path in tmp_path.iterdir()} == {"b"}
    with pytest.raises(CryptoError):
        safe_path(tmp_path, name)


def test_links_and_folders_are_refused(tmp_path: Path) -> None:
    for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE):
        member = tarfile.TarInfo("a")
        member.type, member.linkname = kind, "/etc/passwd"
        made_by_hand(tmp_path / "b", [member], {})
        with pytest.raises(CryptoError, match="more than a backup does"):
            restore(tmp_path / "b", tmp_path / "there", PASSPHRASE)


def test_files_and_manifest_must_agree(tmp_path: Path) -> None:
    for files in ({}, {"a": EMPTY, "b": EMPTY}, {"a": FileEntry(size=0, sha256="0" * 64)}):
        made_by_hand(tmp_path / "b", [tarfile.TarInfo("a")], files)
        with pytest.raises(CryptoError, match="manifest"):
            restore(tmp_path / "b", tmp_path / "there", PASSPHRASE)
