"""Where a node listens, and where its peers reach it: `host:port`."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

from fedchain.errors import ConfigError

MAX_ENDPOINT_BYTES = 256

_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_HOST_NAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*\.?")


@dataclass(frozen=True)
class Endpoint:
    """A host and a port.

    Attributes:
        host: a literal IPv4 or IPv6 address, or a host name.
        port: 1..65535, or 0 for "any free one" before binding.
    """

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def target(self) -> str:
        """For gRPC, with its scheme: a peer's text never chooses one (such as `unix:`)."""
        version = _ip_version(self.host)
        return f"ipv{version}:{self}" if version else f"dns:///{self}"

    @property
    def reachable(self) -> bool:
        """Whether peers can dial it: neither "every address" nor port 0."""
        return self.port != 0 and not (_ip_version(self.host) and ipaddress.ip_address(self.host).is_unspecified)


def checked_host(host: str) -> str:
    """`host`, if it is a literal address or a host name.

    Raises:
        ConfigError: it is neither.
    """
    if len(host) <= 253 and (_ip_version(host) or _HOST_NAME.fullmatch(host)):
        return host
    raise ConfigError(f"host {host[:MAX_ENDPOINT_BYTES]!r} is neither an IP address nor a host name")


def parse_endpoint(text: str) -> Endpoint:
    """Parse `host:port` or `[v6]:port`, as peers put it into the registry.

    Raises:
        ConfigError: malformed.
    """
    host, separator, port_text = text.rpartition(":")
    if len(text) > MAX_ENDPOINT_BYTES or not separator or not re.fullmatch(r"[0-9]{1,5}", port_text):
        raise ConfigError(f"endpoint {text[:MAX_ENDPOINT_BYTES]!r} is not of the form host:port")
    port = int(port_text)
    if not 1 <= port <= 65535:
        raise ConfigError(f"endpoint {text!r}: the port must be 1..65535")
    bracketed = host.startswith("[") and host.endswith("]")
    if bracketed != (":" in host):
        raise ConfigError(f"endpoint {text!r}: an IPv6 address stands in brackets, [::1]:4433")
    return Endpoint(checked_host(host[1:-1] if bracketed else host), port)


def _ip_version(host: str) -> int:
    """4, 6, or 0 for a host name (a zone, as in `fe80::1%eth0`, means nothing to others: neither)."""
    try:
        return 0 if "%" in host else ipaddress.ip_address(host).version
    except ValueError:
        return 0
