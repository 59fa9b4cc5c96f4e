"""The doctor waits for silent peers together, and tells what answers at an endpoint that is no node."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest

from fedchain.chain import Consortium, Participant
from fedchain.exchange import Identity
from fedchain.node.config import NodeConfig
from fedchain.node.doctor import peers
from fedchain.node.doctor.finding import Level
from fedchain.node.sections import ChainSection, DataSection, KeysSection
from fedchain.types import Status

ME = "0x" + "ab" * 20


class Registry:
    """What the check reads of a consortium."""

    def __init__(self, entries: list[Participant], certificates: dict[str, bytes]) -> None:
        self._entries = entries
        self._certificates = certificates

    def participants(self) -> list[Participant]:
        """All."""
        return self._entries

    def certificate(self, address: str) -> bytes:
        """DER."""
        return self._certificates[address]


def consortium(*endpoints: str, names: str = "", status: Status = Status.ACCREDITED) -> Consortium:
    """This node and one peer per endpoint; `names` for a certificate with another name."""
    entries = [Participant(ME, "me", "127.0.0.1:1", Status.ACCREDITED, 0, bytes(32))]
    certificates = {ME: b""}
    for place, endpoint in enumerate(endpoints):
        identity, address = Identity.create(names or f"p{place}"), f"0x{place:040x}"
        entries.append(Participant(address, f"p{place}", endpoint, status, 0, identity.fingerprint))
        certificates[address] = identity.certificate
    return cast(Consortium, Registry(entries, certificates))


@pytest.fixture
def config(tmp_path: Path) -> NodeConfig:
    Identity.create("me").save(tmp_path / "c.pem", tmp_path / "c.key")
    return NodeConfig(
        name="me",
        chain=ChainSection(rpc="http://127.0.0.1:1", deployment=Path("d.json")),
        keys=KeysSection(certificate=tmp_path / "c.pem", certificate_key=tmp_path / "c.key"),
        data=DataSection(path=Path("t.csv")),
    )


@contextlib.contextmanager
def listening(answer: bytes | None) -> Iterator[str]:
    """An endpoint that takes connections and says this, or nothing."""
    taken: list[socket.socket] = []
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(16)

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    taken.append(server.accept()[0])
                    if answer is not None:
                        taken[-1].sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"127.0.0.1:{server.getsockname()[1]}"
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join()
            for one in taken:
                one.close()


def test_silent_peers_are_waited_for_together(config: NodeConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers, "HANDSHAKE_SECONDS", 1.0)
    with listening(None) as silent:
        began = time.monotonic()
        found = peers.check_peers(consortium(*[silent] * 6), config, ME)
        assert time.monotonic() - began < 4
    assert [one.check for one in found] == [f"peer p{place}" for place in range(6)]
    assert all(one.level is Level.WARN and "no answer within 1 s" in one.found for one in found)


def test_something_that_speaks_no_tls_is_no_node(config: NodeConfig) -> None:
    with listening(b"HTTP/1.1 400 Bad Request\r\n\r\n") as web:
        (found,) = peers.check_peers(consortium(web), config, ME)
    assert (found.level, "no node answers there" in found.found) == (Level.WARN, True)


def test_a_port_without_listener_and_a_malformed_endpoint_are_warnings(config: NodeConfig) -> None:
    with listening(None) as gone:
        pass
    closed, malformed = peers.check_peers(consortium(gone, "unix:/etc/passwd"), config, ME)
    assert "refused" in closed.found.lower()
    assert "not of the form host:port" in malformed.found


def test_a_resolver_that_does_not_answer_takes_no_longer_than_the_limit(
    config: NodeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    answered = threading.Event()

    def slow(*_: object, **__: object) -> list[object]:
        answered.wait(30)
        return []

    monkeypatch.setattr(peers, "HANDSHAKE_SECONDS", 0.5)
    monkeypatch.setattr(socket, "getaddrinfo", slow)
    began = time.monotonic()
    try:
        (found,) = peers.check_peers(consortium("node.example.org:4433"), config, ME)
    finally:
        answered.set()
    assert time.monotonic() - began < 10
    assert (found.level, "no answer within" in found.found) == (Level.WARN, True)


def test_a_name_with_several_addresses_is_dialled_at_the_next_one(
    config: NodeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    with listening(b"HTTP/1.1 400 Bad Request\r\n\r\n") as web, listening(None) as gone:
        ports = [int(one.rpartition(":")[2]) for one in (gone, web)]
    with listening(b"HTTP/1.1 400 Bad Request\r\n\r\n") as web:
        ports[1] = int(web.rpartition(":")[2])
        infos = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port)) for port in ports]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: infos)
        (found,) = peers.check_peers(consortium("node.example.org:4433"), config, ME)
    assert "no node answers there" in found.found


def test_a_name_that_is_not_known_is_a_warning(config: NodeConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object, **__: object) -> list[object]:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    (found,) = peers.check_peers(consortium("node.example.org:4433"), config, ME)
    assert (found.level, "not known" in found.found) == (Level.WARN, True)


def test_a_certificate_with_another_name_is_told_without_dialling(config: NodeConfig) -> None:
    (found,) = peers.check_peers(consortium("127.0.0.1:1", names="somebody"), config, ME)
    assert "another party's name" in found.found


def test_participants_that_are_not_accredited_are_not_dialled(config: NodeConfig) -> None:
    (found,) = peers.check_peers(consortium("127.0.0.1:1", status=Status.SUSPENDED), config, ME)
    assert (found.level, found.found) == (Level.OK, "there are no other accredited participants")
