"""Why a node does not answer an ask, in a word that travels, and what the requester makes of it."""

from __future__ import annotations

from fedchain.errors import AskRefusedError, FedchainError, NotAccreditedError, PeerError, QuotaExceededError

SPENT = "spent"
BEGUN = "begun"
UNRESERVED = "unreserved"
UNKNOWN_JOB = "unknown-job"
TERMS = "terms"
MODEL = "model"
FORGED = "forged"
QUOTA = "quota"
SILENT = "silent"
STOPPING = "stopping"
FAILED = "failed"

RESERVE_ANEW = (BEGUN, SPENT, UNRESERVED)
"""Another try with fresh serials may succeed."""


def error_of(refusal: AskRefusedError, party: str) -> FedchainError:
    """The error that a requester raises for a peer's refusal; names the peer."""
    if refusal.code == QUOTA:
        return QuotaExceededError(f"party '{party}' cannot ask the others: {refusal}", 0, refusal.number)
    return PeerError(party, f"refuses to answer ({refusal.code}): {refusal}")


def refusal_of(error: FedchainError) -> AskRefusedError:
    """What the requester of a relayed ask is told of this node's own failure."""
    if isinstance(error, AskRefusedError):
        return error
    if isinstance(error, QuotaExceededError):
        return AskRefusedError(QUOTA, str(error), error.until)
    if isinstance(error, NotAccreditedError):
        return AskRefusedError(FAILED, "this node is not accredited any more")
    return AskRefusedError(FAILED, str(error))
