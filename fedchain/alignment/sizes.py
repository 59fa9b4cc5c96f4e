"""What the size of a set may be: the job's minimum, and its padding."""

from __future__ import annotations

from fedchain.errors import AlignmentError, ProtocolViolationError
from fedchain.types import PartyId


def require_enough(party: PartyId, count: int, min_rows: int) -> None:
    """Refuse a set that is smaller than the intersection must be.

    Raises:
        AlignmentError: it is; names the party.
    """
    if count < min_rows:
        raise AlignmentError(
            f"party '{party}' brings {count} ids, the job asks for at least {min_rows} common ones: "
            "refused before anything is compared; lower [alignment] min_rows if that is meant"
        )


def require_padded(party: PartyId, count: int, pad_to: int | str | None) -> None:
    """Refuse a peer's set that is not padded as the job says.

    Args:
        party: whose set it is.
        count: the size that it shows.
        pad_to: a number of which it must be a multiple, `"power_of_two"`, or None.

    Raises:
        ProtocolViolationError: it is not; names the party.
    """
    if pad_to == "power_of_two" and count & (count - 1):
        raise ProtocolViolationError(party, f"shows {count} ids, which is no power of two")
    if isinstance(pad_to, int) and count % pad_to:
        raise ProtocolViolationError(party, f"shows {count} ids, no multiple of {pad_to}")
