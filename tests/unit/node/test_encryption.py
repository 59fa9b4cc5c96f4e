"""The node's encryption key: made once, kept for its owner alone, never shown."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from fedchain.crypto.seal import SealingKey, open_sealed, seal
from fedchain.errors import ConfigError
from fedchain.node.config import NodeConfig, load_config
from fedchain.node.encryption import load_encryption_key, open_encryption_key

TOML = """
name = "alpha"
[chain]
rpc = "http://127.0.0.1:1"
deployment = "deployment.json"
[data]
path = "table.csv"
"""


@pytest.fixture
def config(tmp_path: Path) -> NodeConfig:
    (tmp_path / "node.toml").write_text(TOML)
    return load_config(tmp_path / "node.toml")


def test_a_key_is_made_where_there_is_none_and_is_the_same_from_then_on(
    config: NodeConfig, capsys: pytest.CaptureFixture[str]
) -> None:
    made = open_encryption_key(config)
    path = config.keys.encryption_key
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert open_encryption_key(config) == load_encryption_key(config) == made
    sealed = seal(b"secret", {"alpha": made.public}, b"context")
    assert open_sealed(sealed, "alpha", made.private, b"context") == b"secret"
    said = "".join(capsys.readouterr())
    assert made.private.hex() not in said + repr(made)
    assert made.public.hex() in said


def test_a_key_is_not_made_for_whoever_only_looks(config: NodeConfig) -> None:
    with pytest.raises(ConfigError, match=r"\[keys\] encryption_key .*cannot be read"):
        load_encryption_key(config)
    assert not config.keys.encryption_key.exists()


@pytest.mark.parametrize("text", ["ab" * 31, "zz" * 32, "ab" * 33, "no key"])
def test_what_is_no_key_is_named_and_not_shown(config: NodeConfig, text: str) -> None:
    path = config.keys.encryption_key
    path.write_text(text + "\n")
    path.chmod(0o600)
    with pytest.raises(ConfigError, match="no private key of 64 hex digits") as caught:
        open_encryption_key(config)
    assert text not in str(caught.value)
    assert path.read_text() == text + "\n", "nothing is overwritten"


def test_a_key_that_others_may_read_is_refused(config: NodeConfig) -> None:
    path = config.keys.encryption_key
    path.write_text(SealingKey.generate().private.hex() + "\n")
    path.chmod(0o640)
    with pytest.raises(ConfigError, match="others may read it"):
        open_encryption_key(config)


def test_a_folder_that_cannot_be_written_is_named(config: NodeConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: object, **named: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("fedchain.node.encryption.write_atomically", full)
    with pytest.raises(ConfigError, match="No space left"):
        open_encryption_key(config)
