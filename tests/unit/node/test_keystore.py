"""A keystore's passphrase is replaced so that the two files open wherever that was cut off."""

from __future__ import annotations

import fcntl
import os
import stat
from pathlib import Path

import pytest
import structlog

from fedchain.chain import Account
from fedchain.errors import ConfigError
from fedchain.node.config import NodeConfig
from fedchain.node.keystore import open_account, rotate_passphrase, staged_passphrase_file
from fedchain.node.sections import ChainSection, DataSection, KeysSection
from tests.killing import changes_of, killed_at

OLD, CHOSEN = "the old passphrase", "a dozen letters"


def make(folder: Path) -> NodeConfig:
    folder.mkdir(exist_ok=True)
    (folder / "secrets").mkdir()
    keystore, file = folder / "keystore.json", folder / "secrets" / "passphrase"
    Account.create().save_keystore(keystore, OLD, iterations=2)
    file.write_text(f"{OLD}\n")
    file.chmod(0o600)
    return NodeConfig(
        name="bank",
        chain=ChainSection(rpc="http://127.0.0.1:1", deployment=Path("d.json")),
        keys=KeysSection(keystore=keystore, passphrase_file=file),
        data=DataSection(path=Path("t.csv")),
    )


@pytest.fixture
def config(tmp_path: Path) -> NodeConfig:
    return make(tmp_path / "node")


def rotate(config: NodeConfig, passphrase: str | None = None) -> Account:
    return rotate_passphrase(config, passphrase, iterations=2)


def files_of(config: NodeConfig) -> set[str]:
    return {path.name for path in config.keys.keystore.parent.rglob("*") if path.is_file()}


def test_the_account_stays_and_the_old_passphrase_opens_nothing_any_more(config: NodeConfig) -> None:
    account = open_account(config)
    assert rotate(config) == account == open_account(config)
    assert config.passphrase() != OLD
    assert len(config.passphrase()) >= 40
    with pytest.raises(ConfigError, match="does not open it"):
        Account.from_keystore(config.keys.keystore, OLD)
    assert files_of(config) == {"keystore.json", "passphrase"}
    modes = {stat.S_IMODE(path.stat().st_mode) for path in (config.keys.keystore, config.keys.passphrase_file)}
    assert modes == {0o600}


def test_a_chosen_passphrase_is_taken_unless_it_is_short_or_the_present_one(config: NodeConfig) -> None:
    rotate(config, CHOSEN)
    assert config.passphrase() == CHOSEN
    with pytest.raises(ConfigError, match="is the present one"):
        rotate(config, CHOSEN)
    with pytest.raises(ConfigError, match="12 characters"):
        rotate(config, "eleven char")
    assert open_account(config).address
    assert files_of(config) == {"keystore.json", "passphrase"}


def test_wherever_it_is_killed_the_files_open_and_it_can_be_repeated(tmp_path: Path) -> None:
    whole = make(tmp_path / "whole")
    count = changes_of(lambda: rotate(whole, CHOSEN))
    assert count > 7
    for number in range(1, count + 1):
        config = make(tmp_path / str(number))
        account = Account.from_keystore(config.keys.keystore, OLD)
        killed_at(number, lambda config=config: rotate(config, CHOSEN))  # type: ignore[misc]
        before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
        assert open_account(config, mend=False) == account, number
        assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
        assert open_account(config) == account, number
        assert Account.from_keystore(config.keys.keystore, config.passphrase()) == account
        assert rotate(config) == account
        assert files_of(config) == {"keystore.json", "passphrase"}, number


def test_mending_is_what_starting_does_and_it_may_be_killed_too(tmp_path: Path) -> None:
    config = make(tmp_path / "node")
    account = open_account(config)
    os.rename(config.keys.passphrase_file, tmp_path / "old")
    staged_passphrase_file(config).write_text(f"{OLD}\n")
    staged_passphrase_file(config).chmod(0o600)
    config.keys.passphrase_file.write_text("one that opens nothing\n")
    config.keys.passphrase_file.chmod(0o600)
    for number in (1, 2):
        killed_at(number, lambda: open_account(config))
        assert open_account(config, mend=False) == account
    assert open_account(config) == account
    assert config.passphrase() == OLD


def test_a_passphrase_that_opens_nothing_is_the_error_also_beside_a_staged_one(config: NodeConfig) -> None:
    for path in (config.keys.passphrase_file, staged_passphrase_file(config)):
        path.write_text("one that opens nothing\n")
        path.chmod(0o600)
    with pytest.raises(ConfigError, match="the passphrase does not open it"):
        open_account(config)


def test_two_changes_at_once_are_refused(config: NodeConfig) -> None:
    folder = os.open(config.keys.keystore.parent, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        with pytest.raises(ConfigError, match="is being changed already"):
            rotate(config)
    finally:
        os.close(folder)
    rotate(config)


def test_a_folder_that_cannot_be_written_leaves_everything_as_it_was(
    config: NodeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read_only(path: object, *_: object, **__: object) -> None:
        raise OSError(30, "Read-only file system", str(path))

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", read_only)
        with pytest.raises(ConfigError, match="Read-only file system"):
            rotate(config)
    assert config.passphrase() == OLD
    assert files_of(config) == {"keystore.json", "passphrase"}


def test_links_are_followed_and_stay(config: NodeConfig, tmp_path: Path) -> None:
    """As where an orchestrator mounts a secret."""
    link = tmp_path / "link"
    link.symlink_to(config.keys.passphrase_file)
    linked = config.model_copy(update={"keys": config.keys.model_copy(update={"passphrase_file": link})})
    rotate(linked, CHOSEN)
    assert link.is_symlink()
    assert config.passphrase() == CHOSEN


def test_no_log_line_holds_a_passphrase_or_a_key(config: NodeConfig) -> None:
    with structlog.testing.capture_logs() as logs:
        rotate(config)
    assert [line["event"] for line in logs] == ["passphrase of the keystore changed"]
    assert config.passphrase() not in repr(logs)
    assert OLD not in repr(logs)


def test_another_accounts_keystore_is_not_replaced(config: NodeConfig) -> None:
    with pytest.raises(ConfigError, match="is the one of"):
        Account.create().replace_keystore(config.keys.keystore, CHOSEN, iterations=2)
    with pytest.raises(ConfigError, match="empty passphrase"):
        open_account(config).replace_keystore(config.keys.keystore, "", iterations=2)
    assert open_account(config)
