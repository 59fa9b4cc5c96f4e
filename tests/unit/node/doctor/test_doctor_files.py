"""What the doctor says of a node's files, and that it shows nothing of what is in them."""

from __future__ import annotations

import shutil
import socket
from collections import namedtuple
from pathlib import Path

import pytest

from fedchain.chain import Account
from fedchain.errors import ConfigError
from fedchain.exchange import Identity
from fedchain.node.certificate_files import CertificateFiles
from fedchain.node.config import NodeConfig, load_config
from fedchain.node.doctor.files import (
    LOW_DISK_BYTES,
    check_data,
    check_disk,
    check_identity,
    check_keystore,
    check_permissions,
    check_process,
    check_settlements,
)
from fedchain.node.doctor.finding import Level, fail, failed, ok
from fedchain.node.owed import MOST_TRIES, Owed, keep
from fedchain.types import JobId

Usage = namedtuple("Usage", "total used free")


@pytest.fixture
def config(tmp_path: Path) -> NodeConfig:
    """A sound node, reachable over a short path."""
    Account.create().save_keystore(tmp_path / "keystore.json", "pass", iterations=2)
    (tmp_path / "passphrase").write_text("pass\n")
    (tmp_path / "passphrase").chmod(0o600)
    Identity.create("bank").save(tmp_path / "certificate.pem", tmp_path / "certificate.key")
    (tmp_path / "table.csv").write_text("id,income\nc1,31337\nc2,2\n,7\n")
    (tmp_path / "state").mkdir(mode=0o700)
    (tmp_path / "node.toml").write_text(
        'name = "bank"\n[chain]\nrpc = "http://127.0.0.1:1"\ndeployment = "d.json"\n[data]\npath = "table.csv"\n'
    )
    return load_config(tmp_path / "node.toml")


def test_a_sound_node_s_files_are_all_right(config: NodeConfig) -> None:
    keystore, account = check_keystore(config)
    certificate, identity = check_identity(config)
    assert account is not None
    assert identity is not None
    findings = [*check_permissions(config), keystore, certificate, check_data(config, id_column="id", columns=())]
    assert {one.level for one in findings} == {Level.OK}
    assert {one.fix for one in findings} == {""}


@pytest.mark.parametrize("name", ["keystore.json", "passphrase", "certificate.key"])
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_a_secret_file_that_others_may_open_fails(config: NodeConfig, tmp_path: Path, name: str, mode: int) -> None:
    (tmp_path / name).chmod(mode)
    bad = [one for one in check_permissions(config) if one.level is Level.FAIL]
    assert [one.fix for one in bad] == [f"chmod 600 {tmp_path / name}"]


def test_an_open_state_folder_is_a_warning_and_a_missing_one_is_fine(config: NodeConfig, tmp_path: Path) -> None:
    (tmp_path / "state").chmod(0o755)
    assert check_permissions(config)[-1].level is Level.WARN
    shutil.rmtree(tmp_path / "state")
    assert check_permissions(config)[-1].level is Level.OK


def test_a_missing_secret_file_fails(config: NodeConfig, tmp_path: Path) -> None:
    (tmp_path / "keystore.json").unlink()
    assert check_permissions(config)[0].level is Level.FAIL
    assert check_keystore(config)[0].level is Level.FAIL


def test_the_passphrase_is_not_shown_when_it_is_wrong(config: NodeConfig, tmp_path: Path) -> None:
    (tmp_path / "passphrase").write_text("correct-horse\n")
    finding, account = check_keystore(config)
    assert (finding.level, account) == (Level.FAIL, None)
    assert "correct-horse" not in f"{finding.found} {finding.fix}"


def test_a_certificate_of_another_name_or_another_key_fails(config: NodeConfig, tmp_path: Path) -> None:
    (tmp_path / "certificate.key").unlink()
    assert check_identity(config)[0].level is Level.FAIL
    (tmp_path / "certificate.pem").unlink()
    assert check_identity(config)[0].level is Level.WARN
    Identity.create("shop").save(tmp_path / "certificate.pem", tmp_path / "certificate.key")
    finding, identity = check_identity(config)
    assert (finding.level, identity) == (Level.FAIL, None)
    assert "'shop'" in finding.found


def test_a_rotation_that_was_interrupted_is_a_warning_and_says_how_to_finish_it(config: NodeConfig) -> None:
    staged = CertificateFiles.of(config).stage()
    finding, identity = check_identity(config)
    assert (finding.level, identity) == (Level.WARN, staged)
    assert "rotate certificate" in finding.fix
    assert staged.fingerprint.hex() in finding.found
    CertificateFiles.of(config).staged_file.write_bytes(b"junk")
    assert check_identity(config)[0].level is Level.FAIL


def test_a_change_of_the_passphrase_that_was_interrupted_is_a_warning_and_nothing_is_mended(
    config: NodeConfig, tmp_path: Path
) -> None:
    (tmp_path / "passphrase").write_text("an older one\n")
    (tmp_path / "passphrase.next").write_text("pass\n")
    (tmp_path / "passphrase.next").chmod(0o600)
    finding, account = check_keystore(config)
    assert finding.level is Level.WARN
    assert account is not None
    assert "rotate passphrase" in finding.fix
    assert (tmp_path / "passphrase").read_text() == "an older one\n"


def test_counts_of_the_table_are_shown_and_no_value(config: NodeConfig) -> None:
    finding = check_data(config, id_column="id", columns=("income",))
    assert finding.level is Level.OK
    assert "2 rows, 1 columns beside 'id', 1 rows without an id" in finding.found
    assert "31337" not in finding.found


def test_a_column_that_is_not_there_fails(config: NodeConfig) -> None:
    assert "no column 'age'" in check_data(config, id_column="id", columns=("income", "age")).found
    assert check_data(config, id_column="customer", columns=()).level is Level.FAIL


def test_little_room_on_the_disk_is_a_warning(config: NodeConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    for free, level in ((LOW_DISK_BYTES - 1, Level.WARN), (LOW_DISK_BYTES, Level.OK)):
        monkeypatch.setattr(shutil, "disk_usage", lambda path, free=free: Usage(1, 1, free))
        assert check_disk(config).level is level


def test_a_socket_that_a_killed_node_left_is_no_running_node(config: NodeConfig) -> None:
    path = config.control_socket
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()
        assert check_process(config)[1] is True
    assert path.exists()
    assert check_process(config)[1] is False


def test_what_strangers_wrote_is_shown_as_one_line_of_printable_characters() -> None:
    finding = ok("peer", "10.0.0.1:1\x1b[2J\nfake\tline\u202e")
    assert finding.found == "10.0.0.1:1?[2J fake line?"


def test_an_error_s_last_clause_is_the_fix() -> None:
    finding = failed("x", ConfigError("file: odd; broken; mend it"))
    assert (finding.found, finding.fix) == ("file: odd; broken", "mend it")
    assert failed("x", ConfigError("broken")) == fail("x", "broken", "mend that, and run the doctor again")


def test_settlements_that_are_owed_are_told_and_those_given_up_say_what_to_do(config: NodeConfig) -> None:
    assert check_settlements(config) == []
    jobs = [JobId("0x" + digit * 64) for digit in "ab"]
    keep(config.state.folder, jobs[0], Owed(2, "insufficient funds"))
    keep(config.state.folder, jobs[1], Owed(MOST_TRIES, "insufficient funds"))
    due, given_up = check_settlements(config)
    assert {due.level, given_up.level} == {Level.WARN}
    assert f"job {jobs[0]}: settlement of contributions, tried 2 of 20 times: insufficient funds" in due.found
    assert "given up" in given_up.found
    assert f"fedchain settlement settle {jobs[1]}" in given_up.fix
    (config.state.folder / "jobs" / jobs[0] / "settling.json").write_text("[]")
    (damaged,) = check_settlements(config)
    assert damaged.level is Level.FAIL
    assert "restart the node" in damaged.fix
