"""Where a node's payload server listens: `host:port`, on the loopback interface for now."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from fedchain.errors import ConfigError

MAX_ENDPOINT_BYTES = 256


@dataclass(frozen=True)
class Endpoint:
    """A loopback address.

    Attributes:
        host: a literal loopback address (never a name that would have to be resolved).
        port: 1..65535, or 0 for "any free one" before binding.
    """

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def loopback_host(host: str) -> str:
    """The literal loopback address that `host` stands for.

    Raises:
        ConfigError: not a loopback address: mutual TLS is not there yet.
    """
    if host == "localhost":
        return "127.0.0.1"
    try:
        if ipaddress.ip_address(host).is_loopback:
            return host
    except ValueError:
        pass
    raise ConfigError(
        f"address '{host[:MAX_ENDPOINT_BYTES]}' is not on the loopback interface: payloads travel unencrypted because "
        "mutual TLS is not there yet; use host 127.0.0.1"
    )


def parse_endpoint(text: str) -> Endpoint:
    """Parse `host:port` or `[v6]:port`.

    Raises:
        ConfigError: malformed, or not on the loopback interface.
    """
    host, separator, port_text = text.rpartition(":")
    if len(text) > MAX_ENDPOINT_BYTES or not separator or not port_text.isascii() or not port_text.isdigit():
        raise ConfigError(f"endpoint {text[:MAX_ENDPOINT_BYTES]!r} is not of the form host:port")
    port = int(port_text)
    if not 1 <= port <= 65535:
        raise ConfigError(f"endpoint {text!r}: the port must be 1..65535")
    return Endpoint(loopback_host(host.removeprefix("[").removesuffix("]")), port)
