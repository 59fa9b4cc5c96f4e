"""What a party that gives up tells everybody on chain names the culprit, and nothing else."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from fedchain.errors import DataError, DeadlineError, ProtocolViolationError, UplinkRejectedError
from fedchain.node.driver import public_reason

CHANNEL: Any = SimpleNamespace(me="alpha", round=3)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (DeadlineError("no split from beta", ("beta",)), "party alpha waited in vain for beta in round 3"),
        (DeadlineError("too late"), "party alpha waited in vain in round 3"),
        (ProtocolViolationError("beta", "sent 17 rows"), "ProtocolViolationError by party beta in round 3"),
        (UplinkRejectedError("beta", "split", "SLOT_TAKEN"), "uplink of party beta rejected: SLOT_TAKEN"),
        (DataError("/home/x/table.csv: customer 17"), "party alpha failed in round 3: DataError"),
    ],
)
def test_the_reason_names_who_and_what_kind(error: Exception, reason: str) -> None:
    assert public_reason(error, CHANNEL) == reason
