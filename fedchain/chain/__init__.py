"""The chain: client, accounts, contracts, deployment, events, and development chains. No other package imports `eth_*`.

The embedded chain's server is not imported here: it runs as `python -m fedchain.chain.embedded`, a process of its own.
"""

from fedchain.chain.account import DEV_MNEMONIC, Account, dev_accounts
from fedchain.chain.client import ChainClient
from fedchain.chain.contracts import Consortium
from fedchain.chain.deploying import deploy
from fedchain.chain.deployment import DeployedContract, Deployment
from fedchain.chain.devchain import CHAIN_KINDS, DevChain, start_dev_chain
from fedchain.chain.events import (
    AlignmentDeclared,
    ChainEvent,
    ContributionRecorded,
    EndpointChanged,
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
    ShardRecorded,
    StopDeclared,
    StrikeRecorded,
    UplinkJudged,
)
from fedchain.chain.sender import Call, Receipt, Sender
from fedchain.chain.views import (
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
    "Account",
    "AlignmentDeclared",
    "Call",
    "ChainClient",
    "ChainEvent",
    "Consortium",
    "ContributionRecord",
    "ContributionRecorded",
    "DeployedContract",
    "Deployment",
    "DevChain",
    "EndpointChanged",
    "JobAborted",
    "JobAccepted",
    "JobPolicy",
    "JobProposed",
    "JobView",
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
    "ShardRecorded",
    "StopDeclared",
    "StrikeRecorded",
    "UplinkJudged",
    "Verdict",
    "deploy",
    "dev_accounts",
    "start_dev_chain",
]
