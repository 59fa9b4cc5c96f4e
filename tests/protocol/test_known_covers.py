"""What passive parties know of covers is what the active party's model says: an auditor holds the open model to it."""

from __future__ import annotations

from typing import Any

import pytest

from fedchain.compute.executor import Executor
from fedchain.contribution.covers import check_known_covers
from fedchain.crypto.dlog import DlogTable
from fedchain.crypto.elgamal import KeyPair
from fedchain.model.shard import Shard
from fedchain.training.boosting.active import ActiveModel
from fedchain.training.boosting.params import BoostingParams, Growth, Mode
from fedchain.training.boosting.passive import PassiveModel
from tests.protocol.boosting import BANK, OPERATOR, ROSTER, SHOP, Training

SMALL: dict[str, Any] = {"min_leaf_rows": 4, "min_bin_rows": 3}
SETTINGS: dict[str, dict[str, Any]] = {
    "standard": {"mode": Mode.STANDARD, "depth": 3},
    "layered": {"mode": Mode.LAYERED, "depth": 3, **SMALL},
    "mix": {"mode": Mode.MIX, "depth": 2, **SMALL},
    "leaf-wise": {"mode": Mode.STANDARD, "depth": 4, "growth": Growth.LEAF_WISE, "max_leaves": 5},
    "some rows": {"mode": Mode.STANDARD, "depth": 2, "row_sample": 0.6},
    "goss": {"mode": Mode.STANDARD, "depth": 2, "goss_top": 0.3, "goss_other": 0.3},
}


@pytest.mark.parametrize("name", list(SETTINGS))
def test_covers_are_known_at_own_nodes_and_are_those_of_the_model(
    name: str, executor: Executor, dlog: DlogTable
) -> None:
    training = Training(KeyPair.generate(2), dlog, executor)
    training.params = BoostingParams(trees=3, bins=4, min_child_weight=0.5, **SETTINGS[name])
    outcomes = training.run()
    active: ActiveModel = outcomes[OPERATOR]
    model = Shard(
        party=OPERATOR,
        roster=ROSTER,
        mode=training.params.mode.value,
        objective="binary",
        base_margins=active.base_margins,
        binning={},
        trees=active.trees,
    )
    seen = 0
    for place, party in ((1, BANK), (2, SHOP)):
        own: PassiveModel = outcomes[party]
        assert len(own.covers) == len(own.commitments) == len(own.trees) == 3
        check_known_covers(model, own.covers, 0, "operator")
        for tree, known in zip(active.trees, own.covers, strict=True):
            for node, owner in zip(tree.shape.nodes, tree.shape.owners, strict=True):
                if owner == place:
                    assert {node, 2 * node + 1, 2 * node + 2} <= set(known)
                    seen += 1
            if name in ("standard", "leaf-wise"):
                assert set(known) == set(tree.shape.nodes)
    assert seen > 2
