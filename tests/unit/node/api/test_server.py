"""The API on a real socket: HTTPS, plain HTTP on the loopback alone, and its end."""

from __future__ import annotations

import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from fedchain.errors import ConfigError
from fedchain.exchange import Identity
from fedchain.node.api.server import ApiServer
from fedchain.node.config import load_config
from fedchain.node.sections import is_loopback
from fedchain.node.tokens import ApiRole, TokenFile
from tests.unit.node.api.puppet import Puppet

NODE = """\
name = "operator"
[chain]
rpc = "http://127.0.0.1:1"
deployment = "deployment.json"
[data]
path = "own.csv"
[api]
port = 0
"""
TLS = 'certificate = "api.pem"\ncertificate_key = "api.key"\n'


@contextmanager
def served(puppet: Puppet, folder: Path, more: str = "") -> Iterator[ApiServer]:
    (folder / "node.toml").write_text(NODE + more)
    server = ApiServer(puppet, load_config(folder / "node.toml"))
    try:
        yield server
    finally:
        server.close()


def test_the_api_is_served_on_the_loopback_over_plain_http(puppet: Puppet, tmp_path: Path) -> None:
    with served(puppet, tmp_path) as server:
        assert server.url.startswith("http://127.0.0.1:")
        answer = httpx.get(f"{server.url}/v1/health", trust_env=False)
        assert answer.json() == {"ready": True}
        assert "server" not in answer.headers
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{server.url}/v1/health", trust_env=False)


def test_with_a_certificate_it_speaks_https_and_nothing_else(puppet: Puppet, tmp_path: Path) -> None:
    Identity.create("operator").save(tmp_path / "api.pem", tmp_path / "api.key")
    token = TokenFile(tmp_path / "state").create(ApiRole.VIEWER)[1]
    context = ssl.create_default_context(cafile=str(tmp_path / "api.pem"))
    context.check_hostname = False  # the stand-in names no host
    with served(puppet, tmp_path, TLS) as server:
        answer = httpx.get(
            f"{server.url}/v1/session", headers={"Authorization": f"Bearer {token}"}, verify=context, trust_env=False
        )
        assert (answer.status_code, answer.json()["role"]) == (200, "viewer")
        assert "strict-transport-security" in answer.headers
        with pytest.raises(httpx.HTTPError):
            httpx.get(server.url.replace("https", "http") + "/v1/health", trust_env=False)


def test_a_key_that_others_may_read_is_refused(puppet: Puppet, tmp_path: Path) -> None:
    Identity.create("operator").save(tmp_path / "api.pem", tmp_path / "api.key")
    (tmp_path / "api.key").chmod(0o644)

    with pytest.raises(ConfigError, match="chmod 600"), served(puppet, tmp_path, TLS):
        pass


def test_a_certificate_that_is_none_is_refused(puppet: Puppet, tmp_path: Path) -> None:
    for name in ("api.pem", "api.key"):
        (tmp_path / name).write_text("no PEM")
        (tmp_path / name).chmod(0o600)

    with pytest.raises(ConfigError, match=r"\[api\] certificate"), served(puppet, tmp_path, TLS):
        pass


def test_a_port_that_is_taken_is_refused(puppet: Puppet, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        more = f"port = {taken.getsockname()[1]}\n"
        (tmp_path / "node.toml").write_text(NODE.replace("port = 0\n", more))
        with pytest.raises(ConfigError, match="choose another port"):
            ApiServer(puppet, load_config(tmp_path / "node.toml"))


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ('host = "0.0.0.0"\n', "plain HTTP is for this machine alone"),
        ('host = "::"\n', "plain HTTP is for this machine alone"),
        ('host = "node.example.org"\n', "plain HTTP is for this machine alone"),
        ('certificate = "api.pem"\n', "go together"),
        ("plain_http_beyond_loopback = 1\n", "plain_http_beyond_loopback"),
        ("max_upload_bytes = 0\n", "max_upload_bytes"),
        ("cors = true\n", "unknown key"),
    ],
)
def test_settings_that_would_let_others_listen_are_refused(tmp_path: Path, more: str, words: str) -> None:
    (tmp_path / "node.toml").write_text(NODE + more)

    with pytest.raises(ConfigError, match=words):
        load_config(tmp_path / "node.toml")


@pytest.mark.parametrize("more", [TLS, "plain_http_beyond_loopback = true\n"])
def test_beyond_the_loopback_there_is_https_or_a_flag_that_says_what_it_does(tmp_path: Path, more: str) -> None:
    (tmp_path / "node.toml").write_text(NODE + 'host = "0.0.0.0"\n' + more)

    assert load_config(tmp_path / "node.toml").api.https == more.startswith("certificate")


def test_the_loopback_is_known_by_its_addresses() -> None:
    assert all(map(is_loopback, ("127.0.0.1", "127.1.2.3", "::1", "[::1]", "localhost")))
    assert not any(map(is_loopback, ("0.0.0.0", "::", "10.0.0.1", "localhost.example.org", "", "127.1")))


def test_the_end_of_the_server_ends_streams(puppet: Puppet, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    token = TokenFile(tmp_path / "state").create(ApiRole.VIEWER)[1]
    puppet.board.post("node", name="operator", status="accredited")
    got, ended = threading.Event(), threading.Event()

    def follow(url: str) -> None:
        headers = {"Authorization": f"Bearer {token}"}
        with httpx.stream("GET", f"{url}/v1/progress/stream", headers=headers, timeout=60, trust_env=False) as answer:
            for _ in answer.iter_lines():
                got.set()
        ended.set()

    with served(puppet, tmp_path) as server:
        thread = threading.Thread(target=follow, args=(server.url,))
        thread.start()
        assert got.wait(20)
        begun = time.monotonic()
    assert ended.wait(20)
    thread.join(20)
    assert time.monotonic() - begun < 15
    assert "Cancel" not in caplog.text


def test_a_node_without_the_api_does_not_load_its_libraries() -> None:
    code = "import sys, fedchain.node.runtime; print([one for one in ('fastapi', 'uvicorn') if one in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"
