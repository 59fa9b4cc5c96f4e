"""Who may split which level of a tree: what tells the three modes apart.

| mode       | levels of a tree                                        | ciphertexts go to     | partitions go to  |
|------------|---------------------------------------------------------|-----------------------|-------------------|
| `standard` | all parties compete at every level (SecureBoost)        | all passive parties   | the roster        |
| `layered`  | one passive party at the top, the active party below    | that passive party    | the active party  |
| `mix`      | one party alone, another for each tree                  | that party, if passive| the active party  |

`layered` and `mix` rotate over the parties that have features. A tree whose turn needs an active party with features
where it has none falls back to `mix` over the passive parties, and so does `layered` at depth 1. A top node for which
its party finds no split is handed down to the active party. With leaf-wise growth, `layered` splits its top levels
level by level and lets the active party grow the rest leaf by leaf.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fedchain.errors import TrainingError
from fedchain.training.boosting.params import BoostingParams, Growth, Mode


@dataclass(frozen=True)
class TreePlan:
    """Competitors per level, as roster indices (0 is the active party), ascending.

    Attributes:
        levels: one tuple per level of splits.
        level_wise: so many levels are split level by level; nodes below them one at a time, best gain first.
        shared: whether partitions go to the whole roster (else to the active party alone).
    """

    levels: tuple[tuple[int, ...], ...]
    level_wise: int
    shared: bool

    @property
    def passive(self) -> tuple[int, ...]:
        """Passive parties that take part: those that get ciphertexts."""
        return tuple(sorted({index for level in self.levels for index in level if index > 0}))

    def passive_at(self, level: int) -> tuple[int, ...]:
        """Passive parties that compete at a level."""
        return tuple(index for index in self.levels[level] if index > 0)

    def hands_down(self, level: int) -> bool:
        """Whether a node that nobody splits at this level is tried again by the active party further down."""
        return 0 not in self.levels[level] and any(0 in below for below in self.levels[level + 1 :])


def plan_tree(params: BoostingParams, number: int, has_features: Sequence[bool]) -> TreePlan:
    """The plan of a round's trees.

    Args:
        params: the job's.
        number: of the round, from 1.
        has_features: per party in roster order, as all parties announced.

    Raises:
        TrainingError: no party has a feature.
    """
    able = [index for index, has in enumerate(has_features) if has]
    if not able:
        raise TrainingError("no party has a feature to train on")
    level_wise = params.depth if params.growth is Growth.DEPTH_WISE else 0
    if params.mode is Mode.STANDARD:
        everyone = tuple(range(len(has_features)))
        return TreePlan((everyone,) * params.depth, level_wise, shared=True)
    passive = [index for index in able if index > 0]
    top = min(params.top_levels, params.depth - 1)
    if params.mode is Mode.LAYERED and able[0] == 0 and passive and top > 0:
        owner = passive[(number - 1) % len(passive)]
        levels = ((owner,),) * top + ((0,),) * (params.depth - top)
        return TreePlan(levels, max(level_wise, top), shared=False)
    return TreePlan(((able[(number - 1) % len(able)],),) * params.depth, level_wise, shared=False)
