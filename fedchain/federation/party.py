"""The whole of one party's part in a job, from its table to its shard, as one generator.

Keys → alignment → training → evaluation on the held-out rows → contribution → shard digest. The same code runs in a
simulation and in a node; the finished model depends on the tables, the spec and its seeds alone.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedchain.alignment.psi import Aligned, align
from fedchain.compute.executor import Executor
from fedchain.contribution.leaf_mask import Shares, leaf_mask_shapley
from fedchain.crypto.dlog import DlogTable
from fedchain.data.binning import BinMapper
from fedchain.data.holdout import stratified_holdout
from fedchain.data.table import Table
from fedchain.errors import DataError
from fedchain.federation.keys import JobKeys, exchange_keys
from fedchain.federation.session import Keys, Session
from fedchain.federation.spec import JobSpec
from fedchain.inference.request import Answerer, Scores
from fedchain.inference.scoring import margins
from fedchain.messages import Contribution, ShardDigest
from fedchain.model.leaf_mask import Bits, leaf_bits
from fedchain.model.logistic import sigmoid
from fedchain.model.shard import Shard, model_digest
from fedchain.protocol import Keep, Party, RecordContribution, Send, Stage, gather, receive
from fedchain.training.boosting.active import ActiveTrainer
from fedchain.training.boosting.passive import PassiveTrainer
from fedchain.training.boosting.splitting import Layout
from fedchain.types import PartyId, Role

EVALUATION = "evaluation"
CONTRIBUTION_STEP, SHARD_STEP = 3, 4


@dataclass(frozen=True)
class JobOutcome:
    """What a party ends a job with.

    Attributes:
        shard: its shard of the model.
        session: its private state for later requests.
        model_digest: hex digest of the whole model, the same at every party; empty until all shard digests are known.
        aligned_rows: rows that all parties share.
        shares: at the active party, the contribution run; else None.
        holdout_scores: at the active party, probabilities of the held-out rows; else None.
    """

    shard: Shard
    session: Session
    model_digest: str
    aligned_rows: int
    shares: Shares | None = None
    holdout_scores: Scores | None = field(default=None, repr=False)


def job_party(
    spec: JobSpec, me: PartyId, table: Table, *, executor: Executor, dlog: DlogTable | None = None
) -> Party[JobOutcome]:
    """One party's whole job.

    Args:
        spec: what all parties accepted.
        me: this party's name; its role follows from the spec.
        table: this party's own table (labels at the active party).
        executor: where heavy local work runs.
        dlog: table for decryption; needed by the active party alone.

    Raises:
        DataError: the table does not serve the job.
        AlignmentError: too few common rows.
        PeerError: a peer broke the protocol; names it.
    """
    roster = spec.names
    keys = yield from exchange_keys(me, roster)
    aligned = yield from align(
        me, roster, table.ids, keys.sealing.salt, min_rows=spec.alignment.min_rows, executor=executor
    )
    rows = table.rows_of(aligned.ids)
    mapper = BinMapper.from_table(table, rows, spec.algorithm.bins)
    job = _Job(spec, me, keys, aligned, mapper, mapper.transform(table, rows), executor)
    if spec.party(me).role is Role.ACTIVE:
        if table.label is None or dlog is None:
            raise DataError(f"{table.source}: the active party needs labels")
        return (yield from job.run_active(table.label[rows], dlog))
    return (yield from job.run_passive())


@dataclass(frozen=True)
class _Job:
    spec: JobSpec
    me: PartyId
    keys: JobKeys
    aligned: Aligned
    mapper: BinMapper
    bins: NDArray[np.uint8]
    executor: Executor

    @property
    def roster(self) -> tuple[PartyId, ...]:
        return self.spec.names

    @property
    def layout(self) -> Layout:
        features = self.mapper.features
        return Layout(tuple(f.n_bins for f in features), tuple(f.has_missing for f in features))

    def run_active(self, labels: NDArray[np.float64], dlog: DlogTable) -> Party[JobOutcome]:
        sealing, pair = self.keys.sealing, self.keys.gradient_pair
        assert pair is not None
        held_out = stratified_holdout(labels, self.spec.holdout.fraction, self.spec.holdout.seed)
        model = yield from ActiveTrainer(
            self.me,
            self.roster,
            self.bins,
            self.layout,
            labels,
            np.flatnonzero(~held_out).astype(np.int64),
            self.spec.algorithm,
            pair,
            dlog,
            sealing.seal_to_roster,
            sealing.unseal,
            self._commit,
            self.executor,
        ).train()
        shard = self._shard(model.trees, model.base_margin)
        holdout = np.flatnonzero(held_out).astype(np.int64)
        answerer = self._answerer(shard)
        yield Stage("contribution", 0, 2, f"{len(holdout)} held-out rows")
        yield from answerer.ask(holdout)
        bits = yield from answerer.collect(holdout, EVALUATION)
        scores = sigmoid(margins(shard, bits, ", ".join(self.roster[1:])))
        shares = leaf_mask_shapley(shard, bits, labels[holdout])
        message = Contribution(len(holdout), shares.utilities_e6, shares.shares_e6)
        yield Send(message, CONTRIBUTION_STEP, statistic_e6=shares.statistic_e6)
        yield RecordContribution(shares.shares_e6, shares.utilities_e6[-1], shares.utilities_e6[0])
        yield Stage("contribution", 2, 2)
        session = Session(sealing, self.aligned.ids, tuple(int(one) for one in holdout))
        return (yield from self._close(JobOutcome(shard, session, "", len(self.aligned.ids), shares, scores)))

    def run_passive(self) -> Party[JobOutcome]:
        sealing, active = self.keys.sealing, self.roster[0]
        trees = yield from PassiveTrainer(
            self.me,
            self.roster,
            self.bins,
            self.layout,
            self.spec.algorithm,
            self.keys.gradient_public,
            sealing.seal_to_roster,
            sealing.unseal,
            self.executor,
        ).train()
        shard = self._shard(trees, None)
        answerer = self._answerer(shard)
        positions = yield from answerer.positions_of(active)
        yield Stage("contribution", 0, 2, f"{len(positions)} held-out rows")
        yield from answerer.answer(positions, EVALUATION)
        yield from receive(Contribution, CONTRIBUTION_STEP, active)
        yield Stage("contribution", 2, 2)
        session = Session(sealing, self.aligned.ids)
        return (yield from self._close(JobOutcome(shard, session, "", len(self.aligned.ids))))

    def _close(self, outcome: JobOutcome) -> Party[JobOutcome]:
        shard = outcome.shard
        yield Stage("shard", 0, 1)
        yield Keep(outcome)
        yield Send(ShardDigest(shard.digest()), SHARD_STEP)
        others = yield from gather(ShardDigest, SHARD_STEP, tuple(one for one in self.roster if one != self.me))
        digests = [shard.digest() if party == self.me else others[party].digest for party in self.roster]
        yield Stage("shard", 1, 1)
        return replace(outcome, model_digest=model_digest(digests))

    def _shard(self, trees: tuple[Any, ...], base_margin: float | None) -> Shard:
        return Shard(
            party=self.me, roster=self.roster, base_margin=base_margin, binning=self.mapper.to_json(), trees=trees
        )

    def _answerer(self, shard: Shard) -> Answerer:
        return make_answerer(shard, self.keys.sealing, self.bins, self.mapper)

    def _commit(self, plaintext: bytes, context: str) -> tuple[bytes, bytes]:
        salt = os.urandom(32)
        sealed = self.keys.sealing.seal_to(self.me, salt + plaintext, context)
        return hashlib.sha256(b"fedchain-commitment-1" + salt + plaintext).digest(), sealed


def make_answerer(shard: Shard, keys: Keys, bins: NDArray[np.uint8], mapper: BinMapper) -> Answerer:
    """This party's side of requests over the aligned rows.

    Args:
        bins: shape (aligned rows, features), binned by `mapper`.
    """
    n_bins = np.asarray([feature.n_bins for feature in mapper.features], dtype=np.int64)

    def bits(positions: NDArray[np.int64]) -> Bits:
        return leaf_bits(shard, bins[positions], n_bins)

    roster = tuple(PartyId(one) for one in shard.roster)
    return Answerer(PartyId(shard.party), roster, len(bins), shard, bits, keys.seal_to, keys.unseal)


def answerer_of(shard: Shard, session: Session, table: Table) -> Answerer:
    """The same for a finished job, from what the party kept and its table.

    Raises:
        DataError: the table no longer holds the aligned rows or the trained columns.
        ModelFormatError: the shard's binning is damaged.
    """
    mapper = BinMapper.from_json(shard.binning)
    return make_answerer(shard, session.keys, mapper.transform(table, table.rows_of(session.ids)), mapper)


def predict_party(
    answerer: Answerer, requester: PartyId, request_id: int, positions: NDArray[np.int64] | None = None
) -> Party[Scores | None]:
    """One inference request, run by every party of the roster; scores at the requester, else None."""
    return answerer.predict(requester, positions, request_id)
