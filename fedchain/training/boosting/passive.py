"""The passive party's side of vertical boosting (SecureBoost, arXiv:1901.08755), in all modes.

Per tree that it takes part in: 1. take the encrypted gradients; per level that it competes at: 2. merge bins that hold
few rows, sum the ciphertexts per group for the smaller siblings, re-randomise, send; 3. take the split announcement;
4. for splits of its own, say which rows go left; 5. in standard mode, learn the other partitions.

It sees ciphertexts it cannot open, which rows train, and the partitions of its own splits (in standard mode of all):
never a label, a gradient, a leaf weight or another party's feature.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedchain.compute.executor import Executor
from fedchain.crypto.ciphertexts import CipherRows
from fedchain.crypto.elgamal import PublicKey
from fedchain.errors import InvalidPointError, ProtocolViolationError
from fedchain.messages import Gradients, Histogram, LeafWeights, Split
from fedchain.model.shard import OwnSplit, Tree, TreeShape
from fedchain.protocol import BeginRound, DeclareStop, Party, Send, Stage, receive
from fedchain.training.boosting import steps
from fedchain.training.boosting.groups import PassiveGroups
from fedchain.training.boosting.params import BoostingParams
from fedchain.training.boosting.partition import Masks, Place, Sealing, exchange_partitions
from fedchain.training.boosting.plan import TreePlan, plan_tree
from fedchain.training.boosting.sampling import column_sample
from fedchain.training.boosting.splitting import Layout
from fedchain.training.boosting.tree import Rows, check_split, children_rows, goes_left, summed_nodes
from fedchain.types import PartyId

COLUMNS = 2  # gradient and hessian of one output


@dataclass(frozen=True)
class _Round:
    """What the round's first message brings: rows are places in `routed` from here on.

    Attributes:
        ciphertexts: of the rows that enter histograms.
        bins: shape (routed rows, features).
        cipher_of: shape (routed rows,): place among the ciphertexts, -1 for rows that do not enter histograms.
    """

    ciphertexts: CipherRows
    bins: NDArray[np.uint8]
    cipher_of: NDArray[np.int64]

    def of_output(self, output: int) -> CipherRows:
        """The ciphertexts of one output's gradient and hessian; randomness is shared by all outputs of a row."""
        return CipherRows(self.ciphertexts.c1, self.ciphertexts.c2[COLUMNS * output : COLUMNS * (output + 1)])


@dataclass(frozen=True)
class PassiveTrainer:
    """A passive party in training.

    Attributes:
        me, roster: names; the active party is first on the roster.
        bins: shape (aligned rows, features), uint8.
        layout: bins per feature.
        params: the job's.
        seed: the job's, for sampling.
        has_features: per party, as announced.
        output_keys: the active party's gradient keys of this job, one of two columns for each output.
        sealing: of this job.
        executor: where the sums run.
    """

    me: PartyId
    roster: tuple[PartyId, ...]
    bins: NDArray[np.uint8]
    layout: Layout
    params: BoostingParams
    seed: int
    has_features: tuple[bool, ...]
    output_keys: tuple[PublicKey, ...]
    sealing: Sealing
    executor: Executor

    @property
    def active(self) -> PartyId:
        """The label holder."""
        return self.roster[0]

    @property
    def outputs(self) -> int:
        """Trees per round."""
        return len(self.output_keys)

    @property
    def index(self) -> int:
        """This party's place on the roster."""
        return self.roster.index(self.me)

    def train(self) -> Party[tuple[Tree, ...]]:
        """All rounds, until the active party announces the last; then this party declares its own stop.

        Returns:
            The trees of the rounds that the model keeps.

        Raises:
            ProtocolViolationError: a peer sent something out of shape; names it.
        """
        trees: list[Tree] = []
        for number in range(1, self.params.trees + 1):
            yield BeginRound(number)
            plan = plan_tree(self.params, number, self.has_features)
            if self.index in plan.passive:
                begun = yield from self._gradients(plan)
                for output in range(self.outputs):
                    trees.append((yield from self._tree(number, output, plan, begun)))
            else:
                trees += [Tree(TreeShape((0,), (-1,)), (), output=output) for output in range(self.outputs)]
            closing = yield from receive(LeafWeights, steps.leaf_weights(self.outputs, self.params.depth), self.active)
            yield Stage("train", number, self.params.trees)
            if closing.keep and not closing.last:
                raise ProtocolViolationError(self.active, f"keeps {closing.keep} rounds before the last")
            if closing.last:
                if not 1 <= closing.keep <= number:
                    raise ProtocolViolationError(self.active, f"keeps {closing.keep} of {number} rounds")
                yield DeclareStop(number)
                return tuple(trees[: closing.keep * self.outputs])
        raise ProtocolViolationError(self.active, "did not announce the end of training with the last round")

    def _used_columns(self, number: int) -> NDArray[np.bool_]:
        share = self.params.column_sample
        return column_sample(len(self.layout.n_bins), share, seed=self.seed, tree=number, party=self.me)

    def _tree(self, number: int, output: int, plan: TreePlan, begun: _Round) -> Party[Tree]:
        used = self._used_columns(number)
        groups = PassiveGroups(self.layout, used, self.params.least_bin_rows, self.params.least_leaf_rows)
        nodes: dict[int, int] = {}
        own_splits: list[OwnSplit] = []
        rows: dict[int, Rows] = {0: np.arange(len(begun.bins), dtype=np.int64)}
        for level in range(self.params.depth):
            if self.index not in plan.levels[level]:
                break
            yield from self._send_histogram(output, level, rows, begun, groups)
            step = steps.split(output, self.params.depth, level)
            split = yield from receive(Split, step, self.active, to_me=not plan.shared)
            decisions = check_split(split, rows, len(self.roster), self.active)
            if not plan.shared and any(one.owner not in (-1, self.index) for one in decisions.values()):
                raise ProtocolViolationError(self.active, "announced a split of a party that does not compete here")
            nodes.update({node: decision.owner for node, decision in decisions.items()})
            left: Masks = {}
            for node, decision in decisions.items():
                if decision.owner == self.index:
                    own = groups.own_split(decision, self.active)
                    own_splits.append(own)
                    column = begun.bins[rows[node], own.feature]
                    left[node] = goes_left(column, own.bin, self.layout.n_bins[own.feature], own.missing_left)
            step = steps.partition(output, self.params.depth, level)
            place = Place(number, output, level, step, plan.shared)
            left = yield from exchange_partitions(self.me, self.roster, place, rows, decisions, left, self.sealing)
            rows = children_rows(rows, decisions, left)
            if not rows:
                break
        nodes.update(dict.fromkeys(rows, -1))
        shape = TreeShape(tuple(sorted(nodes)), tuple(nodes[node] for node in sorted(nodes)))
        return Tree(shape, tuple(sorted(own_splits, key=lambda one: one.node)), output=output)

    def _gradients(self, plan: TreePlan) -> Party[_Round]:
        message = yield from receive(Gradients, steps.GRADIENTS, self.active, to_me=not plan.shared)
        routed = self._rows(message.routed_bits)
        sampled = self._rows(message.row_bits)
        if sampled.sum() != message.rows or (sampled & ~routed).any():
            raise ProtocolViolationError(self.active, "row bits do not match the number of rows")
        try:
            ciphertexts = CipherRows.from_bytes(
                message.ciphertexts, message.rows, COLUMNS * self.outputs, culprit=self.active, executor=self.executor
            )
        except InvalidPointError as error:
            raise ProtocolViolationError(self.active, f"gradients: {error}") from error
        inside = sampled[routed]
        cipher_of = np.where(inside, np.cumsum(inside) - 1, -1)
        return _Round(ciphertexts, np.asfortranarray(self.bins[routed]), cipher_of)

    def _rows(self, packed: bytes) -> NDArray[np.bool_]:
        bits = np.frombuffer(packed, dtype=np.uint8)
        unpacked = np.unpackbits(bits, bitorder="little")
        if len(bits) != (len(self.bins) + 7) // 8 or unpacked[len(self.bins) :].any():
            raise ProtocolViolationError(self.active, "row bits do not cover the aligned rows")
        return unpacked[: len(self.bins)].astype(bool)

    def _send_histogram(
        self, output: int, level: int, rows: Mapping[int, Rows], begun: _Round, groups: PassiveGroups
    ) -> Party[None]:
        inside = {node: members[begun.cipher_of[members] >= 0] for node, members in rows.items()}
        nodes = summed_nodes({node: len(members) for node, members in inside.items()})
        groups.descend(nodes, inside, begun.bins)
        raw = groups.encrypted_sums(
            nodes, inside, begun.bins, begun.cipher_of, begun.of_output(output), self.output_keys[output], self.executor
        )
        message = Histogram(nodes, tuple(groups.announced(node) for node in nodes), raw)
        yield Send(message, steps.histogram(output, self.params.depth, level), self.active)
