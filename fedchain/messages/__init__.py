"""The only home of wire types: the envelope, one module per flow, and the canonical codec."""

from fedchain.messages.alignment import (
    AskingSet,
    BlindedIds,
    CachedChunk,
    CachedSet,
    IdSet,
    Matches,
    PublicKey,
)
from fedchain.messages.auditing import AuditOpening
from fedchain.messages.base import Message, decode, encode, kind_of
from fedchain.messages.envelope import Envelope
from fedchain.messages.evaluation import Contribution, ShardDigest
from fedchain.messages.inference import PredictAnswer, PredictRequest
from fedchain.messages.training import (
    Gradients,
    Histogram,
    LeafWeights,
    Partition,
    Split,
    SplitNode,
)

__all__ = [
    "AskingSet",
    "AuditOpening",
    "BlindedIds",
    "CachedChunk",
    "CachedSet",
    "Contribution",
    "Envelope",
    "Gradients",
    "Histogram",
    "IdSet",
    "LeafWeights",
    "Matches",
    "Message",
    "Partition",
    "PredictAnswer",
    "PredictRequest",
    "PublicKey",
    "ShardDigest",
    "Split",
    "SplitNode",
    "decode",
    "encode",
    "kind_of",
]
