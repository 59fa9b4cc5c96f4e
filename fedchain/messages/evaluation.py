"""Messages that end a job: contribution and shard digest."""

from __future__ import annotations

from typing import Annotated, ClassVar

import msgspec

from fedchain.messages.base import Message
from fedchain.types import Kind

MAX_ROSTER = 8
MAX_POINTS = 256
Signed64 = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
Part = Annotated[int, msgspec.Meta(ge=0, le=1_000_000)]
Parts = Annotated[tuple[Part, ...], msgspec.Meta(max_length=MAX_ROSTER)]


class Contribution(Message, frozen=True):
    """Utilities of all coalitions and the shares that follow from them. Public to the consortium.

    Attributes:
        rows: number of held-out rows behind the utilities.
        utilities_e6: utility x 1e6 (minus Brier) of each coalition; index = bit mask over roster positions.
        shares_e6: Shapley shares x 1e6 in roster order; they sum to utility of all minus utility of nobody.
        rounds_e6: running shares, as `shares_e6`, after some rounds of the model, the last of them among these; at
            most 256, evenly spaced (`running_rounds`).
        gains_e6: each party's part of the gain of all splits in training, x 1e6, roster order. Nobody can check it, and
            a party with many columns of noise gets a good part of it: to be shown beside shares, never paid by. Empty
            where it is not known.
        p_values_e6: of the free-rider test, x 1e6, roster order; 0 for the active party.
        powers_e6: of the same test at the effect that was found, x 1e6, roster order; 0 for the active party. It
            follows from the p-value, and says little that this does not.
        detectable_e6: the smallest effect, in nats per row x 1e6, that the same test passes four times in five: a party
            that adds less fails it by chance alone. 0 for the active party.
    """

    kind: ClassVar[Kind] = Kind.CONTRIBUTION

    rows: Annotated[int, msgspec.Meta(ge=1)]
    utilities_e6: Annotated[tuple[int, ...], msgspec.Meta(min_length=4, max_length=256)]
    shares_e6: Annotated[tuple[int, ...], msgspec.Meta(min_length=2, max_length=8)]
    rounds_e6: Annotated[
        tuple[Annotated[tuple[Signed64, ...], msgspec.Meta(min_length=2, max_length=MAX_ROSTER)], ...],
        msgspec.Meta(max_length=MAX_POINTS),
    ] = ()
    gains_e6: Parts = ()
    p_values_e6: Parts = ()
    powers_e6: Parts = ()
    detectable_e6: Annotated[
        tuple[Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)], ...], msgspec.Meta(max_length=MAX_ROSTER)
    ] = ()


class ShardDigest(Message, frozen=True):
    """The digest of a party's model shard; the contract reads the payload's last 32 bytes."""

    kind: ClassVar[Kind] = Kind.SHARD_DIGEST

    digest: Annotated[bytes, msgspec.Meta(min_length=32, max_length=32)]
