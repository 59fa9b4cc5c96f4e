"""Tokens: hashed, private, expiring, revocable while the node runs."""

from __future__ import annotations

import json
import stat
import threading
from pathlib import Path

import pytest

from fedchain.errors import ConfigError
from fedchain.node import tokens as module
from fedchain.node.tokens import ApiRole, TokenFile


def test_a_token_opens_as_its_role_and_is_kept_as_a_hash_in_a_private_file(tmp_path: Path) -> None:
    file = TokenFile(tmp_path / "state")
    token, text = file.create(ApiRole.ANALYST, "Ana", days=1)

    assert file.check(text) == token
    assert (token.role, token.name, round(token.expires - token.created)) == (ApiRole.ANALYST, "Ana", 86_400)
    assert stat.S_IMODE(file.path.stat().st_mode) == 0o600
    kept = "".join(one.read_text() for one in file.path.parent.iterdir())
    assert text not in kept
    assert text.split("_", 2)[2] not in kept


def test_secrets_have_256_bits_and_no_two_are_alike(tmp_path: Path) -> None:
    file = TokenFile(tmp_path)
    texts = [file.create(ApiRole.VIEWER)[1] for _ in range(5)]

    assert {len(text.split("_", 2)[2]) for text in texts} == {43}  # 32 bytes in base64url
    assert len({text.split("_", 2)[2] for text in texts}) == 5
    assert len({one.salt for one in file.all()}) == 5


def test_what_is_no_token_opens_nothing(tmp_path: Path) -> None:
    file = TokenFile(tmp_path)
    token, text = file.create(ApiRole.VIEWER)
    other = file.create(ApiRole.ADMIN)[1]
    wrong = text[:-1] + ("A" if text[-1] != "A" else "B")
    crossed = f"fedchain_{token.id}_{other.split('_', 2)[2]}"

    for bad in ("", "fedchain", text[:-1], text + "A", text.upper(), wrong, crossed, token.hash, text + "\n", "é" * 60):
        assert file.check(bad) is None, bad
    assert (file.known_id(wrong), file.known_id("fedchain_" + "0" * 12 + "_" + "A" * 43)) == (token.id, "")


def test_a_token_ends_when_it_expires(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = TokenFile(tmp_path)
    token, text = file.create(ApiRole.VIEWER, days=1)
    monkeypatch.setattr("fedchain.node.tokens.time.time", lambda: token.expires + 1)

    assert file.check(text) is None
    assert not file.is_live(token.id)
    assert file.all() == [token]
    file.create(ApiRole.VIEWER)
    assert token not in file.all(), "expired ones go when another is made"


def test_another_process_s_changes_count_at_once(tmp_path: Path) -> None:
    node, command = TokenFile(tmp_path), TokenFile(tmp_path)
    assert node.check("x") is None
    token, text = command.create(ApiRole.ADMIN)
    assert node.check(text) == token
    command.revoke(token.id)
    assert node.check(text) is None
    with pytest.raises(ConfigError, match="no token"):
        node.revoke(token.id)


def test_tokens_that_are_made_at_once_are_all_there(tmp_path: Path) -> None:
    threads = [threading.Thread(target=TokenFile(tmp_path).create, args=(ApiRole.VIEWER,)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(TokenFile(tmp_path).all()) == 8


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620])
def test_a_file_that_others_may_read_or_write_is_refused(tmp_path: Path, mode: int) -> None:
    file = TokenFile(tmp_path)
    text = file.create(ApiRole.ADMIN)[1]
    file.path.chmod(mode)

    with pytest.raises(ConfigError, match="chmod 600"):
        TokenFile(tmp_path).check(text)


@pytest.mark.parametrize("content", ["", "{}x", json.dumps({"version": 2, "tokens": []}), json.dumps({"tokens": [{}]})])
def test_a_damaged_file_is_an_error_and_not_an_empty_one(tmp_path: Path, content: str) -> None:
    file = TokenFile(tmp_path)
    file.create(ApiRole.ADMIN)
    file.path.write_text(content)

    with pytest.raises(ConfigError, match=r"api-tokens\.json"):
        TokenFile(tmp_path).all()
    with pytest.raises(ConfigError):
        TokenFile(tmp_path).create(ApiRole.ADMIN)
    assert file.path.read_text() == content


@pytest.mark.parametrize(("name", "days"), [("x" * 101, 1.0), ("a\nb", 1.0), ("", 0.0), ("", -1.0), ("", 3651.0)])
def test_odd_names_and_times_are_refused(tmp_path: Path, name: str, days: float) -> None:
    with pytest.raises(ConfigError):
        TokenFile(tmp_path).create(ApiRole.VIEWER, name, days=days)


def test_the_number_of_tokens_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_TOKENS", 2)
    file = TokenFile(tmp_path)
    file.create(ApiRole.VIEWER)
    file.create(ApiRole.VIEWER)

    with pytest.raises(ConfigError, match="revoke"):
        file.create(ApiRole.VIEWER)


def test_the_command_knows_the_roles() -> None:
    from fedchain.cli.token import Role

    assert [one.value for one in Role] == [one.value for one in ApiRole]
