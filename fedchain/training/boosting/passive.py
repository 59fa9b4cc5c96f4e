"""The passive party's side of vertical boosting (SecureBoost, arXiv:1901.08755), standard mode.

Per tree: 1. take the encrypted gradients; per level: 2. sum them per bin for the smaller siblings, re-randomise, send;
3. take the split announcement; 4. for splits of its own, say which rows go left; 5. learn the other partitions.

It sees ciphertexts it cannot open, which rows train, and the partition of every node: never a label, a gradient, a
leaf weight or another party's feature.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedchain.compute.executor import Executor
from fedchain.crypto.ciphertexts import CipherRows, CipherSums
from fedchain.crypto.elgamal import PublicKey, histogram
from fedchain.crypto.points import concat
from fedchain.errors import InvalidPointError, ProtocolViolationError
from fedchain.messages import Gradients, Histogram, LeafWeights, Split, SplitNode
from fedchain.model.shard import OwnSplit, Tree, TreeShape
from fedchain.protocol import BeginRound, DeclareStop, Party, Send, Stage, receive
from fedchain.training.boosting import steps
from fedchain.training.boosting.params import BoostingParams
from fedchain.training.boosting.partition import exchange_partitions
from fedchain.training.boosting.splitting import Layout
from fedchain.training.boosting.tree import Rows, check_split, children_rows, goes_left, summed_nodes
from fedchain.types import PartyId

COLUMNS = 2  # gradient and hessian


@dataclass(frozen=True)
class PassiveTrainer:
    """A passive party in training.

    Attributes:
        me, roster: names; the active party is first on the roster.
        bins: shape (aligned rows, features), uint8.
        layout: bins per feature.
        params: the job's.
        public_key: the active party's gradient key of this job.
        seal, unseal: seal bytes for the roster under a context; open what a party sealed. Handed in by the session.
        executor: where the sums run.
    """

    me: PartyId
    roster: tuple[PartyId, ...]
    bins: NDArray[np.uint8]
    layout: Layout
    params: BoostingParams
    public_key: PublicKey
    seal: Callable[[bytes, str], bytes]
    unseal: Callable[[bytes, str, PartyId], bytes]
    executor: Executor

    @property
    def active(self) -> PartyId:
        """The label holder."""
        return self.roster[0]

    def train(self) -> Party[tuple[Tree, ...]]:
        """All trees, until the active party announces the last; then this party declares its own stop.

        Raises:
            ProtocolViolationError: a peer sent something out of shape; names it.
        """
        trees: list[Tree] = []
        for number in range(1, self.params.trees + 1):
            yield BeginRound(number)
            tree, last = yield from self._tree(number)
            trees.append(tree)
            yield Stage("train", number, self.params.trees)
            if last != (number == self.params.trees):
                raise ProtocolViolationError(self.active, f"announced the end of training wrongly after tree {number}")
        yield DeclareStop(len(trees))
        return tuple(trees)

    def _tree(self, number: int) -> Party[tuple[Tree, bool]]:
        ciphertexts, train_rows = yield from self._gradients()
        bins = self.bins[train_rows]
        nodes: dict[int, int] = {}
        own_splits: list[OwnSplit] = []
        rows: dict[int, Rows] = {0: np.arange(len(train_rows), dtype=np.int64)}  # places among the ciphertexts
        for level in range(self.params.depth):
            yield from self._send_histogram(level, rows, bins, ciphertexts)
            split = yield from receive(Split, steps.split(level), self.active)
            decisions = check_split(split, rows, len(self.roster), self.active)
            nodes.update({node: decision.owner for node, decision in decisions.items()})
            left = {}
            for node, decision in decisions.items():
                if decision.owner == self.roster.index(self.me):
                    own = self._own_split(decision)
                    own_splits.append(own)
                    column = bins[rows[node], own.feature]
                    left[node] = goes_left(column, own.bin, self.layout.n_bins[own.feature], own.missing_left)
            left = yield from exchange_partitions(
                self.me, self.roster, number, level, rows, decisions, left, self.seal, self.unseal
            )
            rows = children_rows(rows, decisions, left)
            if not rows:
                break
        nodes.update(dict.fromkeys(rows, -1))
        weights = yield from receive(LeafWeights, steps.leaf_weights(self.params.depth), self.active)
        shape = TreeShape(tuple(sorted(nodes)), tuple(nodes[node] for node in sorted(nodes)))
        return Tree(shape, tuple(sorted(own_splits, key=lambda one: one.node))), weights.last

    def _gradients(self) -> Party[tuple[CipherRows, Rows]]:
        message = yield from receive(Gradients, steps.GRADIENTS, self.active)
        bits = np.frombuffer(message.row_bits, dtype=np.uint8)
        if len(bits) != (len(self.bins) + 7) // 8:
            raise ProtocolViolationError(self.active, "row bits do not cover the aligned rows")
        train_rows = np.flatnonzero(np.unpackbits(bits, bitorder="little")).astype(np.int64)
        if len(train_rows) != message.rows or train_rows[-1] >= len(self.bins):
            raise ProtocolViolationError(self.active, "row bits do not match the number of rows")
        try:
            ciphertexts = CipherRows.from_bytes(
                message.ciphertexts, message.rows, COLUMNS, culprit=self.active, executor=self.executor
            )
        except InvalidPointError as error:
            raise ProtocolViolationError(self.active, f"gradients: {error}") from error
        return ciphertexts, train_rows

    def _send_histogram(
        self, level: int, rows: dict[int, Rows], bins: NDArray[np.uint8], ciphertexts: CipherRows
    ) -> Party[None]:
        nodes, widths = summed_nodes(rows), self.layout.widths.tolist()
        parts = []
        if widths:
            for node in nodes:
                sums = histogram(ciphertexts, rows[node], bins, widths, self.public_key, self.executor)
                parts.append(sums)
        shape = tuple((n, int(m)) for n, m in zip(self.layout.n_bins, self.layout.has_missing, strict=True))
        yield Send(Histogram(nodes, shape, _joined(parts)), steps.histogram(level), self.active)

    def _own_split(self, decision: SplitNode) -> OwnSplit:
        if (
            not 0 <= decision.feature < len(self.layout.n_bins)
            or not 0 <= decision.bin < self.layout.n_bins[decision.feature]
        ):
            raise ProtocolViolationError(
                self.active, f"announced a split at node {decision.node} on no bin of '{self.me}'"
            )
        return OwnSplit(decision.node, decision.feature, decision.bin, decision.missing_left)


def _joined(parts: list[CipherSums]) -> bytes:
    if not parts:
        return b""
    columns = [concat([part.c2[column] for part in parts]) for column in range(COLUMNS)]
    return CipherSums(concat([part.c1 for part in parts]), tuple(columns)).to_bytes()
