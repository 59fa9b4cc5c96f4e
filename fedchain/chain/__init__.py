"""The chain: client, accounts, contracts, deployment, events, and development chains. No other package imports `eth_*`.

The embedded chain's server is not imported here: it runs as `python -m fedchain.chain.embedded`, a process of its own.
"""

from fedchain.chain.account import (
    DEV_MNEMONIC,
    Account,
    dev_accounts,
    keystore_address,
    new_keystore,
    recover_signer,
)
from fedchain.chain.client import ChainClient
from fedchain.chain.contracts import MAX_LEAVES, Consortium
from fedchain.chain.deploying import deploy
from fedchain.chain.deployment import DeployedContract, Deployment
from fedchain.chain.devchain import CHAIN_KINDS, DevChain, start_dev_chain
from fedchain.chain.events import (
    AlignmentDeclared,
    ChainEvent,
    ContributionRecorded,
    JobAborted,
    JobAccepted,
    JobProposed,
    ParticipantAccredited,
    ParticipantRegistered,
    ParticipantReinstated,
    ParticipantSuspended,
    PhaseChanged,
    RequestClosed,
    RequestOpened,
    RoundBegan,
    ServiceChanged,
    ShardRecorded,
    StopDeclared,
    StrikeRecorded,
    UplinkJudged,
)
from fedchain.chain.fault_events import (
    FaultOverturned,
    FaultRecorded,
    ProofAccepted,
    StatisticFlagged,
    VoteCommitted,
    VoteRevealed,
    VotesTallied,
)
from fedchain.chain.faults import (
    MAX_OVERTURN_REASON_BYTES,
    Ballot,
    Fault,
    Faults,
    payload_evidence,
    replay_evidence,
    vote_commitment,
)
from fedchain.chain.outbox import MemoryOutbox, Outbox
from fedchain.chain.sender import Sender
from fedchain.chain.transaction import Call, Receipt, Signed
from fedchain.chain.verifying import ContractCheck, check_contracts, require_sound
from fedchain.chain.views import (
    BatchLeaf,
    ContributionRecord,
    JobPolicy,
    JobView,
    Participant,
    RequestStatus,
    RequestView,
    Verdict,
)

__all__ = [
    "CHAIN_KINDS",
    "DEV_MNEMONIC",
    "MAX_LEAVES",
    "MAX_OVERTURN_REASON_BYTES",
    "Account",
    "AlignmentDeclared",
    "Ballot",
    "BatchLeaf",
    "Call",
    "ChainClient",
    "ChainEvent",
    "Consortium",
    "ContractCheck",
    "ContributionRecord",
    "ContributionRecorded",
    "DeployedContract",
    "Deployment",
    "DevChain",
    "Fault",
    "FaultOverturned",
    "FaultRecorded",
    "Faults",
    "JobAborted",
    "JobAccepted",
    "JobPolicy",
    "JobProposed",
    "JobView",
    "MemoryOutbox",
    "Outbox",
    "Participant",
    "ParticipantAccredited",
    "ParticipantRegistered",
    "ParticipantReinstated",
    "ParticipantSuspended",
    "PhaseChanged",
    "ProofAccepted",
    "Receipt",
    "RequestClosed",
    "RequestOpened",
    "RequestStatus",
    "RequestView",
    "RoundBegan",
    "Sender",
    "ServiceChanged",
    "ShardRecorded",
    "Signed",
    "StatisticFlagged",
    "StopDeclared",
    "StrikeRecorded",
    "UplinkJudged",
    "Verdict",
    "VoteCommitted",
    "VoteRevealed",
    "VotesTallied",
    "check_contracts",
    "deploy",
    "dev_accounts",
    "keystore_address",
    "new_keystore",
    "payload_evidence",
    "recover_signer",
    "replay_evidence",
    "require_sound",
    "start_dev_chain",
    "vote_commitment",
]
