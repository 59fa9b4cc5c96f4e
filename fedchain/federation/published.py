"""What a passive party requires of the message that publishes a job's contributions, where no audit looks at it."""

from __future__ import annotations

from fedchain.errors import ProtocolViolationError
from fedchain.messages import Contribution
from fedchain.types import PartyId


def require_fitting(message: Contribution, roster: tuple[PartyId, ...]) -> None:
    """There is one number for each party, and one utility for each coalition.

    Args:
        message: of the active party.
        roster: of the job, the active party first.

    Raises:
        ProtocolViolationError: there is not; names the active party.
    """
    parties = len(roster)
    if len(message.utilities_e6) != 2**parties:
        what = f"published {len(message.utilities_e6)} utilities, {2**parties} coalitions have one each"
        raise ProtocolViolationError(roster[0], what)
    for name, values in (
        ("shares", (message.shares_e6,)),
        ("shares along the rounds", message.rounds_e6),
        ("parts of the gain", (message.gains_e6,) if message.gains_e6 else ()),
        ("p-values", (message.p_values_e6,)),
        ("powers", (message.powers_e6,)),
        ("smallest effects", (message.detectable_e6,)),
    ):
        if any(len(one) != parties for one in values):
            raise ProtocolViolationError(roster[0], f"published {name} that are not one for each of {parties} parties")
