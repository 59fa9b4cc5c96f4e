"""A finished job as online and bulk requests need it: from what a party kept and its table."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fedchain.data.binning import BinMapper
from fedchain.data.table import Table
from fedchain.federation.session import Session
from fedchain.inference.known import KnownRows
from fedchain.inference.leaf_table import MAX_TABLE_BYTES, LeafTable
from fedchain.model.shard import Shard
from fedchain.types import PartyId


def known_rows_of(shard: Shard, session: Session) -> KnownRows:
    """The rows that this party may ask or be asked for, aligned ones first."""
    roster = tuple(PartyId(one) for one in shard.roster)
    return KnownRows(PartyId(shard.party), roster, session.known_ids, session.known_holders, session.known_tags)


def leaf_table_of(shard: Shard, session: Session, table: Table, *, max_bytes: int = MAX_TABLE_BYTES) -> LeafTable:
    """This party's leaf bits of all known rows.

    Args:
        shard, session: of the finished job.
        table: this party's; must hold the known rows and the trained columns.
        max_bytes: see `LeafTable`.

    Raises:
        DataError: the table no longer holds the known rows or the trained columns.
        ModelFormatError: the shard's binning is damaged.
    """
    mapper = BinMapper.from_json(shard.binning)
    bins = mapper.transform(table, table.rows_of(session.known_ids))
    return LeafTable(shard, bins, n_bins_of(mapper), max_bytes=max_bytes)


def n_bins_of(mapper: BinMapper) -> NDArray[np.int64]:
    """Value bins per feature."""
    return np.asarray([feature.n_bins for feature in mapper.features], dtype=np.int64)
