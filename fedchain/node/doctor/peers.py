"""Checks of the peers: does each accredited participant's node answer, and is it the one of the registry?

A peer's node is dialled as a job would dial it: mutual TLS, with its registered certificate as the only root. Nothing
is asked of it. It learns what it learns from any connection: that this node was there.
"""

from __future__ import annotations

import queue
import socket
import ssl
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from fedchain.chain import Consortium, Participant
from fedchain.errors import ChainError, ConfigError, MessageError, NotAccreditedError
from fedchain.exchange.endpoint import Endpoint, parse_endpoint
from fedchain.exchange.tls import check_certificate, fingerprint_of, pem_of, server_name_of
from fedchain.node.config import NodeConfig
from fedchain.node.doctor.finding import Finding, fail, failed, ok, warn
from fedchain.types import Status

HANDSHAKE_SECONDS = 3.0
"""For one peer, from dialling to its first byte."""

_AT_ONCE = 32
_Address = tuple[socket.AddressFamily, socket.SocketKind, int, Any]
_HTTP2 = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes((0, 0, 0, 4, 0, 0, 0, 0, 0))
"""A client's greeting and empty settings (RFC 9113, 3.4): a node that takes this client's certificate answers it."""


def check_peers(consortium: Consortium, config: NodeConfig, address: str) -> list[Finding]:
    """A handshake with every accredited participant but this one, at the same time.

    Args:
        consortium: for reading.
        config: of the node; certificate and key are read from its files.
        address: of the node.

    Returns:
        One finding per peer, in the order of registration. A peer that is away is its operator's concern: a warning.
    """
    try:
        peers = [
            (one, consortium.certificate(one.address))
            for one in consortium.participants()
            if one.status is Status.ACCREDITED and one.address != address
        ]
    except ChainError as error:
        return [failed("peers", error, "look at the chain's node")]
    if not peers:
        return [ok("peers", "there are no other accredited participants")]
    with ThreadPoolExecutor(min(_AT_ONCE, len(peers)), thread_name_prefix="doctor") as pool:
        return list(pool.map(lambda peer: _check_peer(config, *peer), peers))


def check_served(consortium: Consortium, config: NodeConfig, address: str) -> Finding:
    """Dial this node itself as a peer would: who answers at its endpoint must have its registered certificate.

    Args:
        consortium: for reading.
        config: of the node, which runs.
        address: of the node.
    """
    check = "served certificate"
    try:
        entry, certificate = consortium.participant(address), consortium.certificate(address)
        handshake(config, entry.endpoint, certificate)
    except ssl.SSLError as error:
        why = getattr(error, "verify_message", None) or error.reason or error
        found = f"who answers at {entry.endpoint} has not the certificate of the registry ({why})"
        return fail(check, found, "restart the node; if that mends nothing, another node answers at that endpoint")
    except NotAccreditedError:
        found = f"the node at {entry.endpoint} has the certificate of the registry, and does not know the stored one"
        return fail(check, found, "restart the node: it enters the stored certificate")
    except ChainError as error:
        return failed(check, error, "look at the chain's node")
    except (ConfigError, MessageError, ValueError) as error:  # the last of strange bytes in the registry
        return failed(check, error, "restart the node: it enters endpoint and certificate")
    except OSError as error:
        found = f"{entry.endpoint} cannot be dialled from here ({error.strerror or error})"
        return warn(check, found, "see that peers reach that endpoint; a firewall may keep only this machine from it")
    return ok(check, f"0x{entry.fingerprint.hex()} at {entry.endpoint}, the one of the registry")


def _check_peer(config: NodeConfig, peer: Participant, certificate: bytes) -> Finding:
    check = f"peer {peer.name}"
    ask = f"ask the operator of '{peer.name}'; see docs/how-to/certificates.md"
    began = time.monotonic()
    try:
        if check_certificate(certificate) != peer.name:
            return warn(check, "the certificate that it registered has another party's name", ask)
        version = handshake(config, peer.endpoint, certificate)
    except (ConfigError, MessageError) as error:
        return warn(check, f"{peer.endpoint}: {error}", ask)
    except ssl.SSLCertVerificationError as error:
        why = getattr(error, "verify_message", error)
        found = f"{peer.endpoint}: who answers there has not the registered certificate ({why})"
        return warn(check, found, ask)
    except NotAccreditedError as error:
        found = f"{peer.endpoint}: {error}"
        return warn(check, found, "see that this node is accredited and its certificate registered")
    except ssl.SSLError as error:
        return warn(check, f"{peer.endpoint}: no node answers there ({error.reason or error})", ask)
    except TimeoutError:
        return warn(check, f"{peer.endpoint}: no answer within {HANDSHAKE_SECONDS:.0f} s", ask)
    except OSError as error:
        return warn(check, f"{peer.endpoint}: {error.strerror or error}", ask)
    took = 1000 * (time.monotonic() - began)
    return ok(check, f"{peer.endpoint}: {version} in {took:.0f} ms, with the registered certificate")


def handshake(config: NodeConfig, endpoint: str, certificate: bytes) -> str:
    """Dial a node, prove both identities, wait for its first byte, and hang up.

    Args:
        config: whose certificate and key prove this node.
        endpoint: `host:port`, from the registry.
        certificate: DER, checked; the only one that is accepted.

    Returns:
        The TLS version.

    Raises:
        ConfigError: malformed endpoint, or own certificate and key cannot be read.
        NotAccreditedError: the node does not take this node's certificate.
        OSError: not reachable, not in time, or another certificate than the registered one (`ssl.SSLError`).
    """
    where = parse_endpoint(endpoint)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.load_verify_locations(cadata=pem_of(certificate).decode("ascii"))
    context.set_alpn_protocols(["h2"])
    try:
        context.load_cert_chain(config.keys.certificate, config.keys.certificate_key)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"own certificate or key cannot be read ({error})") from error
    limit = time.monotonic() + HANDSHAKE_SECONDS
    with _connected(where, limit) as plain, _secured(context, plain, server_name_of(certificate), limit) as secure:
        if fingerprint_of(secure.getpeercert(binary_form=True) or b"") != fingerprint_of(certificate):
            raise ssl.SSLCertVerificationError("another certificate")
        secure.settimeout(_left(limit))
        try:  # with TLS 1.3 a server refuses a client's certificate after the handshake
            secure.sendall(_HTTP2)
            is_taken = bool(secure.recv(1))
        except (ssl.SSLError, ConnectionError):
            is_taken = False
        if not is_taken:
            raise NotAccreditedError("the node there does not take this node's certificate")
        return str(secure.version())


def _secured(context: ssl.SSLContext, plain: socket.socket, name: str, limit: float) -> ssl.SSLSocket:
    plain.settimeout(_left(limit))
    return context.wrap_socket(plain, server_hostname=name)


def _connected(where: Endpoint, limit: float) -> socket.socket:
    """A connection to the first of a host's addresses that takes one."""
    failure: OSError = TimeoutError(f"no address of {where.host} in time")
    for family, kind, protocol, address in _resolved(where, limit):
        plain = socket.socket(family, kind, protocol)
        try:
            plain.settimeout(_left(limit))
            plain.connect(address)
        except OSError as error:
            plain.close()
            failure = error
        else:
            return plain
    raise failure


def _resolved(where: Endpoint, limit: float) -> list[_Address]:
    """A host's addresses; the system's resolver takes no limit, so it is left behind in a thread when it is slow."""
    found: queue.SimpleQueue[list[_Address] | OSError] = queue.SimpleQueue()

    def resolve() -> None:
        try:
            infos = socket.getaddrinfo(where.host, where.port, type=socket.SOCK_STREAM)
            found.put([(family, kind, protocol, address) for family, kind, protocol, _, address in infos])
        except OSError as error:
            found.put(error)

    threading.Thread(target=resolve, name="doctor-resolver", daemon=True).start()
    try:
        answer = found.get(timeout=_left(limit))
    except queue.Empty:
        raise TimeoutError(f"no address of {where.host} in time") from None
    if isinstance(answer, OSError):
        raise answer
    return answer


def _left(limit: float) -> float:
    return max(0.05, limit - time.monotonic())
