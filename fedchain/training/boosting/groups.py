"""A passive party's groups of bins in one tree: how they get coarser, what is summed, what a split of them means.

Others see features by position in an order of this tree alone (`order`), so that they cannot follow a feature from
tree to tree by its name; bins keep their order.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from fedchain.compute.executor import Executor
from fedchain.crypto.ciphertexts import CipherRows, CipherSums
from fedchain.crypto.elgamal import PublicKey, ZeroPool
from fedchain.crypto.histograms import histograms
from fedchain.crypto.points import concat
from fedchain.errors import ProtocolViolationError
from fedchain.messages.training import FeatureGroups, SplitNode
from fedchain.model.shard import OwnSplit
from fedchain.training.boosting.merging import ABSENT, Grouping, coarsen, group_counts, grouped, whole
from fedchain.training.boosting.splitting import Layout
from fedchain.training.boosting.tree import Rows, parent, sibling
from fedchain.types import PartyId


class PassiveGroups:
    """Groupings of every open node, per position."""

    def __init__(
        self,
        layout: Layout,
        used: NDArray[np.bool_],
        order: NDArray[np.int64],
        min_bin_rows: int,
        min_leaf_rows: int,
    ) -> None:
        """Before the root.

        Args:
            layout: bins per feature.
            used: shape (features,): which positions take part in this tree.
            order: shape (features,): the feature at each position.
            min_bin_rows, min_leaf_rows: see `fedchain.training.boosting.merging`.
        """
        self._order = order.tolist()
        self._n_bins = layout.n_bins
        self._minima = (min_bin_rows, min_leaf_rows)
        self._start = [
            whole(layout.n_bins[feature], layout.has_missing[feature]) if takes_part else ABSENT
            for feature, takes_part in zip(self._order, used, strict=True)
        ]
        self._of: dict[int, list[Grouping]] = {}

    def descend(self, nodes: tuple[int, ...], rows: Mapping[int, Rows], bins: NDArray[np.uint8]) -> None:
        """Find the groups of newly opened nodes.

        Args:
            nodes: those that are summed; their siblings get the same groups.
            rows: rows that enter histograms, per open node, as places in `bins`.
            bins: shape (routed rows, features).
        """
        found: dict[int, list[Grouping]] = {}
        for node in nodes:
            pair = (node,) if node == 0 else (node, sibling(node))
            above = self._start if node == 0 else self._of[parent(node)]
            groupings = []
            for feature, grouping in zip(self._order, above, strict=True):
                if not grouping.groups:
                    groupings.append(ABSENT)
                    continue
                n_bins = self._n_bins[feature]
                counts = tuple(group_counts(bins[rows[one], feature], grouping, n_bins) for one in pair)
                groupings.append(coarsen(grouping, counts, *self._minima))
            found.update(dict.fromkeys(pair, groupings))
        for node in nodes:
            self._of.pop(parent(node), None)
        self._of.update(found)

    def announced(self, node: int) -> tuple[FeatureGroups, ...]:
        """What the active party is told of a node's groups."""
        return tuple((bytes(one.sizes), one.missing) for one in self._of[node])

    def own_split(self, decision: SplitNode, announcer: PartyId) -> OwnSplit:
        """The announced split in own features and original bins.

        Raises:
            ProtocolViolationError: it is on no feature or group of this party; names the announcer.
        """
        groupings = self._of[decision.node]
        if not 0 <= decision.feature < len(groupings) or not 0 <= decision.bin < groupings[decision.feature].groups:
            raise ProtocolViolationError(announcer, f"announced a split of node {decision.node} on none of my bins")
        grouping = groupings[decision.feature]
        if decision.bin == grouping.groups - 1 and (decision.missing_left or not grouping.has_missing):
            raise ProtocolViolationError(announcer, f"announced a split of node {decision.node} with nothing on a side")
        if decision.missing_left and not grouping.has_missing:
            raise ProtocolViolationError(
                announcer, f"sends missing values of node {decision.node} left, there are none"
            )
        feature = self._order[decision.feature]
        return OwnSplit(decision.node, feature, grouping.upper[decision.bin], decision.missing_left)

    def encrypted_sums(
        self,
        nodes: tuple[int, ...],
        rows: Mapping[int, Rows],
        bins: NDArray[np.uint8],
        cipher_of: NDArray[np.int64],
        ciphertexts: CipherRows,
        public_key: PublicKey,
        executor: Executor,
        zeros: ZeroPool | None = None,
    ) -> bytes:
        """Re-randomised sums of the nodes' groups: `CipherSums` bytes, empty where there is no feature.

        Args:
            cipher_of: shape (routed rows,): place of each row among the ciphertexts.
            zeros: of this key, to re-randomise with as far as it goes.
        """
        used = [position for position, one in enumerate(self._start) if one.width]
        if not used:
            return b""
        matrix = np.zeros((len(ciphertexts), len(used)), dtype=np.uint8, order="F")
        by_widths: list[tuple[list[int], list[Rows]]] = []  # neighbours with equal widths are summed in one call
        for node in nodes:
            groupings, members, places = self._of[node], rows[node], cipher_of[rows[node]]
            for column, position in enumerate(used):
                feature = self._order[position]
                matrix[places, column] = grouped(bins[members, feature], groupings[position], self._n_bins[feature])
            widths = [groupings[position].width for position in used]
            if not by_widths or by_widths[-1][0] != widths:
                by_widths.append((widths, []))
            by_widths[-1][1].append(places)
        parts = [
            histograms(ciphertexts, each, matrix, widths, public_key, executor, zeros) for widths, each in by_widths
        ]
        columns = tuple(concat([part.c2[column] for part in parts]) for column in range(parts[0].columns))
        return CipherSums(concat([part.c1 for part in parts]), columns).to_bytes()
