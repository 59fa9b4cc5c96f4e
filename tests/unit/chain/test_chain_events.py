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
from fedchain.chain.judgments import SIGNATURE
from fedchain.errors import ChainError
from fedchain.messages import Envelope
from fedchain.types import Kind, Phase, Reason

ADDRESSES = {name: "0x" + f"{index + 1:02x}" * 20 for index, name in enumerate(CONTRACT_NAMES)}
PARTY = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"
JOB = b"\x11" * 32
NOT_DECODED = {"LedgerSet", "ReportersSet", "RouterSet"}
SAMPLES: dict[str, Any] = {
    "bytes32": JOB, "address": PARTY, "string": "text", "bytes": b"payload", "address[]": [PARTY], "int64[]": [-5, 7],
    "bytes32[]": [JOB], "bool": True, "uint128[]": [1, 2**128 - 1], "uint64[]": [3], "uint8[]": [0, 5],
    "(uint32,uint32,uint64,bool,uint32,uint32,uint16,bool,uint16)": (1, 2, 3, True, 4, 5, 6, True, 7),
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


def judgment(envelope: Envelope, reason: int, payload: bytes = b"") -> Any:
    """A log of UplinkJudged, its words put together by shifts as the interface documents them."""
    place = int.from_bytes(envelope.recipient, "big") << 96 | envelope.step << 64 | envelope.round << 32
    place |= envelope.attempt << 16 | int(envelope.kind) << 8 | reason
    measure = envelope.schema << 128 | envelope.size << 64 | envelope.statistic_e6
    values = {"place": place, "measure": measure, "digest": envelope.digest, "payload": payload}
    return log(LEDGER, "UplinkJudged", {**values, "jobId": envelope.job_id})


def a_envelope(**changes: Any) -> Envelope:
    values: dict[str, Any] = {
        "job_id": JOB, "round": 1, "attempt": 2, "step": 3, "kind": Kind.HISTOGRAM, "size": 7, "statistic_e6": 8,
        "recipient": bytes.fromhex(PARTY[2:]), "digest": bytes(range(32)), "schema": 1,
    }  # fmt: skip
    return Envelope(**{**values, **changes})


def test_fields_carry_their_types() -> None:
    (event,) = EventDecoder(ADDRESSES).decode([judgment(a_envelope(), 12)])
    assert isinstance(event, UplinkJudged)
    assert event.reason is Reason.SLOT_TAKEN
    assert event.envelope == a_envelope()
    assert event.envelope.kind is Kind.HISTOGRAM
    assert event.job_id == "0x" + JOB.hex()
    assert event.sender == PARTY
    assert event.uplink_id == JOB
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
    (event,) = EventDecoder(ADDRESSES).decode([judgment(a_envelope(kind=200), 7)])
    assert isinstance(event, UplinkJudged)
    assert event.envelope.kind == 200


@given(
    st.builds(
        Envelope,
        job_id=st.binary(min_size=32, max_size=32),
        round=st.integers(0, 2**32 - 1),
        attempt=st.integers(0, 2**16 - 1),
        step=st.integers(0, 2**32 - 1),
        kind=st.sampled_from(Kind),
        recipient=st.binary(min_size=20, max_size=20),
        digest=st.binary(min_size=32, max_size=32),
        size=st.integers(0, 2**64 - 1),
        statistic_e6=st.integers(0, 2**64 - 1),
        schema=st.integers(0, 2**16 - 1),
    ),
    st.integers(0, 15),
    st.binary(max_size=70),
)
def test_every_judgment_decodes_to_what_was_judged(envelope: Envelope, reason: int, payload: bytes) -> None:
    (event,) = EventDecoder(ADDRESSES).decode([judgment(envelope, reason, payload)])
    assert isinstance(event, UplinkJudged)
    assert (event.envelope, event.reason, event.payload) == (envelope, reason, payload)


def test_a_judgment_is_told_by_the_artifact_s_topic() -> None:
    assert log(LEDGER, "UplinkJudged")["topics"][0] == "0x" + keccak(text=SIGNATURE).hex()


@pytest.mark.parametrize("cut", [slice(0, 160), slice(0, -64), slice(0, -2)])
def test_a_judgment_that_was_cut_is_a_typed_error(cut: slice) -> None:
    whole = judgment(a_envelope(), 0, b"payload")
    with pytest.raises(ChainError):
        EventDecoder(ADDRESSES).decode([{**whole, "data": whole["data"][cut]}])


@pytest.mark.parametrize("word", [3, 4])
def test_a_judgment_whose_offset_or_length_lies_is_a_typed_error(word: int) -> None:
    whole = judgment(a_envelope(), 0, b"payload")
    at = 2 + 64 * word + 62
    with pytest.raises(ChainError):
        EventDecoder(ADDRESSES).decode([{**whole, "data": whole["data"][:at] + "ff" + whole["data"][at + 2 :]}])


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
