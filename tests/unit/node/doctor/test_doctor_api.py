"""The doctor's look at the HTTP API."""

from __future__ import annotations

from pathlib import Path

import pytest

from fedchain.exchange import Identity
from fedchain.node.config import load_config
from fedchain.node.doctor.api import check_api
from fedchain.node.doctor.finding import Finding, Level
from fedchain.node.tokens import ApiRole, TokenFile

NODE = """\
name = "operator"
[chain]
rpc = "http://127.0.0.1:1"
deployment = "deployment.json"
[data]
path = "own.csv"
[api]
port = 8440
"""
TLS = 'certificate = "api.pem"\ncertificate_key = "api.key"\n'


def look(folder: Path, more: str = "") -> Finding:
    (folder / "node.toml").write_text(NODE + more)
    return check_api(load_config(folder / "node.toml"))


def test_an_api_that_somebody_can_log_in_to_is_well(tmp_path: Path) -> None:
    assert look(tmp_path).level is Level.WARN
    assert "token create" in look(tmp_path).fix
    TokenFile(tmp_path / "state").create(ApiRole.VIEWER)

    assert (look(tmp_path).level, "1 tokens" in look(tmp_path).found) == (Level.OK, True)


def test_tokens_that_others_may_read_fail(tmp_path: Path) -> None:
    file = TokenFile(tmp_path / "state")
    file.create(ApiRole.VIEWER)
    file.path.chmod(0o644)

    assert (look(tmp_path).level, look(tmp_path).fix.startswith("run `chmod 600")) == (Level.FAIL, True)


def test_a_certificate_must_serve_and_its_key_be_private(tmp_path: Path) -> None:
    TokenFile(tmp_path / "state").create(ApiRole.VIEWER)
    assert look(tmp_path, TLS).level is Level.FAIL
    Identity.create("operator").save(tmp_path / "api.pem", tmp_path / "api.key")
    assert look(tmp_path, TLS).level is Level.OK
    (tmp_path / "api.key").chmod(0o640)
    assert (look(tmp_path, TLS).level, "chmod 600" in look(tmp_path, TLS).fix) == (Level.FAIL, True)
    (tmp_path / "api.key").chmod(0o600)
    Identity.create("operator").save(tmp_path / "other.pem", tmp_path / "other.key")
    (tmp_path / "other.key").replace(tmp_path / "api.key")
    assert look(tmp_path, TLS).level is Level.FAIL


def test_plain_http_for_others_is_warned_of(tmp_path: Path) -> None:
    TokenFile(tmp_path / "state").create(ApiRole.VIEWER)

    assert look(tmp_path, 'host = "0.0.0.0"\nplain_http_beyond_loopback = true\n').level is Level.WARN
    assert look(tmp_path, "plain_http_beyond_loopback = true\n").level is Level.OK


@pytest.mark.parametrize("secret", ["salt", "hash"])
def test_nothing_of_a_token_is_shown(tmp_path: Path, secret: str) -> None:
    token, text = TokenFile(tmp_path / "state").create(ApiRole.VIEWER)

    assert getattr(token, secret) not in look(tmp_path).found
    assert text not in look(tmp_path).found
