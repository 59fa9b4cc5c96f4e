"""Ids of uplinks are put together by hand: they are those of the ABI's own codec."""

from __future__ import annotations

from typing import Any

import pytest
from eth_utils.crypto import keccak
from hypothesis import given
from hypothesis import strategies as st

from fedchain.chain.abi import CODEC, function
from fedchain.chain.artifacts import LEDGER
from fedchain.chain.reads import envelope_values
from fedchain.chain.uplink_ids import ENVELOPE_TYPES, head_of, uplink_id
from fedchain.errors import ChainError
from fedchain.messages import Envelope
from fedchain.types import Kind

LEDGER_ADDRESS, SENDER = "0x" + "5e" * 20, "0x" + "a1" * 20


def envelope(**fields: Any) -> Envelope:
    given_ones = {
        "job_id": bytes(range(32)), "round": 3, "attempt": 1, "step": 7, "kind": Kind.SPLIT, "recipient": b"\x09" * 20,
        "digest": bytes(range(32, 64)), "size": 1234, "statistic_e6": 5,
    }  # fmt: skip
    return Envelope(**{**given_ones, **fields})


def test_the_layout_is_the_artifact_s() -> None:
    assert function(LEDGER, "submit").input_types == (ENVELOPE_TYPES, "bytes")


@given(
    chain_id=st.integers(0, 2**256 - 1),
    sender=st.binary(min_size=20, max_size=20),
    job_id=st.binary(min_size=32, max_size=32),
    round_=st.integers(0, 2**32 - 1),
    attempt=st.integers(0, 2**16 - 1),
    step=st.integers(0, 2**32 - 1),
    kind=st.sampled_from(Kind),
    recipient=st.binary(min_size=20, max_size=20),
    digest=st.binary(min_size=32, max_size=32),
    size=st.integers(0, 2**64 - 1),
    statistic_e6=st.integers(0, 2**64 - 1),
    schema=st.integers(0, 2**16 - 1),
)
def test_an_id_is_the_hash_of_what_the_codec_makes(chain_id: int, sender: bytes, round_: int, **fields: Any) -> None:
    sent, address = envelope(round=round_, **fields), "0x" + sender.hex()
    encoded = CODEC.encode(
        ("uint256", "address", "address", ENVELOPE_TYPES), (chain_id, LEDGER_ADDRESS, address, envelope_values(sent))
    )
    assert uplink_id(head_of(chain_id, LEDGER_ADDRESS), address, sent) == keccak(encoded)


@pytest.mark.parametrize(
    "fields",
    [
        {"round": 2**32}, {"round": -1}, {"attempt": 2**16}, {"step": 2**32}, {"size": 2**64}, {"statistic_e6": 2**64},
        {"schema": 2**16}, {"kind": 256}, {"job_id": bytes(31)}, {"digest": bytes(33)}, {"recipient": b""},
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ChainError, match="envelope"):
        uplink_id(head_of(1, LEDGER_ADDRESS), SENDER, envelope(**fields))


@pytest.mark.parametrize("address", ["", "0x", "0x" + "a1" * 19, "0x" + "zz" * 20])
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(ChainError, match="40 hex digits"):
        uplink_id(head_of(1, LEDGER_ADDRESS), address, envelope())
