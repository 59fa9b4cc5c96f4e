"""One party of an alignment benchmark, in a process of its own: `python -m fedchain.bench.psi_party`."""

from __future__ import annotations

import hashlib
import os
import socket
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fedchain.alignment.cached import align_cached
from fedchain.alignment.cachedset import CACHED_CHUNK_IDS
from fedchain.alignment.psi import align
from fedchain.alignment.shelf import CachedSets
from fedchain.bench.exchange_child import serve
from fedchain.bench.memory import peak_memory_mb
from fedchain.bench.psi_link import Link, run_party
from fedchain.compute.executor import Executor
from fedchain.crypto import psi
from fedchain.data.csv import read_table
from fedchain.node.journal import Journal
from fedchain.types import JobId, PartyId


class PsiParty:
    """The commands of the process; times are `time.monotonic()`."""

    def open(self, name: str, threads: int, folder: str) -> dict[str, Any]:
        """Listen, and make what a node has made before a job comes: the pool of threads, the first points."""
        self._name, self._folder = PartyId(name), Path(folder)
        self._executor = Executor(threads)
        psi.tags(psi.blind(psi.hash_to_curve([b"warm"] * 2048, bytes(32), self._executor), 3, self._executor))
        self._listener = socket.create_server(("127.0.0.1", 0))
        return {"port": self._listener.getsockname()[1]}

    def connect(self, roster: list[str], ports: Mapping[str, int]) -> dict[str, Any]:
        """A connection to each other party: the later one on the roster calls the earlier one."""
        place = roster.index(self._name)
        peers = {}
        for name in roster[:place]:
            peers[PartyId(name)] = connection = socket.create_connection(("127.0.0.1", ports[name]))
            connection.sendall(bytes([place]))
        for _ in roster[place + 1 :]:
            connection, _ = self._listener.accept()
            peers[PartyId(roster[connection.recv(1)[0]])] = connection
        for connection in peers.values():
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._link = Link(peers)
        self._roster = [PartyId(one) for one in roster]
        return {}

    def floor(self, points: int) -> dict[str, Any]:
        """Multiply so many points by a secret, and nothing else."""
        hashed = psi.hash_to_curve([b"%d" % number for number in range(points)], bytes(32), self._executor)
        begun, cpu = time.monotonic(), time.process_time()
        psi.blind(hashed, psi.random_secret(), self._executor)
        return {"seconds": time.monotonic() - begun, "cpu_seconds": time.process_time() - cpu}

    def run(
        self,
        table: str,
        salt: str,
        min_rows: int,
        pad_to: int | str | None,
        proven: bool,
        job: str = "job",
        holder: str | None = None,
    ) -> dict[str, Any]:
        """Align: from the opening of the table's file to the file of the aligned ids, synced to the disk.

        Args:
            table: the party's.
            salt: of the session, hex.
            min_rows, pad_to, proven: as in a job.
            job: name of the journal's folder.
            holder: whose set is cached; kept between processes as a node keeps it.
        """
        sets = None if holder is None else _node_sets(self._folder / "state", job, self._folder / job / "journal")
        begun, cpu = time.monotonic(), time.process_time()
        ids = read_table(Path(table), id_column="id", features=()).ids
        read = time.monotonic()
        journal, session = Journal(self._folder / job / "journal"), bytes.fromhex(salt)
        common: dict[str, Any] = {
            "min_rows": min_rows,
            "executor": self._executor,
            "pad_to": pad_to,
            "proven_blinding": proven,
        }
        if holder is None:
            party = align(self._name, self._roster, ids, session, **common)
        else:
            assert sets is not None
            party = align_cached(
                self._name,
                self._roster,
                ids,
                session,
                holder=PartyId(holder),
                pair_key=lambda purpose: hashlib.sha256(session + purpose).digest(),  # it stands in for a job's keys
                sets=sets,
                cached_chunk_ids=CACHED_CHUNK_IDS,
                **common,
            )
        aligned = run_party(party, self._link, journal)
        with (self._folder / "order.txt").open("w", encoding="utf-8") as file:
            file.writelines(f"{one}\n" for one in aligned.ids)
            file.flush()
            os.fsync(file.fileno())
        ended, used = time.monotonic(), time.process_time() - cpu
        self._link.close()
        return {
            "begun": begun,
            "ended": ended,
            "read_seconds": read - begun,
            "cpu_seconds": used,
            "sent_bytes": self._link.sent_bytes,
            "rows": len(aligned.ids),
            "digest": aligned.order_digest.hex(),
            "peak_memory_mb": peak_memory_mb(),
        }


def _node_sets(state: Path, job: str, journal: Path) -> CachedSets:
    """A node's own store of set epochs; imported here alone, so that the memory of other runs is not larger."""
    from fedchain.node.sections import AlignmentSection
    from fedchain.node.setepochs import SetEpochs

    return SetEpochs(state, AlignmentSection(hold_cached_sets=True)).of_job(JobId(job), Journal(journal))


def main() -> None:
    """Serve until standard input closes."""
    party = PsiParty()
    serve({name: getattr(party, name) for name in ("open", "connect", "floor", "run")})


if __name__ == "__main__":
    main()
