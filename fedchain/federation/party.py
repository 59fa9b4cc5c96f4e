"""The whole of one party's part in a job, from its table to its shard, as one generator.

Keys → alignment → training → evaluation on the held-out rows → contribution, and its audit where the job has one →
shard digest. The same code runs in a simulation and in a node; the finished model depends on the tables, the spec, its
seeds and the checkpoint alone.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
import structlog
from numpy.typing import NDArray

from fedchain.alignment.psi import Admit, Aligned
from fedchain.alignment.shelf import CachedSets
from fedchain.anomaly.histograms import HistogramWatch
from fedchain.compute.executor import Executor
from fedchain.contribution.leaf_mask import Shares
from fedchain.contribution.losses import row_losses_e6, unit_of
from fedchain.contribution.open_model import weights_commitment
from fedchain.crypto.dlog import DlogTable
from fedchain.data.binning import BinMapper
from fedchain.data.holdout import three_way
from fedchain.data.table import Table
from fedchain.errors import DataError
from fedchain.federation.aligning import aligned_rows
from fedchain.federation.answering import make_answerer
from fedchain.federation.auditing import ActiveAudit, Outputs, remember_secrets
from fedchain.federation.auditors import Answered, Drawn, PassiveAudit
from fedchain.federation.checkpoint import Checkpoint as WarmStart
from fedchain.federation.checkpoint import checkpoint_of, require_announced
from fedchain.federation.evaluating import Evaluation, evaluate
from fedchain.federation.kept import KeptAudit
from fedchain.federation.keys import JobKeys, exchange_keys
from fedchain.federation.pools import mask_pool, zero_pools
from fedchain.federation.published import require_fitting
from fedchain.federation.session import Keys, Session, session_of
from fedchain.federation.spec import JobSpec
from fedchain.inference.checkpoint import collect_margins, send_leaf_bits
from fedchain.inference.request import Answerer, Scores
from fedchain.inference.scoring import margins
from fedchain.messages import Contribution, ShardDigest
from fedchain.model.link import predictions
from fedchain.model.shard import Shard, Tree, model_digest
from fedchain.protocol import Keep, Party, RecordContribution, Send, Stage, gather, receive
from fedchain.training.boosting.active import ActiveTrainer, Labelled
from fedchain.training.boosting.metrics import EarlyStopping, default_metric, metric_of
from fedchain.training.boosting.objectives import Objective, objective_of
from fedchain.training.boosting.params import BoostingParams
from fedchain.training.boosting.partition import Sealing
from fedchain.training.boosting.passive import PassiveTrainer
from fedchain.training.boosting.splitting import Layout
from fedchain.training.boosting.start import ActiveStart, PassiveStart
from fedchain.types import PartyId, Role

log = structlog.get_logger(__name__)

EVALUATION = "evaluation"

Measure = Callable[..., Evaluation]
"""As `evaluate`."""
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
        contribution: what the active party published of it.
        audit: what is kept of its audit, where the job has one.
        holdout_scores: at the active party, predictions of the held-out rows; else None.
    """

    shard: Shard
    session: Session
    model_digest: str
    aligned_rows: int
    shares: Shares | None = None
    contribution: Contribution | None = None
    audit: KeptAudit | None = None
    holdout_scores: Scores | None = field(default=None, repr=False)


def job_party(
    spec: JobSpec,
    me: PartyId,
    table: Table,
    *,
    executor: Executor,
    dlog: DlogTable | None = None,
    checkpoint: Shard | None = None,
    fill_pools: bool = False,
    admit: Admit | None = None,
    cached_sets: CachedSets | None = None,
    measure: Measure = evaluate,
) -> Party[JobOutcome]:
    """One party's whole job.

    Args:
        spec: what all parties accepted.
        me: this party's name; its role follows from the spec.
        table: this party's own table (labels at the active party).
        executor: where heavy local work runs.
        dlog: table for decryption; needed by the active party alone.
        checkpoint: this party's shard of the model that the job continues, where it names one.
        fill_pools: make masks and encryptions of zero for the next round in idle time (`pools`): worth it for a party
            that waits for others on a machine of its own.
        admit: looks at the size of each peer's set before any of its ids is blinded here, and raises to refuse it.
        cached_sets: where a cached set is kept for later jobs, where the job has one; None: in memory, for this job.
        measure: how the active party measures contributions; another way than this is for fault injection.

    Raises:
        CheckpointError: the checkpoint is missing, is another one, or does not fit the job.
        DataError: the table does not serve the job, or no longer the checkpoint.
        AlignmentError: too few common rows.
        PeerError: a peer broke the protocol; names it.
    """
    roster = spec.names
    outputs = spec.algorithm.outputs
    continued = checkpoint_of(spec, me, table, checkpoint)
    usable = BinMapper.from_table(table, np.arange(len(table)), spec.algorithm.bins).features  # constant ones are not
    digest = b"" if continued is None else continued.shard.digest()
    keys = yield from exchange_keys(
        me,
        roster,
        outputs=outputs,
        has_features=bool(usable),
        checkpoint=digest,
        id_rules=spec.alignment.rules.digest,
    )
    require_announced(spec.warm_start.model, keys.checkpoints)
    aligned = yield from aligned_rows(spec, me, table.ids, keys.sealing, executor, admit, cached_sets)
    rows = table.rows_of(aligned.ids)
    weights = None if table.weight is None else table.weight[rows]  # the active party's own: they reach no other sketch
    mapper = BinMapper.from_table(table, rows, spec.algorithm.bins, weights) if continued is None else continued.mapper
    job = _Job(spec, me, keys, aligned, mapper, mapper.transform(table, rows), executor, continued, fill_pools, measure)
    if spec.party(me).role is Role.ACTIVE:
        if table.label is None or dlog is None:
            raise DataError(f"{table.source}: the active party needs labels")
        return (yield from job.run_active(table.label[rows], weights, dlog))
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
    checkpoint: WarmStart | None
    fill_pools: bool
    measure: Measure = evaluate

    @property
    def roster(self) -> tuple[PartyId, ...]:
        return self.spec.names

    @property
    def layout(self) -> Layout:
        features = self.mapper.features
        return Layout(tuple(f.n_bins for f in features), tuple(f.has_missing for f in features))

    def run_active(
        self, labels: NDArray[np.float64], weights: NDArray[np.float64] | None, dlog: DlogTable
    ) -> Party[JobOutcome]:
        spec, sealing, pair = self.spec, self.keys.sealing, self.keys.gradient_pair
        assert pair is not None
        start = None
        if self.checkpoint is not None:
            answerer, base_margins = self._answerer(self.checkpoint.shard), self.checkpoint.shard.base_margins
            start = ActiveStart(self.checkpoint.rounds, base_margins, partial(collect_margins, answerer))
        objective = objective_of_params(spec.algorithm)
        objective.validate_labels(labels)
        stratified = spec.algorithm.objective in ("binary", "multiclass")
        split = three_way(labels, spec.holdout.fraction, spec.stopping.validates, spec.holdout.seed, stratified)
        rows = round(int(split.train.sum()) * spec.algorithm.row_sample)
        holdout = np.flatnonzero(split.holdout).astype(np.int64)
        audit = None
        salt_of: Callable[[str], bytes] = _fresh_salt
        if spec.contribution.audit:
            secrets = yield from remember_secrets()
            train_weights = None if weights is None else weights[split.train]
            base = objective.base_margin(labels[split.train], train_weights) if start is None else start.base_margins
            unit = unit_of(spec.algorithm.objective, labels[holdout])
            audit = ActiveAudit(
                spec.contribution,
                self.roster,
                sealing,
                secrets,
                holdout,
                labels[holdout],
                unit,
                tuple(float(one) for one in base),
            )
            salt_of = secrets.of
            limit, leaves = spec.policy.max_payload_bytes, spec.algorithm.most_leaves
            yield from audit.commit_labels(trees=self._most_trees(), leaves=leaves, max_payload_bytes=limit)
        with mask_pool(pair, rows) if self.fill_pools else nullcontext() as masks:
            model = yield from ActiveTrainer(
                self.me,
                self.roster,
                self.bins,
                self.layout,
                Labelled(labels, weights, split.train, split.validation),
                spec.algorithm,
                spec.seed,
                self.keys.has_features,
                objective,
                early_stopping(spec),
                pair,
                dlog,
                sealing_of(sealing),
                partial(self._commit, salt_of),
                self.executor,
                masks=masks,
                start=start,
                watch=HistogramWatch(),
            ).train()
        shard = self._shard(model.trees, model.base_margins)
        answerer = self._answerer(shard)
        yield Stage("contribution", 0, 2, f"{len(holdout)} held-out rows")
        yield from answerer.ask(holdout)
        packed = yield from answerer.collect_packed(holdout, EVALUATION)
        bits = answerer.unpacked(packed, len(holdout))
        scores = predictions(shard.objective, margins(shard, bits, ", ".join(self.roster[1:])))
        judged, losses = labels[holdout], None
        if audit is not None:
            losses = yield from audit.losses(
                lambda: row_losses_e6(shard, bits, judged, unit_of(shard.objective, judged))
            )
        found = self.measure(spec.contribution, shard, bits, judged, model.gains, sealing.salt, losses)
        shares = found.shares
        rounds = len(model.trees) // spec.algorithm.outputs
        outputs = Outputs(shard, packed, found.losses, found.unit, found.weak(spec.contribution.alpha), rounds)
        if audit is not None:
            yield from audit.freeze(outputs)
        yield Send(found.message, CONTRIBUTION_STEP, statistic_e6=shares.statistic_e6)
        yield RecordContribution(shares.shares_e6, shares.utilities_e6[-1], shares.utilities_e6[0])
        yield Stage("contribution", 2, 2)
        kept = None
        if audit is not None:
            kept = yield from audit.run(outputs)
        session = session_of(sealing, self.aligned, tuple(int(one) for one in holdout))
        outcome = JobOutcome(
            shard, session, "", len(self.aligned.ids), shares, found.message, audit=kept, holdout_scores=scores
        )
        return (yield from self._close(outcome))

    def run_passive(self) -> Party[JobOutcome]:
        sealing, active = self.keys.sealing, self.roster[0]
        start = None
        if self.checkpoint is not None:
            answerer = self._answerer(self.checkpoint.shard)
            start = PassiveStart(self.checkpoint.rounds, partial(send_leaf_bits, answerer))
        audit = None
        if self.spec.contribution.audit:
            secrets = yield from remember_secrets()
            held = self.spec.holdout
            is_stratified = self.spec.algorithm.objective in ("binary", "multiclass")
            rows = len(self.aligned.ids)
            drawn = Drawn(rows, held.fraction, held.seed, is_stratified, self.spec.sampled_rows(rows))
            audit = PassiveAudit(self.spec.contribution, self.roster, sealing, secrets, drawn)
            yield from audit.await_labels()
        with zero_pools(self.keys.gradient_public, self.layout.total) if self.fill_pools else nullcontext(()) as zeros:
            model = yield from PassiveTrainer(
                self.me,
                self.roster,
                self.bins,
                self.layout,
                self.spec.algorithm,
                self.spec.seed,
                self.keys.has_features,
                self.keys.gradient_public,
                sealing_of(sealing),
                self.executor,
                zeros=zeros,
                start=start,
            ).train()
        shard = self._shard(model.trees, ())
        answerer = self._answerer(shard)
        positions = yield from answerer.positions_of(active)
        yield Stage("contribution", 0, 2, f"{len(positions)} held-out rows")
        packed = yield from answerer.answer(positions, EVALUATION)
        earlier = 0 if self.checkpoint is None else self.checkpoint.rounds
        answered = Answered(shard, positions, packed, earlier, model.commitments, model.covers, model.routed)
        if audit is not None:
            yield from audit.freeze(answered)
        contribution = yield from receive(Contribution, CONTRIBUTION_STEP, active)
        if audit is None:  # else it is a reason to vote against it, and no way to end the job
            require_fitting(contribution, self.roster)
        yield Stage("contribution", 2, 2)
        kept = None
        if audit is not None:
            kept = yield from audit.run(answered, contribution)
        session = session_of(sealing, self.aligned)
        outcome = JobOutcome(shard, session, "", len(self.aligned.ids), contribution=contribution, audit=kept)
        return (yield from self._close(outcome))

    def _close(self, outcome: JobOutcome) -> Party[JobOutcome]:
        shard = outcome.shard
        yield Stage("shard", 0, 1)
        yield Keep(outcome)
        yield Send(ShardDigest(shard.digest()), SHARD_STEP)
        others = yield from gather(ShardDigest, SHARD_STEP, tuple(one for one in self.roster if one != self.me))
        digests = [shard.digest() if party == self.me else others[party].digest for party in self.roster]
        if outcome.audit is not None:
            for party, digest, frozen in zip(self.roster, digests, outcome.audit.shards, strict=True):
                if digest != frozen:  # the chain has completed the job by now, and withholds its points
                    log.warning("a party put up the digest of another shard than it had frozen", party=party)
        yield Stage("shard", 1, 1)
        return replace(outcome, model_digest=model_digest(digests))

    def _most_trees(self) -> int:
        """Of the finished model."""
        earlier = 0 if self.checkpoint is None else len(self.checkpoint.shard.trees)
        return earlier + self.spec.algorithm.trees * self.spec.algorithm.outputs

    def _shard(self, trees: tuple[Tree, ...], base_margins: tuple[float, ...]) -> Shard:
        earlier = () if self.checkpoint is None else self.checkpoint.shard.trees
        return Shard(
            party=self.me,
            roster=self.roster,
            mode=self.spec.algorithm.mode.value,
            objective=self.spec.algorithm.objective,
            base_margins=base_margins,
            binning=self.mapper.to_json(),
            trees=earlier + trees,
        )

    def _answerer(self, shard: Shard) -> Answerer:
        return make_answerer(shard, self.keys.sealing, self.bins, self.mapper)

    def _commit(self, salt_of: Callable[[str], bytes], plaintext: bytes, context: str) -> tuple[bytes, bytes]:
        """Commitment to a round's leaf weights, and they themselves sealed; with a salt that an audit can show."""
        salt = salt_of(context)
        sealed = self.keys.sealing.seal_to(self.me, salt + plaintext, context)
        return weights_commitment(salt, plaintext), sealed


def _fresh_salt(context: str) -> bytes:
    """Of a commitment that nobody will ask to have opened."""
    return os.urandom(32)


def objective_of_params(params: BoostingParams) -> Objective:
    """The loss that a job's hyperparameters name."""
    return objective_of(
        params.objective,
        classes=params.outputs,
        scale_pos_weight=params.scale_pos_weight,
        tweedie_variance_power=params.tweedie_variance_power,
        max_delta_step=params.max_delta_step,
    )


def early_stopping(spec: JobSpec) -> EarlyStopping | None:
    """The judge of the validation rows, where the job's rule watches them."""
    if spec.stopping.rule != "early":
        return None
    objective = spec.algorithm.objective
    name = spec.stopping.metric or default_metric(objective)
    metric = metric_of(name, objective, tweedie_variance_power=spec.algorithm.tweedie_variance_power)
    return EarlyStopping(metric, spec.stopping.patience, spec.stopping.min_delta)


def sealing_of(keys: Keys) -> Sealing:
    """A session's sealing as training takes it."""
    return Sealing(keys.seal_to_roster, keys.seal_to, keys.unseal)
