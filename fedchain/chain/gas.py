"""How much gas a transaction may use.

A limit is a bound, not a price: what is not used is not paid. Too low it fails a transaction, so every limit here is
generous. Most calls are estimated by the node (`with_margin`), which also tells beforehand that a call would revert.

Uplinks are not. They are nearly all transactions of a job, and an estimate executes the call once more: it takes 40 to
140 % of the time that the transaction itself takes (embedded 50–60 %, anvil 40–80 %, Ganache 60–140 %, for payloads of
300 bytes and 90 KB). It would say nothing new either: the ledger's rules bound what an uplink can do, whatever state it
meets (`uplink_gas`, `batch_gas`), and its only revert is a caller that never was accredited. A test holds the dearest
uplinks against these bounds.
"""

from __future__ import annotations

LARGEST_TRANSACTION = 2**24
"""Gas of one transaction, at most (EIP-7825). Chains without the rule take it as well."""

TRANSFER_GAS = 21_000

_CREATION_GAS = 32_000
_STATE_MARGIN_GAS = 100_000


def floor_gas(data: bytes, *, creates: bool = False) -> int:
    """The least limit that any chain takes for this calldata, however little the call does.

    Source: EIP-7623 (21,000 and, per byte, 40, or 10 where it is zero), EIP-3860 (2 per word of creation code), and the
    ordinary price before execution (16 and 4 per byte). anvil silently drops what is below.
    """
    zeros = data.count(0)
    others = len(data) - zeros
    ordinary = 16 * others + 4 * zeros
    if creates:
        ordinary += _CREATION_GAS + 2 * ((len(data) + 31) // 32)
    return TRANSFER_GAS + max(ordinary, 40 * others + 10 * zeros)


def with_margin(estimate: int, floor: int) -> int:
    """The limit for a call that a node has estimated.

    By the time it is mined, others may have changed the state: the last party to declare pays for the new phase, the
    first for the slots. A quarter more and 100,000 cover that and the 1/64 that each call within holds back.
    """
    wanted = max(estimate + estimate // 4 + _STATE_MARGIN_GAS, floor)
    return max(min(wanted, LARGEST_TRANSACTION), estimate, floor)


def uplink_gas(calldata_bytes: int) -> int:
    """An upper bound of `UplinkLedger.submit`, for any verdict.

    A byte of calldata costs at most 40 (EIP-7623); copying, hashing and logging it about 15. The rest of an uplink
    (its verdict and the job's tally; a fault with a strike and a suspension, a statistic that is flagged, or a shard
    digest that completes the job) is below 450,000. A full inline payload stays below the largest transaction.
    """
    return 500_000 + 60 * calldata_bytes


def batch_gas(leaves: int) -> int:
    """An upper bound of `UplinkLedger.submitBatch`, for any verdicts.

    A leaf costs at most 33,000, accepted or rejected: calldata of 64 bytes, a new slot, an event. A batch has few
    reports of faults, however many of its leaves are at fault (`UplinkLedger`): they are within the constant.
    """
    return min(1_500_000 + 35_000 * leaves, LARGEST_TRANSACTION)


def ask_gas(requests: int, sealed_bytes: int) -> int:
    """An upper bound of `InferenceRouter.ask`, for any verdicts.

    A request costs at most 32,000 besides its body: a new slot, an event, and four words of calldata; a byte of its
    body at most 40 (EIP-7623), or 16, and less than 15 for hashing and logging it.

    Args:
        requests: their number.
        sealed_bytes: of all their bodies together.
    """
    return min(300_000 + 45_000 * requests + 60 * sealed_bytes, LARGEST_TRANSACTION)


DEADLINE_GAS = 2_500_000
"""An upper bound of `JobManager.closeRound`, `markMissing` and `expire`: at most eight parties are named and reported.

They are not estimated: whether a deadline is over depends on the time of the block, and a node may estimate with the
time of the block before.
"""

VOTE_GAS = 800_000
"""An upper bound of `AnomalyRecord.commitVote`, `revealVote` and `tally`, which may record a fault and suspend a party.

They are not estimated either.
"""

AUDIT_GAS = 3_000_000
"""An upper bound of `ContributionAudit`'s calls: the losses of eight parties, or as many faults that are reported.

Those that depend on a deadline are not estimated either.
"""
