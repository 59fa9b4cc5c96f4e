"""What a party's generator may yield, and the address of a message."""

from fedchain.protocol.actions import (
    Action,
    BeginRound,
    DeclareAligned,
    DeclareStop,
    Gather,
    Keep,
    Party,
    Receive,
    RecordContribution,
    Send,
    Stage,
    gather,
    receive,
)

__all__ = [
    "Action",
    "BeginRound",
    "DeclareAligned",
    "DeclareStop",
    "Gather",
    "Keep",
    "Party",
    "Receive",
    "RecordContribution",
    "Send",
    "Stage",
    "gather",
    "receive",
]
