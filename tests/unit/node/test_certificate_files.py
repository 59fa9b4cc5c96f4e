"""A node always has one certificate with its key, wherever its replacement was cut off."""

from __future__ import annotations

import stat
import threading
from pathlib import Path

import pytest

from fedchain.errors import ConfigError
from fedchain.exchange import Identity
from fedchain.node.certificate_files import CertificateFiles
from tests.killing import changes_of, killed_at


def make(folder: Path) -> CertificateFiles:
    folder.mkdir(exist_ok=True)
    return CertificateFiles(folder / "certificate.pem", folder / "certificate.key", "bank")


@pytest.fixture
def files(tmp_path: Path) -> CertificateFiles:
    one = make(tmp_path / "node")
    one.load()
    return one


def rotate(files: CertificateFiles) -> Identity:
    staged = files.stage()
    files.install(staged)
    return staged


def test_a_staged_pair_is_the_nodes_identity_and_replaces_the_other_when_it_is_installed(
    files: CertificateFiles,
) -> None:
    old = files.load()
    staged = files.stage()
    assert files.load() == staged != old
    assert Identity.load(files.certificate, files.key) == old
    files.install(staged)
    assert files.load() == Identity.load(files.certificate, files.key) == staged
    assert {path.name for path in files.key.parent.iterdir()} == {"certificate.pem", "certificate.key"}


def test_all_that_is_written_is_its_owners_alone(files: CertificateFiles) -> None:
    staged = files.stage()
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in files.key.parent.iterdir()}
    assert modes == {"certificate.pem": 0o600, "certificate.key": 0o600, "certificate.key.next": 0o600}
    files.install(staged)
    assert {stat.S_IMODE(path.stat().st_mode) for path in files.key.parent.iterdir()} == {0o600}


def test_wherever_it_is_killed_the_node_has_a_pair_and_the_rotation_can_be_repeated(tmp_path: Path) -> None:
    whole = make(tmp_path / "whole")
    whole.load()
    count = changes_of(lambda: rotate(whole))
    assert count > 10
    for number in range(1, count + 1):
        files = make(tmp_path / str(number))
        old = files.load()
        killed_at(number, lambda files=files: rotate(files))  # type: ignore[misc]
        found = files.load()
        staged = files.staged()
        if staged is None:
            assert Identity.load(files.certificate, files.key) == found
        else:
            assert found == files.stage() == staged, "what was registered perhaps is not thrown away"
        new = rotate(files)
        assert files.load() == new != old
        left = {path.name for path in files.key.parent.iterdir()}
        assert left == {"certificate.pem", "certificate.key"}, number


def test_a_staged_pair_that_is_damaged_is_named(files: CertificateFiles) -> None:
    files.stage()
    files.staged_file.write_bytes(b"junk")
    with pytest.raises(ConfigError, match=r"certificate\.key\.next.*remove certificate\.key\.next"):
        files.load()


def test_a_staged_pair_of_another_node_is_refused(files: CertificateFiles) -> None:
    other = Identity.create("shop")
    files.staged_file.write_bytes(other.key_pem + other.certificate_pem)
    files.staged_file.chmod(0o600)
    with pytest.raises(ConfigError, match="is of 'shop', this node is 'bank'"):
        files.stage()


def test_a_staged_pair_that_others_may_read_is_refused(files: CertificateFiles) -> None:
    files.stage()
    files.staged_file.chmod(0o644)
    with pytest.raises(ConfigError, match="chmod 600"):
        files.load()


def test_a_folder_that_cannot_be_written_is_one_line_and_changes_nothing(files: CertificateFiles) -> None:
    old = files.load()
    gone = CertificateFiles(files.certificate, files.key.with_name("no") / "such" / "\0", "bank")
    with pytest.raises((ConfigError, ValueError)):
        gone.stage()
    blocked = files.key.parent / "file"
    blocked.touch()
    with pytest.raises(ConfigError, match="cannot be written"):
        CertificateFiles(files.certificate, blocked / "certificate.key", "bank").stage()
    assert files.load() == old


def test_what_is_read_for_a_backup_belongs_together_while_the_files_are_replaced(files: CertificateFiles) -> None:
    stop = threading.Event()

    def replace() -> None:
        while not stop.is_set():
            rotate(files)

    thread = threading.Thread(target=replace)
    thread.start()
    try:
        for _ in range(40):
            found = files.read()
            if files.staged_file in found:
                staged = found[files.staged_file]
                assert Identity.of_pem(staged, staged).name == "bank"
            else:
                assert Identity.of_pem(found[files.certificate], found[files.key]).name == "bank"
    finally:
        stop.set()
        thread.join(20)


def test_the_fingerprint_of_what_is_installed_is_the_one_before_a_staged_one(files: CertificateFiles) -> None:
    old = files.load()
    files.stage()
    assert files.installed_fingerprint() == old.fingerprint
    files.certificate.unlink()
    assert files.installed_fingerprint() == b""
