"""The active party's side of vertical boosting (SecureBoost, arXiv:1901.08755), standard mode.

Per tree: 1. gradients of the current scores, encrypted row by row; per level: 2. decrypt the passive parties' sums,
subtract siblings, check totals; 3. announce the best split of every open node; 4. recompute the left sums of what the
owners announce; last: 5. leaf weights, sealed to itself.

It sees every bin sum of every passive party (feature positions, not names), and the partitions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from fedchain.compute.executor import Executor
from fedchain.crypto.dlog import DlogTable
from fedchain.crypto.elgamal import KeyPair
from fedchain.errors import ForgedHistogramError
from fedchain.messages import Gradients, LeafWeights, Split
from fedchain.messages.training import SplitNode
from fedchain.model.shard import OwnSplit, Tree, TreeShape
from fedchain.protocol import BeginRound, DeclareStop, Party, Send, Stage
from fedchain.training.boosting import steps
from fedchain.training.boosting.gradients import base_margin, logistic_gradients, quantise
from fedchain.training.boosting.histogram import plain_histogram
from fedchain.training.boosting.params import BoostingParams
from fedchain.training.boosting.partition import Masks, exchange_partitions
from fedchain.training.boosting.received import ReceivedHistograms
from fedchain.training.boosting.splitting import Candidate, Layout, Regularisation, best_split, leaf_weight
from fedchain.training.boosting.tree import Rows, children_rows, goes_left, summed_nodes
from fedchain.types import PartyId


@dataclass(frozen=True)
class ActiveModel:
    """What the active party ends training with: its trees (with weights and covers) and the base margin."""

    base_margin: float
    trees: tuple[Tree, ...]


@dataclass
class ActiveTrainer:
    """The active party in training.

    Attributes:
        me, roster: names; the active party is first on the roster.
        bins: shape (aligned rows, own features), uint8; may have no column.
        layout: bins per own feature.
        labels: shape (aligned rows,), 0.0 or 1.0.
        train_rows: ascending positions of the rows that train.
        params: the job's.
        keys: gradient key pair of this job (two columns).
        dlog: table for decryption.
        seal, unseal: seal for the roster; open what a party sealed.
        commit: seal for this party alone: bytes and context to (commitment, sealed).
        executor: where encryption and decryption run.
    """

    me: PartyId
    roster: tuple[PartyId, ...]
    bins: NDArray[np.uint8]
    layout: Layout
    labels: NDArray[np.float64]
    train_rows: Rows
    params: BoostingParams
    keys: KeyPair
    dlog: DlogTable
    seal: Callable[[bytes, str], bytes]
    unseal: Callable[[bytes, str, PartyId], bytes]
    commit: Callable[[bytes, str], tuple[bytes, bytes]]
    executor: Executor
    _layouts: dict[PartyId, Layout] = field(default_factory=dict)

    def train(self) -> Party[ActiveModel]:
        """All trees of the job, then the declaration that the stopping rule is met.

        Raises:
            ForgedHistogramError: a passive party's sums contradict its rows; names it.
            ProtocolViolationError: a peer sent something out of shape; names it.
        """
        base = base_margin(self.labels[self.train_rows])
        margin = np.full(len(self.labels), base)
        trees: list[Tree] = []
        yield Stage("train", 0, self.params.trees)
        for number in range(1, self.params.trees + 1):
            yield BeginRound(number)
            trees.append((yield from self._tree(number, margin, last=number == self.params.trees)))
            yield Stage("train", number, self.params.trees)
        yield DeclareStop(len(trees))
        return ActiveModel(base, tuple(trees))

    def _tree(self, number: int, margin: NDArray[np.float64], *, last: bool) -> Party[Tree]:
        gradients_q, scales = quantise(logistic_gradients(margin[self.train_rows], self.labels[self.train_rows]))
        values_q = np.zeros((len(self.labels), 2), dtype=np.int64)
        values_q[self.train_rows] = gradients_q
        yield from self._send_gradients(gradients_q)

        grower = _Grower(self, values_q, scales)
        rows: dict[int, Rows] = {0: self.train_rows}
        nodes: dict[int, tuple[int, int]] = {}  # node -> (owner, cover)
        own_splits: list[OwnSplit] = []
        leaves: dict[int, Rows] = {}
        for level in range(self.params.depth):
            received = yield from grower.received.gather_level(level, rows)
            decisions, candidates = grower.decide(rows, received)
            yield Send(
                Split(tuple(grower.announced(decisions[node]) for node in sorted(decisions))), steps.split(level)
            )
            left = self._own_masks(rows, decisions)
            own_splits += [
                OwnSplit(node, one.feature, one.bin, one.missing_left)
                for node, one in decisions.items()
                if one.owner == 0
            ]
            left = yield from exchange_partitions(
                self.me, self.roster, number, level, rows, decisions, left, self.seal, self.unseal
            )
            self._check_left_sums(rows, left, decisions, candidates, values_q)
            for node, decision in decisions.items():
                nodes[node] = (decision.owner, len(rows[node]))
                if decision.owner < 0:
                    leaves[node] = rows[node]
            rows = children_rows(rows, decisions, left)
            if not rows:
                break
        for node, members in rows.items():
            nodes[node], leaves[node] = (-1, len(members)), members
        return (yield from self._close(number, nodes, leaves, own_splits, values_q, scales, margin, last=last))

    def _send_gradients(self, gradients_q: NDArray[np.int64]) -> Party[None]:
        trains = np.zeros(len(self.labels), dtype=bool)
        trains[self.train_rows] = True
        ciphertexts = self.keys.encrypt_rows(gradients_q, executor=self.executor)
        row_bits = np.packbits(trains, bitorder="little").tobytes()
        yield Send(Gradients(row_bits, len(gradients_q), ciphertexts.to_bytes()), steps.GRADIENTS)

    def _own_masks(self, rows: Mapping[int, Rows], decisions: Mapping[int, SplitNode]) -> Masks:
        return {
            node: goes_left(
                self.bins[rows[node], one.feature], one.bin, self.layout.n_bins[one.feature], one.missing_left
            )
            for node, one in decisions.items()
            if one.owner == 0
        }

    def _check_left_sums(
        self,
        rows: Mapping[int, Rows],
        left: Masks,
        decisions: Mapping[int, SplitNode],
        candidates: Mapping[int, Candidate],
        values_q: NDArray[np.int64],
    ) -> None:
        """The announced left rows must sum to exactly what the winning histogram said (crypto-level honesty check)."""
        for node, mask in left.items():
            sums = values_q[rows[node][mask]].sum(axis=0)
            if (int(sums[0]), int(sums[1])) != candidates[node].left:
                raise ForgedHistogramError(
                    self.roster[decisions[node].owner],
                    f"rows announced left of node {node} do not sum to its decrypted histogram",
                )

    def _close(
        self,
        number: int,
        nodes: Mapping[int, tuple[int, int]],
        leaves: Mapping[int, Rows],
        own_splits: list[OwnSplit],
        values_q: NDArray[np.int64],
        scales: tuple[float, float],
        margin: NDArray[np.float64],
        *,
        last: bool,
    ) -> Party[Tree]:
        ordered = sorted(nodes)
        shape = TreeShape(tuple(ordered), tuple(nodes[node][0] for node in ordered))
        weights = []
        for leaf in shape.leaves():
            sums = values_q[leaves[leaf]].sum(axis=0)
            weight = leaf_weight((int(sums[0]), int(sums[1])), scales, self.params.l2, self.params.learning_rate)
            margin[leaves[leaf]] += weight
            weights.append(weight)
        packed = np.asarray(weights, dtype="<f8").tobytes()
        commitment, sealed = self.commit(packed, f"leaf_weights/{number}")
        yield Send(LeafWeights(commitment, sealed, last), steps.leaf_weights(self.params.depth))
        return Tree(
            shape,
            tuple(sorted(own_splits, key=lambda one: one.node)),
            tuple(nodes[node][1] for node in ordered),
            tuple(weights),
        )


class _Grower:
    """Histograms of one tree and the decisions that follow."""

    def __init__(self, trainer: ActiveTrainer, values_q: NDArray[np.int64], scales: tuple[float, float]) -> None:
        self.trainer, self.values_q, self.scales = trainer, values_q, scales
        params = trainer.params
        self.rules = Regularisation(params.l2, params.gamma, params.min_child_weight)
        self.received = ReceivedHistograms(
            trainer.roster[1:], values_q, trainer.keys, trainer.dlog, trainer.executor, trainer._layouts
        )
        self.own: dict[int, NDArray[np.int64]] = {}

    def decide(
        self, rows: Mapping[int, Rows], received: Mapping[PartyId, dict[int, NDArray[np.int64]]]
    ) -> tuple[dict[int, SplitNode], dict[int, Candidate]]:
        """Best split of every open node over all parties; the earlier party on the roster wins ties."""
        trainer = self.trainer
        computed = {
            node: plain_histogram(trainer.bins, rows[node], self.values_q, trainer.layout)
            for node in summed_nodes(rows)
        }
        own = self.received.with_siblings(computed, self.own, rows)
        self.own = own
        decisions: dict[int, SplitNode] = {}
        candidates: dict[int, Candidate] = {}
        for node in sorted(rows):
            best, owner = best_split(own[node], trainer.layout, self.scales, self.rules), 0
            for index, party in enumerate(trainer.roster[1:], start=1):
                layout = trainer._layouts[party]
                candidate = best_split(received[party][node], layout, self.scales, self.rules)
                if candidate is not None and (best is None or candidate.gain > best.gain):
                    best, owner = candidate, index
            if best is None:
                decisions[node] = SplitNode(node, -1, -1, -1, False)
            else:
                decisions[node] = SplitNode(node, owner, best.feature, best.bin, best.missing_left)
                candidates[node] = best
        return decisions, candidates

    @staticmethod
    def announced(decision: SplitNode) -> SplitNode:
        """What the consortium is told: the active party's own feature and bin stay with it."""
        if decision.owner > 0:
            return decision
        return SplitNode(decision.node, decision.owner, -1, -1, False)
