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


def error_of(refusal: AskRefusedError, party: str) -> PeerError:
    """The error that a requester raises for a peer's refusal; names the peer."""
    return PeerError(party, f"refuses to answer ({refusal.code}): {refusal}")


def refusal_of(error: FedchainError) -> AskRefusedError:
    """What the requester of a relayed ask is told of this node's own failure."""
    if isinstance(error, AskRefusedError):
        return error
    if isinstance(error, QuotaExceededError):
        return AskRefusedError(QUOTA, f"its own asks are at their quota: {error.reason}", error.window_ends)
    if isinstance(error, NotAccreditedError):
        return AskRefusedError(FAILED, "this node is not accredited any more")
    return AskRefusedError(FAILED, str(error))
