"""Passive parties' histograms at the active party: gathered, decrypted, checked, completed by subtraction."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fedchain.compute.executor import Executor
from fedchain.crypto.ciphertexts import CipherSums
from fedchain.crypto.dlog import DlogTable
from fedchain.crypto.elgamal import KeyPair
from fedchain.errors import DecryptionRangeError, ForgedHistogramError, InvalidPointError, ProtocolViolationError
from fedchain.messages import Histogram
from fedchain.messages.training import FeatureGroups
from fedchain.protocol import Party, gather
from fedchain.training.boosting.merging import FOLDED_MISSING, NO_MISSING, OWN_MISSING
from fedchain.training.boosting.splitting import Layout
from fedchain.training.boosting.tree import Rows, parent, sibling, summed_nodes
from fedchain.training.boosting.watching import Watch
from fedchain.types import PartyId

SUM_BOUND = 2**30
COLUMNS = 2
Sums = NDArray[np.int64]


@dataclass(frozen=True)
class NodeHistogram:
    """Decrypted sums of one node at one party.

    Attributes:
        layout: its groups of bins.
        sums: shape (layout.total, 2), int64.
    """

    layout: Layout
    sums: Sums


@dataclass(frozen=True)
class Opener:
    """What decryption needs: the job's key pair and which of its columns, and the table of logarithms.

    Attributes:
        watch: looks at ciphertexts before they are decrypted; None: nobody does.
    """

    keys: KeyPair
    columns: tuple[int, int]
    dlog: DlogTable
    executor: Executor
    watch: Watch | None = None

    def open(self, raw: bytes, count: int, sender: PartyId) -> Sums:
        """Parse and decrypt `count` sums.

        Raises:
            ProtocolViolationError: no points, or sums out of range; names the sender.
            StaleCiphertextError: a ciphertext was there before; names the sender.
        """
        try:
            sums = CipherSums.from_bytes(raw, count, COLUMNS, culprit=sender, executor=self.executor)
            if self.watch is not None:
                self.watch.ciphertexts(sender, sums.c1.x_words())
            return self.keys.decrypt_sums(sums, SUM_BOUND, self.dlog, self.executor, columns=self.columns)
        except (InvalidPointError, DecryptionRangeError) as error:
            raise ProtocolViolationError(sender, f"histogram: {error}") from error


class ReceivedHistograms:
    """One tree's histograms of the passive parties that take part."""

    def __init__(self, values_q: Sums, sampled: NDArray[np.bool_], opener: Opener) -> None:
        """For a tree.

        Args:
            values_q: shape (aligned rows, 2): integer gradients and hessians.
            sampled: which aligned rows enter histograms.
            opener: decrypts.
        """
        self.values_q, self.sampled, self.opener = values_q, sampled, opener
        self._above: dict[PartyId, dict[int, NodeHistogram]] = {}

    def gather_nodes(
        self, step: int, rows: Mapping[int, Rows], passive: Sequence[PartyId]
    ) -> Party[dict[PartyId, dict[int, NodeHistogram]]]:
        """Histograms of newly opened nodes (a level, or two siblings), by party; kept for those of their children.

        Raises:
            ProtocolViolationError: out of shape, no points, or sums out of range; names the sender.
            ForgedHistogramError: a feature's total is not the node's; names the sender.
            StaleCiphertextError: a ciphertext was there before; names the sender.
        """
        messages = yield from gather(Histogram, step, passive, to_me=True)
        sizes = {node: int(self.sampled[members].sum()) for node, members in rows.items()}
        nodes = summed_nodes(sizes)
        result = {}
        for party in passive:
            above = self._above.setdefault(party, {})
            result[party] = self._opened(party, messages[party], nodes, rows, above)
            for node in nodes:
                above.pop(parent(node), None)
            above.update(result[party])
        return result

    def forget(self, nodes: Iterable[int]) -> None:
        """Drop what is kept of nodes that get no children, or children that nobody asks sums of."""
        for above in self._above.values():
            for node in nodes:
                above.pop(node, None)

    def _opened(
        self,
        party: PartyId,
        message: Histogram,
        nodes: tuple[int, ...],
        rows: Mapping[int, Rows],
        above: Mapping[int, NodeHistogram],
    ) -> dict[int, NodeHistogram]:
        if message.nodes != nodes or len(message.groups) != len(nodes):
            raise ProtocolViolationError(party, "histogram does not cover exactly the smaller siblings")
        features = {len(groups) for groups in message.groups} | {
            len(one.layout.n_bins) for one in list(above.values())[:1]
        }
        if len(features) > 1:
            raise ProtocolViolationError(party, "changed its number of features in the middle of a tree")
        layouts = [
            _layout(party, groups, above[parent(node)].layout if node else None)
            for node, groups in zip(nodes, message.groups, strict=True)
        ]
        total = sum(layout.total for layout in layouts)
        if total == 0 and message.sums:
            raise ProtocolViolationError(party, "sent sums of no feature")
        plain = self.opener.open(message.sums, total, party) if total else np.zeros((0, COLUMNS), dtype=np.int64)
        histograms: dict[int, NodeHistogram] = {}
        start = 0
        for node, groups, layout in zip(nodes, message.groups, layouts, strict=True):
            sums = plain[start : start + layout.total]
            start += layout.total
            self._check_totals(party, node, rows[node], layout, sums)
            histograms[node] = NodeHistogram(layout, sums)
            if node:
                whole = _coarsened(above[parent(node)], groups, layout)
                histograms[sibling(node)] = NodeHistogram(layout, whole - sums)
        return histograms

    def _check_totals(self, party: PartyId, node: int, members: Rows, layout: Layout, sums: Sums) -> None:
        inside = members[self.sampled[members]]
        expected = self.values_q[inside].sum(axis=0)
        running = np.concatenate([np.zeros((1, COLUMNS), dtype=np.int64), np.cumsum(sums, axis=0)])
        totals = running[layout.offsets[1:]] - running[layout.offsets[:-1]]
        wrong = np.flatnonzero((totals != expected).any(axis=1) & (layout.widths > 0))
        if len(wrong):
            raise ForgedHistogramError(
                party, f"histogram of node {node}, feature {wrong[0]}: its total is not that of the node's rows"
            )


def _layout(party: PartyId, groups: tuple[FeatureGroups, ...], above: Layout | None) -> Layout:
    """Layout of a node from what its party says of its groups, checked against the parent's."""
    for feature, (sizes, missing) in enumerate(groups):
        if 0 in sizes or (not sizes and missing != NO_MISSING):
            raise ProtocolViolationError(party, f"histogram: feature {feature} has an empty group")
        if above is None:
            continue
        if sum(sizes) != above.n_bins[feature] or (missing != NO_MISSING) != above.has_missing[feature]:
            raise ProtocolViolationError(
                party, f"histogram: groups of feature {feature} do not follow from the parent's"
            )
    return Layout(tuple(len(sizes) for sizes, _ in groups), tuple(missing == OWN_MISSING for _, missing in groups))


def _coarsened(above: NodeHistogram, groups: tuple[FeatureGroups, ...], layout: Layout) -> Sums:
    """The parent's sums in its children's groups."""
    sums = np.zeros((layout.total, COLUMNS), dtype=np.int64)
    for feature, (sizes, missing) in enumerate(groups):
        source, target = int(above.layout.offsets[feature]), int(layout.offsets[feature])
        if not sizes:
            continue
        starts = source + np.concatenate([[0], np.cumsum(np.frombuffer(sizes, dtype=np.uint8), dtype=np.int64)[:-1]])
        end = source + above.layout.n_bins[feature]
        sums[target : target + len(sizes)] = np.add.reduceat(above.sums[:end], starts, axis=0)
        if missing == OWN_MISSING:
            sums[target + len(sizes)] = above.sums[end]
        elif missing == FOLDED_MISSING:
            sums[target + len(sizes) - 1] += above.sums[end]
    return sums
