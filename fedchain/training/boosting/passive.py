"""The passive party's side of vertical boosting (SecureBoost, arXiv:1901.08755), in all modes.

Per tree that it takes part in: 1. take the encrypted gradients; per turn that it competes at (a level, or one split of
a leaf-wise tree): 2. merge bins that hold few rows, sum the ciphertexts per group for the smaller siblings,
re-randomise, send; 3. take the split announcement; 4. for splits of its own, say which rows go left; 5. in standard
mode, learn the other partitions.

It sees ciphertexts it cannot open, which rows train, and the partitions of its own splits (in standard mode of all):
never a label, a gradient, a leaf weight or another party's feature.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from fedchain.compute.executor import Executor
from fedchain.crypto.ciphertexts import CipherRows
from fedchain.crypto.elgamal import PublicKey, ZeroPool
from fedchain.errors import InvalidPointError, ProtocolViolationError
from fedchain.messages import Gradients, Histogram, LeafWeights, Split
from fedchain.messages.training import SplitNode
from fedchain.model.shard import OwnSplit, Tree, TreeShape
from fedchain.protocol import BeginRound, Checkpoint, CloseRound, DeclareStop, Party, Send, Stage, recall, receive
from fedchain.training.boosting import state, steps
from fedchain.training.boosting.groups import PassiveGroups
from fedchain.training.boosting.params import BoostingParams
from fedchain.training.boosting.partition import Masks, Place, Sealing, exchange_partitions
from fedchain.training.boosting.plan import TreePlan, plan_tree
from fedchain.training.boosting.sampling import column_sample, feature_order, order_secret
from fedchain.training.boosting.splitting import Layout
from fedchain.training.boosting.start import PassiveStart
from fedchain.training.boosting.tree import (
    Rows,
    check_best_leaf,
    check_split,
    children_rows,
    goes_left,
    level_of,
    summed_nodes,
)
from fedchain.types import PartyId

COLUMNS = 2  # gradient and hessian of one output


@dataclass(frozen=True)
class PassiveModel:
    """What a passive party ends training with.

    Attributes:
        trees: of this job's rounds that the model keeps, as far as this party knows them; those of a model that it
            continues are not among them.
        commitments: the active party's to the leaf weights of each of these rounds, 32 bytes; empty where an older
            fedchain, which kept none, trained some of them.
        covers: of each of these trees, by node, rows that entered its histograms, as far as this party knows them: at
            its own nodes and their children, in standard mode at all; empty as above.
        routed: aligned rows that trained or validated in any round, as bits, little-endian; empty where it saw none.
    """

    trees: tuple[Tree, ...]
    commitments: tuple[bytes, ...]
    covers: tuple[dict[int, int], ...] = ()
    routed: bytes = b""


@dataclass(frozen=True)
class _Round:
    """What the round's first message brings: rows are places in `routed` from here on.

    Attributes:
        ciphertexts: of the rows that enter histograms.
        bins: shape (routed rows, features).
        cipher_of: shape (routed rows,): place among the ciphertexts, -1 for rows that do not enter histograms.
        routed: which rows of the aligned ones are routed, as bits.
    """

    ciphertexts: CipherRows
    bins: NDArray[np.uint8]
    cipher_of: NDArray[np.int64]
    routed: bytes

    def of_output(self, output: int) -> CipherRows:
        """The ciphertexts of one output's gradient and hessian; randomness is shared by all outputs of a row."""
        return CipherRows(self.ciphertexts.c1, self.ciphertexts.c2[COLUMNS * output : COLUMNS * (output + 1)])


@dataclass
class _Growing:
    """A tree under way, as this party knows it.

    Attributes:
        owners: per node that was announced, roster index, -1 for a leaf.
        splits: own ones.
        covers: rows that enter histograms, per node whose rows are known.
    """

    number: int
    output: int
    plan: TreePlan
    begun: _Round
    groups: PassiveGroups
    owners: dict[int, int] = field(default_factory=dict)
    splits: list[OwnSplit] = field(default_factory=list)
    covers: dict[int, int] = field(default_factory=dict)

    def note_covers(self, rows: Mapping[int, Rows]) -> None:
        """How many of each node's rows enter histograms."""
        for node, members in rows.items():
            self.covers[node] = int((self.begun.cipher_of[members] >= 0).sum())


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
        zeros: pools of encryptions of zero, one per output; empty: they are computed when they are needed.
        start: the model that is continued; None starts from nothing.
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
    zeros: tuple[ZeroPool, ...] = ()
    start: PassiveStart | None = None

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

    def train(self) -> Party[PassiveModel]:
        """All rounds, until the active party announces the last; then this party declares its own stop.

        Raises:
            ProtocolViolationError: a peer sent something out of shape; names it.
        """
        kept = yield from recall(state.NAME)
        before = state.PassiveState(0, (), 0) if kept is None else state.unpack_passive(kept)
        number, keep, trees, commitments = before.number, before.keep, list(before.trees), list(before.commitments)
        covers, routed = list(before.covers), before.routed
        secret = order_secret(self.bins, self.seed)
        if not keep and self.layout.total:  # tables of points, which the first sums need, while the others get ready
            for key in self.output_keys:
                key.prepare(self.executor)
        earlier = 0 if self.start is None else self.start.rounds
        while not keep:
            if number == self.params.trees:
                raise ProtocolViolationError(self.active, "did not announce the end of training with the last round")
            number += 1
            yield BeginRound(number)
            if number == 1 and self.start is not None:
                yield from self.start.answer()
            place = earlier + number  # in the whole model
            plan = plan_tree(self.params, place, self.has_features)
            if self.index in plan.passive:
                begun = yield from self._gradients(plan)
                routed = _united(routed, begun.routed)
                for output in range(self.outputs):
                    tree, known = yield from self._tree(place, output, plan, begun, secret)
                    trees.append(tree)
                    covers.append(known)
            else:
                trees += [Tree(TreeShape((0,), (-1,)), (), output=output) for output in range(self.outputs)]
                covers += [{} for _ in range(self.outputs)]
            closing = yield from self._closing(number)
            keep = closing.keep
            commitments.append(closing.commitment)
            yield CloseRound(number, keep > 0)
            now = state.PassiveState(number, tuple(trees), keep, tuple(commitments), tuple(covers), routed)
            yield Checkpoint(state.NAME, state.pack(now), number)
            yield Stage("train", number, self.params.trees)
        yield DeclareStop(number)
        kept_trees = keep * self.outputs
        if len(commitments) != number or len(covers) != len(trees):
            commitments, covers = [], []
        return PassiveModel(tuple(trees[:kept_trees]), tuple(commitments[:keep]), tuple(covers[:kept_trees]), routed)

    def _closing(self, number: int) -> Party[LeafWeights]:
        """The end of a round: commitment to its leaf weights, and how many rounds the model keeps if it is the last."""
        closing = yield from receive(LeafWeights, steps.leaf_weights(self.outputs, self.params.turns), self.active)
        if closing.keep and not closing.last:
            raise ProtocolViolationError(self.active, f"keeps {closing.keep} rounds before the last")
        if closing.last and not 1 <= closing.keep <= number:
            raise ProtocolViolationError(self.active, f"keeps {closing.keep} of {number} rounds")
        return closing

    def _used_positions(self, number: int) -> NDArray[np.bool_]:
        """Drawn in public, so of positions: which features take part stays with this party, as their order does."""
        share = self.params.column_sample
        return column_sample(len(self.layout.n_bins), share, seed=self.seed, tree=number, party=self.me)

    def _tree(
        self, number: int, output: int, plan: TreePlan, begun: _Round, secret: bytes
    ) -> Party[tuple[Tree, dict[int, int]]]:
        """The tree, and rows that enter histograms by node, as far as this party knows either."""
        used = self._used_positions(number)
        order = feature_order(len(used), secret=secret, tree=number, output=output)
        groups = PassiveGroups(self.layout, used, order, self.params.least_bin_rows, self.params.least_leaf_rows)
        tree = _Growing(number, output, plan, begun, groups)
        rows: dict[int, Rows] = {0: np.arange(len(begun.bins), dtype=np.int64)}
        for level in range(plan.level_wise):
            if self.index not in plan.levels[level] or not rows:
                break
            yield from self._send_histogram(tree, level, rows)
            split = yield from self._announced(tree, level)
            decisions = check_split(split, rows, len(self.roster), self.active)
            rows = yield from self._split(tree, level, rows, decisions)
        if plan.level_wise < self.params.depth and self.index in plan.levels[plan.level_wise]:
            rows = yield from self._grow_leaf_wise(tree, rows)
        tree.owners.update(dict.fromkeys(rows, -1))
        tree.note_covers(rows)
        nodes = tuple(sorted(tree.owners))
        shape = TreeShape(nodes, tuple(tree.owners[node] for node in nodes))
        splits = tuple(sorted(tree.splits, key=lambda one: one.node))
        return Tree(shape, splits, output=output), tree.covers

    def _grow_leaf_wise(self, tree: _Growing, fresh: dict[int, Rows]) -> Party[dict[int, Rows]]:
        """One split a turn, of the open leaf that the active party names; returns the leaves' rows."""
        turn = tree.plan.level_wise
        room = self.params.most_leaves - len(fresh)
        opened: dict[int, Rows] = {}
        leaves: dict[int, Rows] = {}
        while room > 0:
            leaves |= {node: members for node, members in fresh.items() if level_of(node) >= self.params.depth}
            fresh = {node: members for node, members in fresh.items() if node not in leaves}
            if fresh:
                yield from self._send_histogram(tree, turn, fresh)
                opened, fresh = opened | fresh, {}
            if not opened:
                break
            split = yield from self._announced(tree, turn)
            chosen = check_best_leaf(split, opened, len(self.roster), self.active)
            if chosen is None:
                break
            node = chosen.node
            fresh = yield from self._split(tree, turn, {node: opened.pop(node)}, {node: chosen})
            room, turn = room - 1, turn + 1
        return leaves | opened | fresh

    def _announced(self, tree: _Growing, turn: int) -> Party[Split]:
        step = steps.split(tree.output, self.params.turns, turn)
        split = yield from receive(Split, step, self.active, to_me=not tree.plan.shared)
        if not tree.plan.shared and any(one.owner not in (-1, self.index) for one in split.nodes):
            raise ProtocolViolationError(self.active, "announced a split of a party that does not compete here")
        return split

    def _split(
        self, tree: _Growing, turn: int, rows: Mapping[int, Rows], decisions: Mapping[int, SplitNode]
    ) -> Party[dict[int, Rows]]:
        """Carry out the announced splits as far as this party may know them; returns the children's rows."""
        left: Masks = {}
        tree.note_covers(rows)
        for node, decision in decisions.items():
            tree.owners[node] = decision.owner
            if decision.owner == self.index:
                own = tree.groups.own_split(decision, self.active)
                tree.splits.append(own)
                column = tree.begun.bins[rows[node], own.feature]
                left[node] = goes_left(column, own.bin, self.layout.n_bins[own.feature], own.missing_left)
        step = steps.partition(tree.output, self.params.turns, turn)
        place = Place(tree.number, tree.output, turn, step, tree.plan.shared)
        left = yield from exchange_partitions(self.me, self.roster, place, rows, decisions, left, self.sealing)
        return children_rows(rows, decisions, left)

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
        return _Round(ciphertexts, np.asfortranarray(self.bins[routed]), cipher_of, message.routed_bits)

    def _rows(self, packed: bytes) -> NDArray[np.bool_]:
        bits = np.frombuffer(packed, dtype=np.uint8)
        unpacked = np.unpackbits(bits, bitorder="little")
        if len(bits) != (len(self.bins) + 7) // 8 or unpacked[len(self.bins) :].any():
            raise ProtocolViolationError(self.active, "row bits do not cover the aligned rows")
        return unpacked[: len(self.bins)].astype(bool)

    def _send_histogram(self, tree: _Growing, turn: int, rows: Mapping[int, Rows]) -> Party[None]:
        begun, groups = tree.begun, tree.groups
        inside = {node: members[begun.cipher_of[members] >= 0] for node, members in rows.items()}
        nodes = summed_nodes({node: len(members) for node, members in inside.items()})
        groups.descend(nodes, inside, begun.bins)
        raw = groups.encrypted_sums(
            nodes,
            inside,
            begun.bins,
            begun.cipher_of,
            begun.of_output(tree.output),
            self.output_keys[tree.output],
            self.executor,
            self.zeros[tree.output] if self.zeros else None,
        )
        message = Histogram(nodes, tuple(groups.announced(node) for node in nodes), raw)
        yield Send(message, steps.histogram(tree.output, self.params.turns, turn), self.active)


def _united(one: bytes, other: bytes) -> bytes:
    """Rows of either, as bits; `one` may be empty."""
    return bytes(a | b for a, b in zip(one, other, strict=True)) if one else other
