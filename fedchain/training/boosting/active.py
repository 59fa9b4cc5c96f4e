"""The active party's side of vertical boosting (SecureBoost, arXiv:1901.08755), in all modes.

Per round: 1. gradients of the current scores, encrypted row by row, to the passive parties that take part. Per tree
(one for each output) and turn: 2. decrypt the competing passive parties' sums, subtract siblings, check totals;
3. announce the best split of every open node, or of the one that is split next; 4. recompute the left sums of what the
owners announce. Turns at which the active party alone competes need no message. Last: 5. leaf weights, sealed to
itself.

It sees every group sum of the passive parties that take part (feature positions, not names), and the partitions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray

from fedchain.compute.executor import Executor
from fedchain.crypto.dlog import DlogTable
from fedchain.crypto.elgamal import KeyPair, MaskPool
from fedchain.crypto.tables import generator_table
from fedchain.messages import Gradients, LeafWeights
from fedchain.model.shard import Tree
from fedchain.protocol import BeginRound, Checkpoint, CloseRound, DeclareStop, Party, Send, Stage, recall
from fedchain.training.boosting import state, steps
from fedchain.training.boosting.gradients import quantise
from fedchain.training.boosting.grower import Grower, Grown
from fedchain.training.boosting.metrics import EarlyStopping
from fedchain.training.boosting.objectives import Objective
from fedchain.training.boosting.params import BoostingParams
from fedchain.training.boosting.partition import Sealing
from fedchain.training.boosting.plan import TreePlan, plan_tree
from fedchain.training.boosting.received import Opener
from fedchain.training.boosting.sampling import column_sample, goss, row_sample
from fedchain.training.boosting.splitting import Layout, Regularisation, leaf_weight
from fedchain.training.boosting.start import ActiveStart
from fedchain.training.boosting.watching import Watch
from fedchain.types import PartyId

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class ActiveModel:
    """What the active party ends training with.

    Attributes:
        base_margins: one per output.
        trees: of the rounds kept, output after output within a round; with weights and covers.
        gains: of all splits of these rounds, by roster index; empty where an older fedchain trained some of them. To be
            shown, not paid by: nobody can check them.
    """

    base_margins: tuple[float, ...]
    trees: tuple[Tree, ...]
    gains: tuple[float, ...] = ()


@dataclass(frozen=True)
class Labelled:
    """What the label holder knows of the aligned rows.

    Attributes:
        labels: shape (aligned rows,), valid for the objective.
        weights: shape (aligned rows,), or None for all 1; they stay with the active party.
        train, validation: masks, disjoint; rows in neither never enter training.
    """

    labels: Floats
    weights: Floats | None
    train: Mask
    validation: Mask


@dataclass
class ActiveTrainer:
    """The active party in training.

    Attributes:
        me, roster: names; the active party is first on the roster.
        bins: shape (aligned rows, own features), uint8; may have no column.
        layout: bins per own feature.
        rows: labels, weights, and which rows train.
        params: the job's.
        seed: the job's, for sampling.
        has_features: per party, as announced.
        objective: the loss.
        stopping: judges the validation rows after each round; None trains all rounds.
        keys: gradient key pair of this job, two columns for each output.
        dlog: table for decryption.
        sealing: of this job.
        commit: seal for this party alone: bytes and context to (commitment, sealed).
        executor: where encryption and decryption run.
        masks: pool of the key pair's masks; None: they are computed when they are needed.
        start: the model that is continued; None starts from nothing.
        watch: looks at the passive parties' histograms beside the checks here; None: nobody does.
    """

    me: PartyId
    roster: tuple[PartyId, ...]
    bins: NDArray[np.uint8]
    layout: Layout
    rows: Labelled
    params: BoostingParams
    seed: int
    has_features: tuple[bool, ...]
    objective: Objective
    stopping: EarlyStopping | None
    keys: KeyPair
    dlog: DlogTable
    sealing: Sealing
    commit: Callable[[bytes, str], tuple[bytes, bytes]]
    executor: Executor
    masks: MaskPool | None = None
    start: ActiveStart | None = None
    watch: Watch | None = None

    def train(self) -> Party[ActiveModel]:
        """All rounds until the stopping rule is met, then the declaration that it is.

        Returns:
            The trees of this job's rounds; those of a model that it continues are not among them.

        Raises:
            ForgedHistogramError: a passive party's sums contradict its rows; names it.
            StaleCiphertextError: a passive party sent a ciphertext again, or a copy; names it.
            ProtocolViolationError: a peer sent something out of shape; names it.
            TrainingError: margins diverge, or no party has a feature.
        """
        base = self._base_margins()
        margin = np.tile(base, (len(self.rows.labels), 1))
        earlier = 0 if self.start is None else self.start.rounds
        rounds: list[tuple[Tree, ...]] = []
        gains: list[tuple[float, ...]] = []
        keep = 0
        kept = yield from recall(state.NAME)
        if kept is not None:
            before = state.unpack_active(kept, margin.nbytes)
            rounds, gains, keep = list(before.rounds), list(before.gains), before.keep
            margin = np.frombuffer(before.margin, dtype="<f8").astype(np.float64).reshape(margin.shape)
            self._resume_stopping(before)
            if self.watch is not None and before.watch:
                self.watch.resume(before.watch)
        number = len(rounds)
        if not keep and any(self.has_features[1:]):
            generator_table()  # before the clock of the first tree runs, as the passive parties do with theirs
        yield Stage("train", number, self.params.trees)
        while not keep:
            number += 1
            yield BeginRound(number)
            if number == 1 and self.start is not None:
                margin = yield from self.start.margins()
            trees, packed, gained = yield from self._round(earlier + number, margin)
            rounds.append(tuple(trees))
            gains.append(gained)
            keep = self._rounds_to_keep(number, margin)
            commitment, sealed = self.commit(packed, f"leaf_weights/{number}")
            closing = LeafWeights(commitment, sealed, keep > 0, keep)
            yield Send(closing, steps.leaf_weights(self.objective.columns, self.params.turns))
            yield CloseRound(number, keep > 0)
            yield Checkpoint(state.NAME, self._state(rounds, gains, margin, keep), number)
            yield Stage("train", number, self.params.trees)
        yield DeclareStop(number)
        kept_trees = tuple(tree for one in rounds[:keep] for tree in one)
        known = gains[:keep] if len(gains) == number else []
        return ActiveModel(tuple(float(one) for one in base), kept_trees, _total(known))

    def _state(
        self, rounds: list[tuple[Tree, ...]], gains: list[tuple[float, ...]], margin: Floats, keep: int
    ) -> bytes:
        watch = b"" if self.watch is None else self.watch.state()
        raw = margin.astype("<f8").tobytes()
        now = state.ActiveState(tuple(rounds), raw, keep, gains=tuple(gains), watch=watch)
        judge = self.stopping
        if judge is not None:
            now = msgspec.structs.replace(now, seen=judge.seen, best_tree=judge.best_tree, best_value=judge.best_value)
        return state.pack(now)

    def _resume_stopping(self, before: state.ActiveState) -> None:
        if self.stopping is not None:
            self.stopping.seen, self.stopping.best_tree = before.seen, before.best_tree
            self.stopping.best_value = before.best_value

    def _base_margins(self) -> Floats:
        if self.start is not None:
            return np.asarray(self.start.base_margins, dtype=np.float64)
        train, weights = self.rows.train, self.rows.weights
        return self.objective.base_margin(self.rows.labels[train], None if weights is None else weights[train])

    def _rounds_to_keep(self, number: int, margin: Floats) -> int:
        """0 while training goes on, else how many rounds the model keeps."""
        if self.stopping is not None:
            judged = self.rows.validation
            predictions = self.objective.predictions(margin[judged])
            weights = None if self.rows.weights is None else self.rows.weights[judged]
            value = self.stopping.metric.value(self.rows.labels[judged], predictions, weights)
            if self.stopping.update(value) or number == self.params.trees:
                return self.stopping.best_tree
        return number if number == self.params.trees else 0

    def _round(self, number: int, margin: Floats) -> Party[tuple[list[Tree], bytes, tuple[float, ...]]]:
        """One round, by its number in the whole model: its trees, their packed weights, and gains by roster index."""
        plan = plan_tree(self.params, number, self.has_features)
        routed = self.rows.train | self.rows.validation
        values, sampled = self._gradients(number, margin)
        outputs = self.objective.columns
        values_q = np.zeros((len(margin), outputs, 2), dtype=np.int64)
        scales = []
        for output in range(outputs):
            values_q[sampled, output], output_scales = quantise(values[sampled, output])
            scales.append(output_scales)
        if self.watch is not None:
            self.watch.begin_round()
        if plan.passive:
            yield from self._send_gradients(plan, routed, sampled, values_q)
        trees, packed = [], b""
        gains = [0.0] * len(self.roster)
        for output in range(outputs):
            opener = Opener(self.keys, (2 * output, 2 * output + 1), self.dlog, self.executor, self.watch)
            grower = Grower(
                self.me,
                self.roster,
                self.bins,
                self.layout,
                self.params,
                plan,
                number,
                output,
                regularisation(self.params, self.objective),
                self._used_columns(number),
                values_q[:, output],
                scales[output],
                sampled,
                opener,
                self.sealing,
            )
            grown = yield from grower.grow(np.flatnonzero(routed).astype(np.int64))
            weights = self._leaf_weights(grown, values_q[:, output], scales[output], sampled)
            for leaf, weight in weights.items():
                margin[grown.leaves[leaf], output] += weight
            trees.append(grown.tree(tuple(weights.values()), output))
            for owner, gain in grown.gains.items():
                gains[owner] += gain
            packed += np.asarray(list(weights.values()), dtype="<f8").tobytes()
        return trees, packed, tuple(gains)

    def _used_columns(self, number: int) -> Mask:
        share = self.params.column_sample
        return column_sample(len(self.layout.n_bins), share, seed=self.seed, tree=number, party=self.me)

    def _gradients(self, number: int, margin: Floats) -> tuple[Floats, Mask]:
        """Gradients and hessians, shape (aligned rows, outputs, 2), and which rows enter histograms.

        With GOSS all training rows enter, the unsampled as zeros: the sampled set would show large gradients.
        """
        train = np.flatnonzero(self.rows.train)
        weights = None if self.rows.weights is None else self.rows.weights[train]
        gradient, hessian = self.objective.gradients(margin[train], self.rows.labels[train], weights)
        sampled = self.rows.train.copy()
        if self.params.goss_top is not None and self.params.goss_other is not None:
            size = np.abs(gradient).sum(axis=1)
            _, factor = goss(size, self.params.goss_top, self.params.goss_other, seed=self.seed, tree=number)
            gradient, hessian = gradient * factor[:, None], hessian * factor[:, None]
        elif self.params.row_sample < 1:
            sampled[train] = row_sample(len(train), self.params.row_sample, seed=self.seed, tree=number)
        values = np.zeros((len(margin), self.objective.columns, 2))
        values[train, :, 0], values[train, :, 1] = gradient, hessian
        return values, sampled

    def _send_gradients(self, plan: TreePlan, routed: Mask, sampled: Mask, values_q: NDArray[np.int64]) -> Party[None]:
        plain = values_q[sampled].reshape(int(sampled.sum()), -1)
        ciphertexts = self.keys.encrypt_rows(plain, self.executor, self.masks).to_bytes()
        packed = [np.packbits(mask, bitorder="little").tobytes() for mask in (routed, sampled)]
        message = Gradients(packed[0], packed[1], len(plain), ciphertexts)
        if plan.shared:
            yield Send(message, steps.GRADIENTS)
            return
        for index in plan.passive:
            yield Send(message, steps.GRADIENTS, self.roster[index])

    def _leaf_weights(
        self, grown: Grown, values_q: NDArray[np.int64], scales: tuple[float, float], sampled: Mask
    ) -> Mapping[int, float]:
        """Weight per leaf, ascending by node id."""
        rules = regularisation(self.params, self.objective)
        weights = {}
        for leaf in sorted(grown.leaves):
            members = grown.leaves[leaf]
            sums = values_q[members[sampled[members]]].sum(axis=0)
            weights[leaf] = leaf_weight((int(sums[0]), int(sums[1])), scales, rules, self.params.learning_rate)
        return weights


def _total(rounds: Sequence[tuple[float, ...]]) -> tuple[float, ...]:
    """Gains of rounds, added up by roster index; empty for none."""
    return tuple(float(sum(gains)) for gains in zip(*rounds, strict=True))


def regularisation(params: BoostingParams, objective: Objective | None = None) -> Regularisation:
    """The fields of the hyperparameters that splitting and leaf weights need."""
    return Regularisation(
        params.l2,
        params.gamma,
        params.min_child_weight,
        params.l1,
        params.least_leaf_rows,
        0.0 if objective is None else objective.max_delta_step,
    )
