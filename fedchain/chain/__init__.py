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
from fedchain.chain.outbox import MemoryOutbox, Outbox
from fedchain.chain.sender import Sender
from fedchain.chain.standing_events import (
    ChangeApplied,
    ChangeCancelled,
    ChangeProposed,
    EncryptionKeyChanged,
    FaultProven,
    GateAdmitted,
    KeyRotated,
    MotionCarried,
    ParticipantBanned,
    StandingVoted,
    StewardsChanged,
    StrikeForgiven,
    VoteCast,
)
from fedchain.chain.stewarding import Stewarding, Vote
from fedchain.chain.transaction import Call, Receipt, Signed
from fedchain.chain.upgrading import Upgrade, upgrade
from fedchain.chain.verifying import ContractCheck, check_contracts, require_sound
from fedchain.chain.versions import PendingChange, Versions
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
    "Account",
    "AlignmentDeclared",
    "BatchLeaf",
    "Call",
    "ChainClient",
    "ChainEvent",
    "ChangeApplied",
    "ChangeCancelled",
    "ChangeProposed",
    "Consortium",
    "ContractCheck",
    "ContributionRecord",
    "ContributionRecorded",
    "DeployedContract",
    "Deployment",
    "DevChain",
    "EncryptionKeyChanged",
    "FaultProven",
    "GateAdmitted",
    "JobAborted",
    "JobAccepted",
    "JobPolicy",
    "JobProposed",
    "JobView",
    "KeyRotated",
    "MemoryOutbox",
    "MotionCarried",
    "Outbox",
    "Participant",
    "ParticipantAccredited",
    "ParticipantBanned",
    "ParticipantRegistered",
    "ParticipantReinstated",
    "ParticipantSuspended",
    "PendingChange",
    "PhaseChanged",
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
    "StandingVoted",
    "Stewarding",
    "StewardsChanged",
    "StopDeclared",
    "StrikeForgiven",
    "StrikeRecorded",
    "Upgrade",
    "UplinkJudged",
    "Verdict",
    "Versions",
    "Vote",
    "VoteCast",
    "check_contracts",
    "deploy",
    "dev_accounts",
    "keystore_address",
    "new_keystore",
    "recover_signer",
    "require_sound",
    "start_dev_chain",
    "upgrade",
]
