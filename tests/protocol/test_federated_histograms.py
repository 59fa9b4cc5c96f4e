"""What the active party ends a level with, over the channel, is what it would count on the joined table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from fedchain.compute.executor import Executor
from fedchain.crypto.ciphertexts import CipherRows
from fedchain.crypto.dlog import DlogTable
from fedchain.crypto.elgamal import KeyPair, PublicKey
from fedchain.messages import Histogram
from fedchain.protocol import Party, Send
from fedchain.simulation.channel import Channel
from fedchain.training.boosting.groups import PassiveGroups
from fedchain.training.boosting.params import BoostingParams, Mode
from fedchain.training.boosting.plan import plan_tree
from fedchain.training.boosting.received import NodeHistogram, Opener, ReceivedHistograms
from fedchain.training.boosting.splitting import Layout
from fedchain.training.boosting.tree import summed_nodes
from fedchain.types import PartyId
from tests.protocol.coarser import Groups, every_bin, merged

OPERATOR, BANK = PartyId("operator"), PartyId("bank")
Bins = NDArray[np.uint8]
Level = dict[int, NDArray[np.int64]]


@dataclass(frozen=True)
class Table:
    """A passive party's binned columns, integer gradients and hessians of two outputs, and a tree over the rows.

    Attributes:
        bins: shape (rows, features); a bin >= `n_bins` is missing.
        values_q: shape (rows, 4): a pair per output; zero for rows that do not enter.
        sampled: which rows enter.
        levels: rows of the open nodes, level by level.
        minima: least rows per bin and per leaf.
    """

    layout: Layout
    used: NDArray[np.bool_]
    bins: Bins
    values_q: NDArray[np.int64]
    sampled: NDArray[np.bool_]
    levels: tuple[Level, ...]
    minima: tuple[int, int]


def _column(draw: st.DrawFn, rows: int) -> tuple[list[int], int, bool]:
    """Values with few or many bins, constant, all missing, or sparse."""
    n_bins = draw(st.integers(1, 6))
    has_missing = draw(st.booleans())
    low = draw(st.sampled_from([0, n_bins - 1 + has_missing]))  # the latter: a constant column, or nothing but gaps
    return draw(st.lists(st.integers(low, n_bins - 1 + has_missing), min_size=rows, max_size=rows)), n_bins, has_missing


@st.composite
def tables(draw: st.DrawFn, mode: Mode) -> Table:
    rows = draw(st.integers(1, 24))
    columns = [_column(draw, rows) for _ in range(draw(st.integers(1, 3)))]
    if draw(st.booleans()):
        columns.append(columns[0])  # a duplicate
    used = np.array(draw(st.lists(st.booleans(), min_size=len(columns), max_size=len(columns))), dtype=bool)
    sampled = np.array(draw(st.lists(st.sampled_from([True, True, True, False]), min_size=rows, max_size=rows)))
    number = st.sampled_from([-4096, -1, 0, 0, 1, 7, 4096])
    values = np.array(draw(st.lists(st.tuples(number, number, number, number), min_size=rows, max_size=rows)))
    values = values * np.array(draw(st.lists(st.integers(0, 3), min_size=rows, max_size=rows)))[:, None]  # weights
    values[~sampled] = 0
    levels: list[Level] = [{0: np.arange(rows, dtype=np.int64)}]
    for _ in range(draw(st.integers(0, 2))):
        following: Level = {}
        for node, members in levels[-1].items():
            goes = np.array(draw(st.lists(st.booleans(), min_size=len(members), max_size=len(members))), dtype=bool)
            if draw(st.integers(0, 3)):
                following |= {2 * node + 1: members[goes], 2 * node + 2: members[~goes]}
        if following:
            levels.append(following)
    layout = Layout(tuple(n for _, n, _ in columns), tuple(missing for _, _, missing in columns))
    bins = np.asfortranarray(np.array([values for values, _, _ in columns], dtype=np.uint8).T)
    minima = (0, 0) if mode is Mode.STANDARD else (draw(st.integers(0, 6)), draw(st.integers(0, 6)))
    return Table(layout, used, bins, values, sampled, tuple(levels), minima)


def passive(table: Table, rows: CipherRows, keys: PublicKey, executor: Executor) -> Party[Any]:
    groups = PassiveGroups(table.layout, table.used, np.arange(len(table.used)), *table.minima)
    cipher_of = np.where(table.sampled, np.cumsum(table.sampled) - 1, -1)
    for step, level in enumerate(table.levels):
        inside = {node: members[table.sampled[members]] for node, members in level.items()}
        nodes = summed_nodes({node: len(members) for node, members in inside.items()})
        groups.descend(nodes, inside, table.bins)
        raw = groups.encrypted_sums(nodes, inside, table.bins, cipher_of, rows, keys, executor)
        yield Send(Histogram(nodes, tuple(groups.announced(node) for node in nodes), raw), step, OPERATOR)


def active(table: Table, output: int, opener: Opener) -> Party[Any]:
    received = ReceivedHistograms(table.values_q[:, 2 * output : 2 * output + 2], table.sampled, opener)
    found = []
    for step, level in enumerate(table.levels):
        found.append((yield from received.gather_nodes(step, level, [BANK]))[BANK])
    return found


def expected_groups(table: Table) -> list[dict[int, list[Groups | None]]]:
    """Groups of every node and feature, from the root down; None: the feature sits out."""
    found: list[dict[int, list[Groups | None]]] = []
    for level in table.levels:
        here: dict[int, list[Groups | None]] = {}
        for node in level:
            pair = [node] if node == 0 else [node, node + 1 if node % 2 else node - 1]
            inside = [level[one][table.sampled[level[one]]] for one in pair]
            here[node] = []
            for feature, n_bins in enumerate(table.layout.n_bins):
                start: Groups | None = every_bin(n_bins, table.layout.has_missing[feature])
                above = found[-1][(node - 1) // 2][feature] if node else start
                if not table.used[feature] or above is None:
                    here[node].append(None)
                    continue
                columns = [table.bins[one, feature] for one in inside]
                here[node].append(merged(above, columns, n_bins, *table.minima))
        found.append(here)
    return found


def count(table: Table, output: int, members: NDArray[np.int64], groups: Sequence[Groups | None]) -> list[list[int]]:
    """Sums per group, feature after feature, the missing bin last: by looking at every row."""
    result = []
    for feature, one in enumerate(groups):
        if one is None:
            continue
        n_bins = table.layout.n_bins[feature]
        kinds = [*one.members, *([frozenset([n_bins])] if one.missing_apart else [])]
        for kind in kinds:
            rows = [row for row in members if int(table.bins[row, feature]) in kind]
            result.append([int(sum(table.values_q[row, 2 * output + part] for row in rows)) for part in range(2)])
    return result


@pytest.fixture(scope="module")
def pair(executor: Executor) -> KeyPair:
    return KeyPair.generate(4)


@pytest.mark.parametrize("mode", list(Mode))
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), output=st.integers(0, 1))
def test_federated_histograms_are_those_of_the_plain_table_at_node_and_sibling(
    mode: Mode, data: st.DataObject, output: int, pair: KeyPair, executor: Executor, dlog: DlogTable
) -> None:
    """Missing values, weights, constant and duplicate columns, empty nodes, columns that sit out, two outputs."""
    table = data.draw(tables(mode))
    rows = pair.encrypt_rows(table.values_q[table.sampled], executor=executor)
    keys = PublicKey(pair.public.points[2 * output : 2 * output + 2])
    mine = CipherRows(rows.c1, rows.c2[2 * output : 2 * output + 2])
    opener = Opener(pair, (2 * output, 2 * output + 1), dlog, executor)
    parties = {OPERATOR: active(table, output, opener), BANK: passive(table, mine, keys, executor)}
    found: list[dict[int, NodeHistogram]] = Channel().run(parties)[OPERATOR]
    for level, groups, histograms in zip(table.levels, expected_groups(table), found, strict=True):
        assert set(histograms) == set(level)
        for node, members in level.items():
            assert histograms[node].layout.n_bins == tuple(
                0 if one is None else len(one.members) for one in groups[node]
            )
            assert histograms[node].layout.has_missing == tuple(
                one is not None and one.missing_apart for one in groups[node]
            )
            assert histograms[node].sums.tolist() == count(table, output, members, groups[node])


def test_the_levels_that_a_passive_party_sums_are_those_of_the_plan() -> None:
    """Else histograms of the other modes would not be those above: the same code runs at fewer levels."""
    for mode, levels in ((Mode.STANDARD, [0, 1, 2]), (Mode.LAYERED, [0, 1]), (Mode.MIX, [0, 1, 2])):
        plan = plan_tree(BoostingParams(mode=mode, depth=3), 2 if mode is Mode.MIX else 1, (True, True))
        assert [level for level in range(3) if plan.passive_at(level)] == levels
