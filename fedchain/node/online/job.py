"""A finished job as online and bulk requests need it: loaded once, kept until the node's table is replaced."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from fedchain.chain import Consortium
from fedchain.chain.artifacts import ROUTER
from fedchain.errors import AskRefusedError, ConfigError, ModelFormatError, ProtocolViolationError
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
from fedchain.model.leaf_mask import bit_count
from fedchain.model.shard import Shard, model_digest
from fedchain.node.config import NodeConfig
from fedchain.node.jobfiles import JobFiles
from fedchain.node.online.predictions import Id
from fedchain.node.online.refusals import UNKNOWN_JOB
from fedchain.types import JobId, PartyId, Phase

log = structlog.get_logger(__name__)

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
    """Loads finished jobs, each once at a time.

    Args:
        config: the node's.
        exchange: its traffic.
    """

    def __init__(self, config: NodeConfig, exchange: Exchange) -> None:
        self._config = config
        self._exchange = exchange
        self._lock = threading.Lock()
        self._loading: dict[JobId, threading.Lock] = {}
        self._loaded: dict[JobId, OnlineJob] = {}

    def get(self, job_id: JobId) -> OnlineJob:
        """A job that this node has completed.

        Raises:
            AskRefusedError: it has not.
            ProtocolViolationError: the terms on the chain are not the spec's; names the active party, who set them.
            DataError, ModelFormatError: the table or the files do not serve any more.
            ChainError: the chain cannot be read.
        """
        found = self._loaded.get(job_id)
        if found is not None:
            return found
        with self._lock:
            turn = self._loading.setdefault(job_id, threading.Lock())
        with turn:
            found = self._loaded.get(job_id)
            if found is None:
                found = self._load(job_id)
                with self._lock:
                    self._loaded[job_id] = found
        return found

    def forget(self) -> None:
        """The node's table was replaced: load anew."""
        with self._lock:
            self._loaded.clear()

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
        self._require_terms(consortium, job_id, spec)
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

    @staticmethod
    def _require_terms(consortium: Consortium, job_id: JobId, spec: JobSpec) -> None:
        terms, agreed = consortium.inference.terms(job_id), spec.inference
        if terms is None:
            raise ProtocolViolationError(spec.names[0], f"has set no terms for job {job_id}: nobody can ask by id")
        if (terms.quota, terms.window_seconds) != (agreed.quota, agreed.window_seconds):
            raise ProtocolViolationError(
                spec.names[0],
                f"has set other terms for job {job_id} than the spec says: {terms.quota} rows in "
                f"{terms.window_seconds} s, not {agreed.quota} in {agreed.window_seconds} s",
            )


def domain_of(consortium: Consortium) -> Domain:
    """What signatures of this consortium are for."""
    deployment = consortium.deployment
    return Domain(deployment.chain_id, bytes.fromhex(deployment.addresses[ROUTER][2:]))
