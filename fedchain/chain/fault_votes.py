"""A party's vote on a flagged statistic: committed in the first hour, revealed in the second.

The salt of the commitment is derived from a signature of the party's key, which is the same each time, so that nothing
has to be kept between the two. A vote that was committed under a key that has been rotated away cannot be revealed.
"""

from __future__ import annotations

from eth_utils.crypto import keccak

from fedchain.chain.abi import CODEC
from fedchain.chain.artifacts import ANOMALIES
from fedchain.chain.contracts import Consortium
from fedchain.chain.faults import vote_commitment
from fedchain.errors import ConfigError


def commit_vote(consortium: Consortium, fault_id: int, *, is_false: bool) -> None:
    """Roster party: commit to a vote. Shows that it votes, not what.

    Args:
        consortium: with the party's sender.
        fault_id: the flag.
        is_false: whether the party recomputed the declared statistic and found it false.

    Raises:
        ConfigError: there is no sender, or its key acts for no party.
        TransactionError: `WrongVotePhase(…)`, `VoterIsTarget(…)`, `NotOnRoster(…)`, `AlreadyCommitted(…)`.
    """
    party = consortium.acting_for()
    commitment = vote_commitment(fault_id, party, is_false, _salt(consortium, fault_id))
    consortium.faults.commit_vote(fault_id, commitment)


def reveal_vote(consortium: Consortium, fault_id: int) -> bool:
    """Roster party: reveal the vote that it committed to; returns whether that finds the statistic false.

    Raises:
        ConfigError: as `commit_vote`; or the party has committed to no vote that this key can reveal.
        TransactionError: `WrongVotePhase(…)`.
    """
    party, salt = consortium.acting_for(), _salt(consortium, fault_id)
    committed = consortium.faults.commitment(fault_id, party)
    for is_false in (True, False):
        if committed == vote_commitment(fault_id, party, is_false, salt):
            consortium.faults.reveal_vote(fault_id, is_false, salt)
            return is_false
    raise ConfigError(f"fault {fault_id}: this key has committed to no vote that is not revealed yet")


def _salt(consortium: Consortium, fault_id: int) -> bytes:
    values = ("fedchain vote", consortium.deployment.chain_id, consortium.deployment.addresses[ANOMALIES], fault_id)
    return keccak(consortium.sign_uplink(keccak(CODEC.encode(("string", "uint256", "address", "uint256"), values))))
