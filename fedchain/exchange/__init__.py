"""Uplinks to the chain, consumption of others' accepted uplinks, and payloads by reference."""

from fedchain.exchange.channel import JobChannel
from fedchain.exchange.exchange import Exchange
from fedchain.exchange.inbox import Inbox
from fedchain.exchange.payloads import PayloadClient, PayloadServer
from fedchain.exchange.publisher import Publisher
from fedchain.exchange.slot import Slot
from fedchain.exchange.state import NodeState
from fedchain.exchange.store import PayloadStore
from fedchain.exchange.subscriber import Subscriber

__all__ = [
    "Exchange",
    "Inbox",
    "JobChannel",
    "NodeState",
    "PayloadClient",
    "PayloadServer",
    "PayloadStore",
    "Publisher",
    "Slot",
    "Subscriber",
]
