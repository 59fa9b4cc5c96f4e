"""Messages that end a job: contribution and shard digest."""

from __future__ import annotations

from typing import Annotated, ClassVar

import msgspec

from fedchain.messages.base import Message
from fedchain.types import Kind


class Contribution(Message, frozen=True):
    """Utilities of all coalitions and the shares that follow from them. Public to the consortium.

    Attributes:
        rows: number of held-out rows behind the utilities.
        utilities_e6: utility x 1e6 (minus Brier) of each coalition; index = bit mask over roster positions.
        shares_e6: Shapley shares x 1e6 in roster order; they sum to utility of all minus utility of nobody.
    """

    kind: ClassVar[Kind] = Kind.CONTRIBUTION

    rows: Annotated[int, msgspec.Meta(ge=1)]
    utilities_e6: Annotated[tuple[int, ...], msgspec.Meta(min_length=4, max_length=256)]
    shares_e6: Annotated[tuple[int, ...], msgspec.Meta(min_length=2, max_length=8)]


class ShardDigest(Message, frozen=True):
    """The digest of a party's model shard; the contract reads the payload's last 32 bytes."""

    kind: ClassVar[Kind] = Kind.SHARD_DIGEST

    digest: Annotated[bytes, msgspec.Meta(min_length=32, max_length=32)]
