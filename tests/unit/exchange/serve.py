"""Run as a process: serves a folder's payloads as party `alpha` of a world on disk, until it is killed.

Usage: python -m tests.unit.exchange.serve FOLDER PORT SECONDS_PER_RUN
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path

from fedchain.exchange import Identity
from fedchain.exchange.holding import StoredPayload
from tests.unit.exchange.peers import World


def main() -> None:
    """Serve; the pause before each run makes a transfer long enough to be killed in the middle."""
    folder, port, pause = Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
    world = World(folder)
    for name in ("alpha", "beta"):
        world.identities[name] = Identity.load(folder / f"{name}.pem", folder / f"{name}.key")
        world.party(name)
    quick = StoredPayload.runs

    def slow(self: StoredPayload, first: int) -> Iterator[tuple[int, bytes]]:
        print(f"from chunk {first}", flush=True)
        for one in quick(self, first):
            time.sleep(pause)
            yield one

    StoredPayload.runs = slow  # type: ignore[method-assign]
    print(world.server("alpha", world.store("alpha"), port=port).endpoint, flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
