"""The model that a job continues: one party's shard of it, checked against job and table before anything is sent.

A checkpoint is what the parties kept of a finished job. The job names it by the model's digest; every party announces
the digest of its own shard, and together these must give the digest that the job names. Nobody can tell which shard is
the wrong one when they do not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from fedchain.data.binning import BinMapper
from fedchain.data.table import Table
from fedchain.errors import CheckpointError, DataError, ProtocolViolationError
from fedchain.federation.spec import JobSpec
from fedchain.model.shard import Shard, model_digest
from fedchain.types import PartyId


@dataclass(frozen=True)
class Checkpoint:
    """A party's part of the model that it continues.

    Attributes:
        shard: as kept.
        mapper: the shard's binning, over which all trees of the new shard split, too.
        rounds: how many rounds the shard's trees come from.
    """

    shard: Shard
    mapper: BinMapper
    rounds: int


def checkpoint_of(spec: JobSpec, me: PartyId, table: Table, shard: Shard | None) -> Checkpoint | None:
    """The checkpoint of a job, ready to be continued; None for a job that starts from nothing.

    Columns that had no missing cell when the checkpoint was trained and have some now get a missing bin: no trained
    split changes its meaning.

    Raises:
        CheckpointError: missing, not asked for, or not of this job's roster, objective, mode or number of outputs.
        DataError: the table does not hold the columns that the checkpoint was trained on.
        ModelFormatError: the shard's binning is damaged.
    """
    named = spec.warm_start.model
    if shard is None:
        if named is None:
            return None
        raise CheckpointError(
            f"job '{spec.name}' continues model {named}; give party '{me}' its shard of it, or remove [warm_start]"
        )
    if named is None:
        raise CheckpointError(
            f"job '{spec.name}' continues no model, but party '{me}' was given a checkpoint; "
            "name the model's digest in [warm_start] model, or leave the checkpoint out"
        )
    outputs = spec.algorithm.outputs
    for what, found, expected in (
        ("party", shard.party, str(me)),
        ("roster", ", ".join(shard.roster), ", ".join(spec.names)),
        ("mode", shard.mode, spec.algorithm.mode.value),
        ("objective", shard.objective, spec.algorithm.objective),
        ("number of outputs", max((tree.output + 1 for tree in shard.trees), default=0), outputs),
    ):
        if found != expected:
            raise CheckpointError(
                f"the checkpoint of party '{me}' has {what} {found}, job '{spec.name}' has {expected}; "
                "a job continues a model of its own kind"
            )
    margins = outputs if me == spec.names[0] else 0
    in_turn = all(tree.output == place % outputs for place, tree in enumerate(shard.trees))
    if len(shard.base_margins) != margins or len(shard.trees) % outputs or not in_turn:
        raise CheckpointError(f"the checkpoint of party '{me}' does not hold whole rounds of {outputs} trees")
    mapper = BinMapper.from_json(shard.binning)
    try:
        mapper.transform(table, np.zeros(0, dtype=np.int64))
    except DataError as error:
        raise DataError(f"{error} (the checkpoint was trained on this column)") from error
    missing = {name: bool(table.column(name).missing.any()) for name in mapper.columns}
    features = (replace(one, has_missing=one.has_missing or missing[one.column]) for one in mapper.features)
    return Checkpoint(shard, BinMapper(tuple(features)), len(shard.trees) // outputs)


def require_announced(named: str | None, announced: Mapping[PartyId, bytes]) -> None:
    """Check what all parties announced in their first messages.

    Args:
        named: digest of the model that the job continues, or None.
        announced: digest of each party's shard in roster order, or empty bytes.

    Raises:
        ProtocolViolationError: a party announced none, or one that nobody asked for; names it.
        CheckpointError: together they are another model; says what each party announced.
    """
    for party, digest in announced.items():
        if len(digest) != (0 if named is None else 32):
            words = "announced a checkpoint, the job has none" if named is None else "announced no checkpoint"
            raise ProtocolViolationError(party, words)
    if named is None or model_digest(list(announced.values())) == named:
        return
    shards = ", ".join(f"'{party}' {digest.hex()}" for party, digest in announced.items())
    raise CheckpointError(
        f"the parties' checkpoints are shards of model {model_digest(list(announced.values()))}, the job continues "
        f"{named}: one party or more has a shard of another model; announced: {shards}"
    )
