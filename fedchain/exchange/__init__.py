"""Uplinks to the chain, consumption of others' accepted uplinks, and payloads by reference."""

from fedchain.exchange.channel import JobChannel
from fedchain.exchange.client import PayloadClient
from fedchain.exchange.delivery import Deliveries
from fedchain.exchange.exchange import Exchange
from fedchain.exchange.holding import Access
from fedchain.exchange.inbox import Inbox
from fedchain.exchange.publisher import Publisher
from fedchain.exchange.retention import Retention
from fedchain.exchange.server import PayloadServer
from fedchain.exchange.slot import Slot
from fedchain.exchange.state import NodeState
from fedchain.exchange.store import PayloadStore
from fedchain.exchange.subscriber import Subscriber
from fedchain.exchange.tls import Identity

__all__ = [
    "Access",
    "Deliveries",
    "Exchange",
    "Identity",
    "Inbox",
    "JobChannel",
    "NodeState",
    "PayloadClient",
    "PayloadServer",
    "PayloadStore",
    "Publisher",
    "Retention",
    "Slot",
    "Subscriber",
]
