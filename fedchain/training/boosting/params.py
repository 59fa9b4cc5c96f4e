"""Hyperparameters of boosting: the `[algorithm]` table of a job file."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

MAX_TREES = 2000
MAX_DEPTH = 8


class BoostingParams(BaseModel):
    """Vertical gradient-boosted trees (SecureBoost, arXiv:1901.08755), binary logistic loss.

    Every field means what it means in XGBoost; `bins` counts value bins, a missing bin comes on top.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Literal["boosting"] = "boosting"
    mode: Literal["standard"] = "standard"
    trees: Annotated[int, Field(strict=True, ge=1, le=MAX_TREES)] = 30
    depth: Annotated[int, Field(strict=True, ge=1, le=MAX_DEPTH)] = 3
    learning_rate: Annotated[float, Field(strict=True, gt=0, le=1)] = 0.3
    bins: Annotated[int, Field(strict=True, ge=2, le=127)] = 32
    l2: Annotated[float, Field(strict=True, ge=0, le=1e6)] = 1.0
    gamma: Annotated[float, Field(strict=True, ge=0, le=1e6)] = 0.0
    min_child_weight: Annotated[float, Field(strict=True, ge=0, le=1e6)] = 1.0
