"""Logs become events; strangers' bytes do not stop the decoder."""

from typing import Any

import pytest
from eth_abi.abi import encode
from eth_utils.crypto import keccak
from hypothesis import given
from hypothesis import strategies as st

from fedchain.chain import ChainEvent, JobAborted, PhaseChanged, UplinkJudged
from fedchain.chain.abi import type_strings
from fedchain.chain.artifacts import CONTRACT_NAMES, JOBS, LEDGER, load_artifact
from fedchain.chain.decoder import EventDecoder
from fedchain.errors import ChainError
from fedchain.types import Kind, Phase, Reason

ADDRESSES = {name: "0x" + f"{index + 1:02x}" * 20 for index, name in enumerate(CONTRACT_NAMES)}
PARTY = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"
JOB = b"\x11" * 32
NOT_DECODED = {"RoleAdminChanged", "RoleGranted", "RoleRevoked", "LedgerSet", "RouterSet"}
SAMPLES: dict[str, Any] = {
    "bytes32": JOB, "address": PARTY, "string": "text", "bytes": b"payload", "address[]": [PARTY], "int64[]": [-5, 7],
    "bytes32[]": [JOB],
    "(uint32,uint32,uint64,bool)": (1, 2, 3, True),
    "(bytes32,uint32,uint16,uint32,uint8,address,uint16,bytes32,uint64,uint64)": (
        JOB, 1, 0, 2, 3, PARTY, 1, JOB, 7, 0,
    ),
}  # fmt: skip


def sample(kind: str) -> Any:
    return SAMPLES.get(kind, 2)


def log(contract: str, event: str, values: dict[str, Any] | None = None, *, block: int = 5, index: int = 0) -> Any:
    entry = next(one for one in load_artifact(contract).abi if one["type"] == "event" and one["name"] == event)
    values = values or {}
    types = dict(zip((part["name"] for part in entry["inputs"]), type_strings(entry["inputs"]), strict=True))
    topic = keccak(text=f"{event}({','.join(types.values())})")
    topics, data_types, data = [topic], [], []
    for part in entry["inputs"]:
        value = values.get(part["name"], sample(types[part["name"]]))
        if part["indexed"]:
            topics.append(encode([types[part["name"]]], [value]))
        else:
            data_types.append(types[part["name"]])
            data.append(value)
    return {
        "address": ADDRESSES[contract],
        "topics": ["0x" + word.hex() for word in topics],
        "data": "0x" + encode(data_types, data).hex(),
        "blockNumber": hex(block),
        "blockHash": "0x" + "bb" * 32,
        "logIndex": hex(index),
        "transactionHash": "0x" + "cc" * 32,
    }


def test_every_event_of_every_contract_has_a_class_that_takes_its_fields() -> None:
    decoder, seen = EventDecoder(ADDRESSES), set()
    for contract in CONTRACT_NAMES:
        for entry in load_artifact(contract).abi:
            if entry["type"] == "event" and entry["name"] not in NOT_DECODED:
                (event,) = decoder.decode([log(contract, entry["name"])])
                assert type(event).__name__ == entry["name"]
                assert (event.block_number, event.log_index) == (5, 0)
                seen.add(entry["name"])
    assert seen == {cls.__name__ for cls in ChainEvent.__subclasses__()}


def test_fields_carry_their_types() -> None:
    (event,) = EventDecoder(ADDRESSES).decode([log(LEDGER, "UplinkJudged", {"reason": 12})])
    assert isinstance(event, UplinkJudged)
    assert event.reason is Reason.SLOT_TAKEN
    assert event.envelope.kind is Kind.HISTOGRAM
    assert event.envelope.recipient == bytes.fromhex(PARTY[2:])
    assert event.job_id == "0x" + JOB.hex()
    assert event.sender == PARTY
    (event,) = EventDecoder(ADDRESSES).decode([log(JOBS, "PhaseChanged", {"phase": 4})])
    assert isinstance(event, PhaseChanged)
    assert event.phase is Phase.EVALUATING


def test_events_come_in_the_order_of_the_chain() -> None:
    places = [(7, 1), (5, 3), (7, 0), (5, 1)]
    events = EventDecoder(ADDRESSES).decode(log(JOBS, "PhaseChanged", block=b, index=i) for b, i in places)
    assert [(event.block_number, event.log_index) for event in events] == sorted(places)


def test_a_log_of_another_address_with_a_known_topic_is_passed_over() -> None:
    forged = {**log(LEDGER, "UplinkJudged"), "address": ADDRESSES[JOBS]}
    stranger = {**log(LEDGER, "UplinkJudged"), "address": "0x" + "99" * 20}
    assert EventDecoder(ADDRESSES).decode([forged, stranger]) == ()


def test_wiring_events_and_anonymous_logs_are_passed_over() -> None:
    anonymous = {**log(JOBS, "PhaseChanged"), "topics": []}
    assert EventDecoder(ADDRESSES).decode([log(JOBS, "LedgerSet"), anonymous]) == ()


def test_an_unknown_kind_in_a_rejected_uplink_stays_a_number() -> None:
    strange = list(SAMPLES["(bytes32,uint32,uint16,uint32,uint8,address,uint16,bytes32,uint64,uint64)"])
    strange[4] = 200
    (event,) = EventDecoder(ADDRESSES).decode([log(LEDGER, "UplinkJudged", {"envelope": tuple(strange), "reason": 7})])
    assert isinstance(event, UplinkJudged)
    assert event.envelope.kind == 200


@given(st.binary(max_size=64))
def test_any_bytes_as_an_abort_s_reason_decode(reason: bytes) -> None:
    entry = log(JOBS, "JobAborted")
    entry["data"] = "0x" + encode(["bytes"], [reason]).hex()
    (event,) = EventDecoder(ADDRESSES).decode([entry])
    assert isinstance(event, JobAborted)
    assert event.reason == reason.decode("utf-8", "replace")


@pytest.mark.parametrize(
    "damage",
    [{"data": "0x00"}, {"data": "zz"}, {"blockNumber": None}, {"blockHash": None}, {"address": 5}, {"topics": [None]}],
)
def test_a_damaged_log_is_a_typed_error(damage: dict[str, object]) -> None:
    with pytest.raises(ChainError):
        EventDecoder(ADDRESSES).decode([{**log(LEDGER, "UplinkJudged"), **damage}])
