"""A party's side of requests over a finished model: from what it has in a job, or kept of it and its table."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from fedchain.data.binning import BinMapper
from fedchain.data.table import Table
from fedchain.errors import DataError
from fedchain.federation.session import Keys, Session
from fedchain.inference.request import Answerer, Scores
from fedchain.model.leaf_mask import Bits, leaf_bits
from fedchain.model.shard import Shard
from fedchain.protocol import Party
from fedchain.types import PartyId


def make_answerer(shard: Shard, keys: Keys, bins: NDArray[np.uint8], mapper: BinMapper) -> Answerer:
    """This party's side of requests over the aligned rows.

    Args:
        bins: shape (aligned rows, features), binned by `mapper`.
    """
    n_bins = np.asarray([feature.n_bins for feature in mapper.features], dtype=np.int64)

    def bits(positions: NDArray[np.int64]) -> Bits:
        return leaf_bits(shard, bins[positions], n_bins)

    roster = tuple(PartyId(one) for one in shard.roster)
    return Answerer(PartyId(shard.party), roster, len(bins), shard, bits, keys.seal_to, keys.unseal)


def make_sealing_answerer(shard: Shard, keys: Keys) -> Answerer:
    """This party's names, shard and sealing, for requests that find their rows by themselves."""

    def none(positions: NDArray[np.int64]) -> Bits:
        raise DataError("rows of this request are found by their tags")

    roster = tuple(PartyId(one) for one in shard.roster)
    return Answerer(PartyId(shard.party), roster, 0, shard, none, keys.seal_to, keys.unseal)


def answerer_of(shard: Shard, session: Session, table: Table) -> Answerer:
    """The same for a finished job, from what the party kept and its table.

    Raises:
        DataError: the table no longer holds the aligned rows or the trained columns.
        ModelFormatError: the shard's binning is damaged.
    """
    mapper = BinMapper.from_json(shard.binning)
    return make_answerer(shard, session.keys, mapper.transform(table, table.rows_of(session.ids)), mapper)


def predict_party(
    answerer: Answerer, requester: PartyId, request_id: int, positions: NDArray[np.int64] | None = None
) -> Party[Scores | None]:
    """One inference request, run by every party of the roster; scores at the requester, else None."""
    return answerer.predict(requester, positions, request_id)
