"""What the exchange itself can do: uplinks and payloads between two processes that compute nothing."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from fedchain.bench.exchange_child import Child
from fedchain.node.local import LocalConsortium

UPLINKS = 200
UPLINK_BYTES = 1024
TRANSFERS = 3
"""Of each kind; the median counts."""

_MODULE = "fedchain.bench.exchange_peer"


@dataclass(frozen=True)
class Capacity:
    """Figures of one run; MB are 10^6 bytes.

    Attributes:
        uplinks_per_second: from the first one's send to the last one's verdict and receipt at the other side.
        uplinks: how many were sent.
        payload_mb_per_second: fetched by reference: read, checked, sent, checked, written.
        delivery_mb_per_second: delivered directly, as in pipelined rounds: sent, checked, written, synced.
        tls_mb_per_second: the floor: a bare TLS connection between the same processes, nothing checked or written.
    """

    uplinks_per_second: float
    uplinks: int
    payload_mb_per_second: float
    delivery_mb_per_second: float
    tls_mb_per_second: float


def measure(local: LocalConsortium, folder: Path, *, pipelined: bool, uplinks: int, payload_bytes: int) -> Capacity:
    """Measure, over the consortium's chain.

    Args:
        local: whose steward accredits the two.
        folder: for their state.
        pipelined: mode of the uplinks.
        uplinks: how many.
        payload_bytes: of each payload.

    Raises:
        FedchainError: whatever goes wrong.
    """
    with ExitStack() as stack:
        pair = _Pair(local, folder, stack)
        pair.join_job(pipelined)
        seconds = pair.uplinks(uplinks)
        if not pipelined:
            pair.join_job(True)
            pair.uplinks(1)
        transfers = [pair.transfers(payload_bytes, number) for number in range(TRANSFERS)]
    fetched, delivered, streamed = (payload_bytes / 1e6 / median(kind) for kind in zip(*transfers, strict=True))
    return Capacity(uplinks / seconds, uplinks, fetched, delivered, streamed)


class _Pair:
    """Two parties: `near`, active, and `far`."""

    def __init__(self, local: LocalConsortium, folder: Path, stack: ExitStack) -> None:
        self._children: dict[str, Child] = {}
        self._opened: dict[str, Mapping[str, Any]] = {}
        for name in ("near", "far"):
            child = stack.enter_context(Child(_MODULE, folder / f"{name}.log"))
            self._children[name] = child
            self._opened[name] = child.ask(
                "open",
                rpc=local.client.rpc_url,
                deployment=str(local.deployment),
                name=name,
                folder=str(folder / name),
            )
            local.consortium.accredit(self._address(name))
        self._pool = stack.enter_context(ThreadPoolExecutor(2))
        for child in self._children.values():
            child.ask("start")

    def join_job(self, pipelined: bool) -> None:
        """Bring both to round 1 of a new job."""
        parties = {name: self._address(name) for name in self._children}
        self._children["near"].ask("propose", roster=list(parties.values()), pipelined=pipelined)
        both = {name: {"parties": parties, "pipelined": pipelined} for name in self._children}
        self._both("take_part", both["near"], "take_part", both["far"])

    def uplinks(self, count: int) -> float:
        """Seconds of so many uplinks from near to far."""
        sent, taken = self._both(
            "send", {"count": count, "size": UPLINK_BYTES}, "receive", {"count": count, "sender": "near"}
        )
        return float(max(sent["ended"], taken["ended"]) - sent["begun"])

    def transfers(self, size: int, number: int) -> tuple[float, float, float]:
        """Seconds of one payload fetched, one delivered, and as many bytes through a bare TLS connection."""
        near, far = self._children["near"], self._children["far"]
        digest = far.ask("put", size=size, recipient=self._address("near"))["digest"]
        fetched = near.ask("fetch", digest=digest, size=size, sender=self._address("far"), culprit="far")["seconds"]
        delivered = near.ask("deliver", size=size, step=1000 + number, recipient=self._address("far"), culprit="far")[
            "seconds"
        ]
        port = far.ask("listen")["port"]
        certificate = {name: opened["certificate"] for name, opened in self._opened.items()}
        drained, _ = self._both(
            "drain",
            {"port": port, "size": size, "peer_certificate": certificate["far"]},
            "stream",
            {"size": size, "peer_certificate": certificate["near"]},
        )
        return fetched, delivered, drained["seconds"]

    def _both(
        self, near: str, near_arguments: Mapping[str, Any], far: str, far_arguments: Mapping[str, Any]
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        one = self._pool.submit(self._children["near"].ask, near, **near_arguments)
        other = self._pool.submit(self._children["far"].ask, far, **far_arguments)
        return one.result(), other.result()

    def _address(self, name: str) -> str:
        return str(self._opened[name]["address"])
