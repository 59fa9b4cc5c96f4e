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
    ModelActivated,
    ModelApproved,
    ModelFrozen,
    ModelProposed,
    ModelRolledBack,
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
from fedchain.chain.models import Models, ModelState, ModelVersion
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
    "Account",
    "AlignmentDeclared",
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
    "JobAborted",
    "JobAccepted",
    "JobPolicy",
    "JobProposed",
    "JobView",
    "MemoryOutbox",
    "ModelActivated",
    "ModelApproved",
    "ModelFrozen",
    "ModelProposed",
    "ModelRolledBack",
    "ModelState",
    "ModelVersion",
    "Models",
    "Outbox",
    "Participant",
    "ParticipantAccredited",
    "ParticipantRegistered",
    "ParticipantReinstated",
    "ParticipantSuspended",
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
    "StopDeclared",
    "StrikeRecorded",
    "UplinkJudged",
    "Verdict",
    "check_contracts",
    "deploy",
    "dev_accounts",
    "keystore_address",
    "new_keystore",
    "recover_signer",
    "require_sound",
    "start_dev_chain",
]
