"""How often label holders that lie in an audit of contributions are caught, measured with the auditors' own checks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fedchain.model.shard import Shard, Tree, TreeShape
from fedchain.simulation.adversaries.label_holder import Audited, is_caught, tampered

ROWS = 6_000
TREES = 50
DEPTH = 3
PARTIES = 3
TAMPERED = 0.01
OPENED = (299, 459)


@dataclass(frozen=True)
class Audits:
    """Settings.

    Attributes:
        count: audits of each kind.
        seed: of all that is drawn.
    """

    count: int
    seed: int

    def rates(self) -> dict[str, float]:
        """Caught shares.

        Returns:
            `tamper_catch_rate` (1 % of 6,000 rows, 299 opened), `tamper_catch_rate_459`, `tpr_tampered_rows` (2 to 20 %
            of the rows, log-uniform, 299 opened), `tpr_false_utilities` (true losses, sums that are off by 1 unit up to
            1 % of the rows' worst losses), `audits_honest_accused` (nothing is false).
        """
        random = np.random.default_rng([self.seed, 77])
        audited = made_up(random)
        found: dict[str, list[bool]] = {}
        for _ in range(self.count):
            favourite = int(random.integers(1, PARTIES))
            for opened in OPENED:
                losses = tampered(audited, round(TAMPERED * ROWS), favourite, random)
                found.setdefault(f"tamper_catch_rate_{opened}", []).append(
                    is_caught(audited, losses, _sums(losses), opened, random.bytes(32))
                )
        few = max(1, self.count // 8)
        for _ in range(few):
            share = float(np.exp(random.uniform(np.log(0.02), np.log(0.2))))
            losses = tampered(audited, round(share * ROWS), int(random.integers(1, PARTIES)), random)
            caught = is_caught(audited, losses, _sums(losses), OPENED[0], random.bytes(32))
            found.setdefault("tpr_tampered_rows", []).append(caught)
            sums = _sums(audited.losses)
            off = round(float(np.exp(random.uniform(0, np.log(0.01 * ROWS * 1e6)))))
            sums[int(random.integers(len(sums)))] += off
            caught = is_caught(audited, audited.losses, sums, OPENED[0], random.bytes(32))
            found.setdefault("tpr_false_utilities", []).append(caught)
            honest = is_caught(audited, audited.losses, _sums(audited.losses), OPENED[0], random.bytes(32))
            found.setdefault("audits_honest_accused", []).append(honest)
        rates = {name: float(np.mean(values)) for name, values in found.items()}
        rates["tamper_catch_rate"] = rates.pop(f"tamper_catch_rate_{OPENED[0]}")
        rates["runs_audits"] = float(self.count)
        return rates


def _sums(losses: np.ndarray) -> list[int]:
    return [int(one) for one in losses.sum(axis=0)]


def made_up(random: np.random.Generator) -> Audited:
    """A model of 50 trees of depth 3 over three parties, with the bits and labels of 6,000 held-out rows."""
    nodes = 2 ** (DEPTH + 1) - 1
    inner = 2**DEPTH - 1
    trees, bits = [], [[] for _ in range(PARTIES)]
    margin = np.zeros(ROWS)
    for _ in range(TREES):
        owners = [int(one) for one in random.integers(0, PARTIES, inner)] + [-1] * (nodes - inner)
        left = random.random((ROWS, inner)) < random.uniform(0.2, 0.8, inner)
        reached = np.zeros((ROWS, nodes), dtype=bool)
        reached[:, 0] = True
        for node in range(inner):
            reached[:, 2 * node + 1] = reached[:, node] & left[:, node]
            reached[:, 2 * node + 2] = reached[:, node] & ~left[:, node]
        covers = reached.sum(axis=0)
        weights = random.normal(0, 0.15, nodes - inner)
        margin += reached[:, inner:] @ weights
        for party in range(PARTIES):
            compatible = np.ones((ROWS, nodes), dtype=bool)
            for node in range(inner):
                mine = owners[node] == party
                compatible[:, 2 * node + 1] = compatible[:, node] & (left[:, node] if mine else True)
                compatible[:, 2 * node + 2] = compatible[:, node] & (~left[:, node] if mine else True)
            bits[party].append(compatible[:, inner:])
        shape = TreeShape(tuple(range(nodes)), tuple(owners))
        trees.append(Tree(shape, (), tuple(int(one) for one in covers), tuple(float(one) for one in weights)))
    labels = (random.random(ROWS) < 1 / (1 + np.exp(-3 * margin))).astype(np.float64)
    names = ("active", "passive_1", "passive_2")
    shard = Shard(
        party=names[0],
        roster=names,
        mode="standard",
        objective="binary",
        base_margins=(0.0,),
        binning={},
        trees=tuple(trees),
    )
    return Audited.of(shard, [np.concatenate(own, axis=1) for own in bits], labels)
