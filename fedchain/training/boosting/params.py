"""Hyperparameters of boosting: the `[algorithm]` table of a job file."""

from __future__ import annotations

from enum import Enum
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from fedchain.model.link import ObjectiveName

MAX_TREES = 2000
MAX_DEPTH = 8
MAX_CLASSES = 32
MAX_LEAVES = 2**MAX_DEPTH
DEFAULT_LEAVES = 31
PRIVATE_MIN_ROWS = 20


class Mode(str, Enum):
    """Who splits which levels (`fedchain.training.boosting.plan`)."""

    LAYERED = "layered"
    STANDARD = "standard"
    MIX = "mix"


class Growth(str, Enum):
    """In which order a tree's nodes are split.

    `depth_wise` splits every node of a level; `leaf_wise` one leaf at a time, that of the highest gain, until the tree
    has `max_leaves` (XGBoost's `lossguide`, LightGBM's only way).
    """

    DEPTH_WISE = "depth_wise"
    LEAF_WISE = "leaf_wise"


class BoostingParams(BaseModel):
    """Vertical gradient-boosted trees (SecureBoost, arXiv:1901.08755).

    Fields that XGBoost has, too, mean what they mean there; `bins` counts value bins, a missing bin comes on top.
    `min_leaf_rows` and `min_bin_rows` default to 20 where the mode protects passive parties' rows, and to none in
    `standard`, which is equal to XGBoost on joined data.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Literal["boosting"] = "boosting"
    mode: Mode = Mode.LAYERED
    top_levels: Annotated[int, Field(strict=True, ge=1, le=MAX_DEPTH - 1)] = 2
    trees: Annotated[int, Field(strict=True, ge=1, le=MAX_TREES)] = 30
    depth: Annotated[int, Field(strict=True, ge=1, le=MAX_DEPTH)] = 5
    growth: Growth = Growth.DEPTH_WISE
    max_leaves: Annotated[int, Field(strict=True, ge=2, le=MAX_LEAVES)] | None = None
    learning_rate: Annotated[float, Field(strict=True, gt=0, le=1)] = 0.3
    bins: Annotated[int, Field(strict=True, ge=2, le=127)] = 32
    l1: Annotated[float, Field(strict=True, ge=0, le=1e6)] = 0.0
    l2: Annotated[float, Field(strict=True, ge=0, le=1e6)] = 1.0
    gamma: Annotated[float, Field(strict=True, ge=0, le=1e6)] = 0.0
    min_child_weight: Annotated[float, Field(strict=True, ge=0, le=1e6)] = 1.0
    min_leaf_rows: Annotated[int, Field(strict=True, ge=0, le=10**6)] | None = None
    min_bin_rows: Annotated[int, Field(strict=True, ge=0, le=10**6)] | None = None
    objective: ObjectiveName = "binary"
    classes: Annotated[int, Field(strict=True, ge=2, le=MAX_CLASSES)] | None = None
    tweedie_variance_power: Annotated[float, Field(strict=True, gt=1, lt=2)] = 1.5
    max_delta_step: Annotated[float, Field(strict=True, gt=0, le=100)] = 0.7
    row_sample: Annotated[float, Field(strict=True, gt=0, le=1)] = 1.0
    column_sample: Annotated[float, Field(strict=True, gt=0, le=1)] = 1.0
    goss_top: Annotated[float, Field(strict=True, gt=0, lt=1)] | None = None
    goss_other: Annotated[float, Field(strict=True, gt=0, lt=1)] | None = None
    scale_pos_weight: Annotated[float, Field(strict=True, gt=0, le=1e6)] = 1.0

    @model_validator(mode="after")
    def _standard_has_no_row_minima(self) -> BoostingParams:
        if self.mode is Mode.STANDARD and (self.min_leaf_rows or self.min_bin_rows):
            raise ValueError(
                "mode 'standard' has no row minima; remove min_leaf_rows and min_bin_rows, or use 'layered'"
            )
        return self

    @model_validator(mode="after")
    def _leaves_fit_growth(self) -> BoostingParams:
        if self.growth is Growth.DEPTH_WISE and self.max_leaves is not None:
            raise ValueError("max_leaves goes with growth = 'leaf_wise', and only with it")
        top = 2 ** min(self.top_levels, self.depth - 1)
        if self.growth is Growth.LEAF_WISE and self.mode is Mode.LAYERED and self.most_leaves < top:
            raise ValueError(f"max_leaves is at least {top}: mode 'layered' splits all of its top levels")
        return self

    @model_validator(mode="after")
    def _settings_fit_each_other(self) -> BoostingParams:
        if (self.objective == "multiclass") != (self.classes is not None):
            raise ValueError("classes = K goes with objective 'multiclass', and only with it")
        if (self.goss_top is None) != (self.goss_other is None):
            raise ValueError("goss_top and goss_other go together")
        if self.goss_top is not None and self.goss_other is not None:
            if self.goss_top + self.goss_other > 1:
                raise ValueError("goss_top and goss_other are at most 1 together")
            if self.row_sample < 1:
                raise ValueError("row_sample and goss_top exclude each other")
        return self

    @property
    def outputs(self) -> int:
        """Trees per round: the number of classes with several, else 1."""
        return self.classes or 1

    @property
    def most_leaves(self) -> int:
        """Leaves of a tree at most."""
        return 2**self.depth if self.growth is Growth.DEPTH_WISE else self.max_leaves or DEFAULT_LEAVES

    @property
    def turns(self) -> int:
        """Upper bound of the turns in which a tree grows: a level, or one split of a leaf-wise tree, each."""
        return self.depth if self.growth is Growth.DEPTH_WISE else self.depth + self.most_leaves

    @property
    def least_leaf_rows(self) -> int:
        """`min_leaf_rows`, or its default for the mode."""
        return self._minimum(self.min_leaf_rows)

    @property
    def least_bin_rows(self) -> int:
        """`min_bin_rows`, or its default for the mode."""
        return self._minimum(self.min_bin_rows)

    def _minimum(self, given: int | None) -> int:
        if given is not None:
            return given
        return 0 if self.mode is Mode.STANDARD else PRIVATE_MIN_ROWS
