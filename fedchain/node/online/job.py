"""A finished job as online and bulk requests need it: loaded once, kept until the node's table is replaced."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import structlog

from fedchain.chain import Consortium
from fedchain.chain.artifacts import ROUTER
from fedchain.errors import AskRefusedError, ConfigError, DataError, ModelFormatError
from fedchain.exchange import Exchange
from fedchain.federation.serving import known_rows_of, leaf_table_of
from fedchain.federation.session import Session
from fedchain.federation.spec import JobSpec
from fedchain.federation.tables import read_party_table
from fedchain.inference.answering import Answers
from fedchain.inference.asking import Asking, Combining
from fedchain.inference.bitplanes import Positions
from fedchain.inference.leaf_table import LeafTable
from fedchain.inference.receipts import Domain
from fedchain.messages.online import TAG_BYTES
from fedchain.model.leaf_mask import bit_count
from fedchain.model.shard import Shard, model_digest
from fedchain.node.config import NodeConfig
from fedchain.node.jobfiles import JobFiles
from fedchain.node.online.predictions import Id
from fedchain.node.online.refusals import UNKNOWN_JOB
from fedchain.node.terms import require_terms
from fedchain.types import JobId, PartyId, Phase

log = structlog.get_logger(__name__)

MAX_BYTES = 2**31
"""Of the jobs that are kept loaded."""

EPOCH = 0
"""Of all request tags of a job: their pair keys are the job's alone, and the tags travel inside TLS, or sealed."""


@dataclass(frozen=True)
class OnlineJob:
    """All that asks of a completed job need at this party. Immutable, safe to use from several threads.

    Attributes:
        job_id: the job.
        spec: what all parties accepted.
        shard: this party's.
        session: its private state.
        addresses: name → address, roster order; the active party is first.
        me: this party's name.
        model: digest of the whole model, 32 bytes.
        domain: what signatures are for.
        table: this party's leaf bits.
        answers: its answers to peers.
        asking: its tags for peers.
        combining: at the active party, what makes scores of bits; else None.
    """

    job_id: JobId
    spec: JobSpec
    shard: Shard
    session: Session
    addresses: dict[PartyId, str]
    me: PartyId
    model: bytes
    domain: Domain
    table: LeafTable
    answers: Answers
    asking: Asking
    combining: Combining | None

    @property
    def job_bytes(self) -> bytes:
        """The id, 32 bytes."""
        return bytes.fromhex(self.job_id[2:])

    @property
    def active(self) -> PartyId:
        """The label holder."""
        return next(iter(self.addresses))

    @property
    def passive(self) -> tuple[PartyId, ...]:
        """The others, roster order."""
        return tuple(self.addresses)[1:]

    @property
    def is_active(self) -> bool:
        """Whether this party holds the labels, and so makes scores of bits."""
        return self.me == self.active

    @property
    def size_bytes(self) -> int:
        """About what it takes of memory: bits, bins, and tags for each peer."""
        tags = TAG_BYTES * self.table.rows * (len(self.addresses) - 1)
        return self.table.size_bytes + (3 if self.is_active else 2) * tags

    @property
    def outputs(self) -> int:
        """Scores per row."""
        return self.spec.algorithm.outputs

    def address_bytes(self, party: PartyId) -> bytes:
        """A party's address, 20 bytes."""
        return bytes.fromhex(self.addresses[party][2:])

    def row_bytes(self, party: PartyId) -> int:
        """Bytes of one row's packed bits of a passive party; at the active party only."""
        return -(-self.bit_count(party) // 8)

    def bit_count(self, party: PartyId) -> int:
        """Leaf bits of a row of a party; of others, at the active party only."""
        if party == self.me:
            return self.table.bit_count
        return bit_count(self.shard, list(self.addresses).index(party))

    @cached_property
    def most_bits(self) -> int:
        """Leaf bits of the party that has the most; at a passive party, which knows no others', its own."""
        return max(self.bit_count(party) for party in (self.addresses if self.is_active else (self.me,)))

    def positions(self, ids: Sequence[Id]) -> Positions:
        """This party's known row of each id, -1 where there is none (unreadable ones too): (ids,) int64.

        Raises:
            ConfigError: an id has another number of parts than the job's rules.
        """
        rules = self.spec.alignment.rules
        parts = len(rules.parts)
        columns: list[list[str]] = [[] for _ in range(parts)]
        for one in ids:
            texts = [one] if isinstance(one, str) else list(one)
            if len(texts) != parts:
                names = ", ".join(part.name for part in rules.parts)
                raise ConfigError(f"an id of this job has {parts} part(s) ({names}), one has {len(texts)}")
            for column, text in zip(columns, texts, strict=True):
                column.append(text)
        spelled = rules.spell(columns)
        found = self.asking.positions([text or "" for text in spelled])
        found[[text is None for text in spelled]] = -1
        return found


class OnlineJobs:
    """Loads finished jobs, each once at a time. Those asked for longest ago make room for others.

    Args:
        config: the node's.
        exchange: its traffic.
        max_bytes: of what is kept, models in use and the job asked for last aside.
    """

    def __init__(self, config: NodeConfig, exchange: Exchange, *, max_bytes: int = MAX_BYTES) -> None:
        self._config = config
        self._exchange = exchange
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._loading: dict[JobId, threading.Lock] = {}
        self._loaded: dict[JobId, OnlineJob] = {}
        self._used: dict[JobId, int] = {}
        self._clock = itertools.count()
        self._kept: frozenset[JobId] = frozenset()
        self._generation = 0
        self._rosters: dict[JobId, tuple[str, ...]] = {}
        self._on_dropped: Callable[[JobId], None] = lambda job_id: None

    def listen(self, on_dropped: Callable[[JobId], None]) -> None:
        """Have a function told, quickly, of each job that is not kept any more."""
        self._on_dropped = on_dropped

    def keep(self, job_ids: Iterable[JobId]) -> None:
        """Models in use: they stay loaded, from the first request on, however much others ask for."""
        self._kept = frozenset(job_ids)

    def roster(self, job_id: JobId) -> tuple[str, ...]:
        """Addresses of a job's parties, the active party first; read once per job, without loading it.

        Raises:
            ChainError: the chain cannot be read.
        """
        found = self._rosters.get(job_id)
        if found is None:
            found = self._rosters[job_id] = tuple(self._exchange.consortium.job(job_id).roster)
        return found

    def get(self, job_id: JobId) -> OnlineJob:
        """A job that this node has completed.

        Raises:
            AskRefusedError: it has not.
            TermsError: the terms on the chain are not the spec's; names the active party, who set them.
            DataError, ModelFormatError: the table or the files do not serve any more.
            ChainError: the chain cannot be read.
        """
        self._used[job_id] = next(self._clock)
        found = self._loaded.get(job_id)
        if found is not None:
            return found
        with self._lock:
            turn = self._loading.setdefault(job_id, threading.Lock())
        with turn:
            while True:
                found, generation = self._loaded.get(job_id), self._generation
                if found is not None:
                    return found
                try:
                    found = self._load(job_id)
                except (DataError, ModelFormatError):
                    if generation == self._generation:
                        raise
                    continue  # the table was being replaced
                with self._lock:
                    if generation == self._generation:  # else it is of the table before
                        self._loaded[job_id] = found
                        dropped = self._make_room(job_id)
                        break
        for one in dropped:
            self._on_dropped(one)
        return found

    def forget(self) -> None:
        """The node's table was replaced: load anew."""
        with self._lock:
            self._generation += 1
            dropped = list(self._loaded)
            self._loaded.clear()
        for one in dropped:
            self._on_dropped(one)

    def _make_room(self, newest: JobId) -> list[JobId]:
        size = sum(one.size_bytes for one in self._loaded.values())
        dropped = []
        for one in sorted(self._loaded, key=lambda job_id: self._used.get(job_id, 0)):
            if size <= self._max_bytes:
                break
            if one != newest and one not in self._kept:
                size -= self._loaded.pop(one).size_bytes
                dropped.append(one)
                log.info("model put away to make room", job=one)
        return dropped

    def _load(self, job_id: JobId) -> OnlineJob:
        record = self._exchange.state.job(job_id)
        if record is None:
            raise AskRefusedError(UNKNOWN_JOB, f"job {job_id} is unknown to this node")
        consortium = self._exchange.consortium
        files = JobFiles(self._config.state.folder, job_id)
        view = consortium.job(job_id)
        if view.phase is not Phase.COMPLETED or not files.complete:
            raise AskRefusedError(
                UNKNOWN_JOB, f"job {job_id} is {record.status} at this node; scores are there for completed jobs only"
            )
        spec, shard, session = files.load()
        addresses = {self._exchange.directory.name_of(address): address for address in view.roster}
        if tuple(addresses) != spec.names:
            raise ModelFormatError(f"{files.folder}: the job on the chain is of {', '.join(addresses)}")
        require_terms(consortium, job_id, spec)
        table = read_party_table(self._config.table, spec, self._config.name)
        known = known_rows_of(shard, session)
        leaves = leaf_table_of(shard, session, table)
        answers, asking = Answers(known, leaves), Asking(known)
        me = PartyId(self._config.name)
        for peer in addresses:
            if peer != me:
                answers.prepare(peer, EPOCH)
                asking.prepare(peer, EPOCH)
        digests = [consortium.shard_digest(job_id, address) for address in view.roster]
        own = digests[list(addresses).index(me)]
        if own != shard.digest():
            raise ModelFormatError(f"{files.folder}: the shard is not the one whose digest is on the chain")
        log.info("model loaded", job=job_id, rows=len(known), bytes_per_row=leaves.row_bytes)
        return OnlineJob(
            job_id,
            spec,
            shard,
            session,
            addresses,
            me,
            bytes.fromhex(model_digest([one for one in digests if one is not None])),
            domain_of(consortium),
            leaves,
            answers,
            asking,
            Combining(shard, leaves) if me == spec.names[0] else None,
        )


def domain_of(consortium: Consortium) -> Domain:
    """What signatures of this consortium are for."""
    deployment = consortium.deployment
    return Domain(deployment.chain_id, bytes.fromhex(deployment.addresses[ROUTER][2:]))
