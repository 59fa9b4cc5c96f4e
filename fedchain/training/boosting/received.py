"""Passive parties' histograms at the active party: gathered, decrypted, checked, completed by subtraction."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from fedchain.compute.executor import Executor
from fedchain.crypto.ciphertexts import CipherSums
from fedchain.crypto.dlog import DlogTable
from fedchain.crypto.elgamal import KeyPair
from fedchain.errors import DecryptionRangeError, ForgedHistogramError, InvalidPointError, ProtocolViolationError
from fedchain.messages import Histogram
from fedchain.protocol import Party, gather
from fedchain.training.boosting import steps
from fedchain.training.boosting.splitting import Layout
from fedchain.training.boosting.tree import Rows, parent, sibling, summed_nodes
from fedchain.types import PartyId

SUM_BOUND = 2**30
COLUMNS = 2
MAX_VALUE_BINS = 127
Sums = NDArray[np.int64]


class ReceivedHistograms:
    """One tree's histograms of all passive parties."""

    def __init__(
        self,
        passive: tuple[PartyId, ...],
        values_q: Sums,
        keys: KeyPair,
        dlog: DlogTable,
        executor: Executor,
        layouts: dict[PartyId, Layout],
    ) -> None:
        """`layouts` is filled from each party's first histogram of the job and fixed from then on."""
        self.passive, self.values_q = passive, values_q
        self.keys, self.dlog, self.executor, self.layouts = keys, dlog, executor, layouts
        self.parents: dict[PartyId, dict[int, Sums]] = {party: {} for party in passive}

    def gather_level(self, level: int, rows: Mapping[int, Rows]) -> Party[dict[PartyId, dict[int, Sums]]]:
        """Sums of every open node of a level, by party.

        Raises:
            ProtocolViolationError: out of shape, no points, or sums out of range; names the sender.
            ForgedHistogramError: a feature's total is not the node's; names the sender.
        """
        messages = yield from gather(Histogram, steps.histogram(level), self.passive, to_me=True)
        for party in self.passive:
            computed = self._decrypt(party, messages[party], rows)
            self.parents[party] = self.with_siblings(computed, self.parents[party], rows)
        return self.parents

    @staticmethod
    def with_siblings(
        computed: Mapping[int, Sums], parents: Mapping[int, Sums], rows: Mapping[int, Rows]
    ) -> dict[int, Sums]:
        """Sums of all open nodes: those computed, and parent minus computed sibling for the rest."""
        return {
            node: computed[node] if node in computed else parents[parent(node)] - computed[sibling(node)]
            for node in rows
        }

    def _decrypt(self, party: PartyId, message: Histogram, rows: Mapping[int, Rows]) -> dict[int, Sums]:
        nodes = summed_nodes(rows)
        if message.nodes != nodes:
            raise ProtocolViolationError(party, "histogram does not cover exactly the smaller siblings")
        layout = self._layout(party, message)
        if layout.total == 0:
            if message.sums:
                raise ProtocolViolationError(party, "sent sums of no feature")
            return {node: np.zeros((0, COLUMNS), dtype=np.int64) for node in nodes}
        try:
            sums = CipherSums.from_bytes(
                message.sums, len(nodes) * layout.total, COLUMNS, culprit=party, executor=self.executor
            )
            plain = self.keys.decrypt_sums(sums, SUM_BOUND, self.dlog, executor=self.executor)
        except (InvalidPointError, DecryptionRangeError) as error:
            raise ProtocolViolationError(party, f"histogram: {error}") from error
        by_node = dict(zip(nodes, plain.reshape(len(nodes), layout.total, COLUMNS), strict=True))
        for node, node_sums in by_node.items():
            expected = self.values_q[rows[node]].sum(axis=0)
            totals = np.add.reduceat(node_sums, layout.offsets[:-1], axis=0)
            wrong = np.flatnonzero((totals != expected).any(axis=1))
            if len(wrong):
                raise ForgedHistogramError(
                    party, f"histogram of node {node}, feature {wrong[0]}: its total is not that of the node's rows"
                )
        return by_node

    def _layout(self, party: PartyId, message: Histogram) -> Layout:
        if any(not (1 <= n <= MAX_VALUE_BINS and m in (0, 1)) for n, m in message.bins):
            raise ProtocolViolationError(party, f"announces a feature of no bin or over {MAX_VALUE_BINS} bins")
        layout = Layout(tuple(n for n, _ in message.bins), tuple(bool(m) for _, m in message.bins))
        if self.layouts.setdefault(party, layout) != layout:
            raise ProtocolViolationError(party, "changed its features or bins in the middle of a job")
        return layout
