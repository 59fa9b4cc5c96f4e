"""Calldata, answers and revert words against the shipped artifacts."""

import pytest
from eth_abi.abi import decode, encode
from hypothesis import given
from hypothesis import strategies as st

from fedchain.chain.abi import Values, constructor_data, describe_revert, function, functions
from fedchain.chain.artifacts import CONTRACT_NAMES, JOBS, LEDGER, REGISTRY, load_artifact
from fedchain.chain.gas import uplink_gas
from fedchain.chain.reads import envelope_values
from fedchain.errors import ChainError, ConfigError
from fedchain.messages import Envelope
from fedchain.types import INLINE_LIMIT, Kind

PARTY = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"


def envelope(**changes: object) -> Envelope:
    fields: dict[str, object] = {
        "job_id": b"\x11" * 32,
        "round": 3,
        "attempt": 1,
        "step": 7,
        "kind": Kind.HISTOGRAM,
        "recipient": bytes(20),
        "digest": b"\x22" * 32,
        "size": 99,
    }
    return Envelope(**{**fields, **changes})  # type: ignore[arg-type]


def test_a_known_selector_is_derived_from_the_abi() -> None:
    assert function(REGISTRY, "deployer").selector.hex() == "d5f39488"  # deployer(), as in any list of selectors


def test_every_contract_overloads_no_function() -> None:
    for name in CONTRACT_NAMES:
        names = [entry["name"] for entry in load_artifact(name).abi if entry["type"] == "function"]
        assert len(names) == len(set(names)) == len(functions(name))


@given(
    round_=st.integers(0, 2**32 - 1),
    attempt=st.integers(0, 2**16 - 1),
    step=st.integers(0, 2**32 - 1),
    kind=st.sampled_from(Kind),
    recipient=st.binary(min_size=20, max_size=20),
    size=st.integers(0, 2**64 - 1),
    payload=st.binary(max_size=300),
)
def test_submit_calldata_decodes_to_what_went_in(
    round_: int, attempt: int, step: int, kind: Kind, recipient: bytes, size: int, payload: bytes
) -> None:
    sent = envelope(round=round_, attempt=attempt, step=step, kind=kind, recipient=recipient, size=size)
    method = function(LEDGER, "submit")
    found, found_payload = decode(method.input_types, method.encode(envelope_values(sent), payload)[4:])
    assert found == (
        sent.job_id, round_, attempt, step, int(kind), "0x" + recipient.hex(), 1, sent.digest, size, 0,
    )  # fmt: skip
    assert found_payload == payload


def test_a_number_out_of_range_is_refused_before_anything_is_sent() -> None:
    with pytest.raises(ChainError, match="submit does not fit"):
        function(LEDGER, "submit").encode(envelope_values(envelope(attempt=2**16)), b"")


def test_a_missing_function_says_how_to_mend_it() -> None:
    with pytest.raises(ConfigError, match="make contracts"):
        function(JOBS, "noSuchFunction")


def test_a_missing_artifact_says_how_to_mend_it() -> None:
    with pytest.raises(ConfigError, match="make contracts"):
        load_artifact("NoSuchContract")


def test_constructor_arguments_follow_the_creation_code() -> None:
    data = constructor_data(REGISTRY, PARTY)
    assert data == load_artifact(REGISTRY).bytecode + encode(["address"], [PARTY])


def test_an_answer_of_another_shape_is_a_typed_error() -> None:
    with pytest.raises(ChainError, match="do not fit together"):
        function(JOBS, "jobOf").decode(b"")


def test_a_string_that_is_no_utf8_does_not_stop_the_reader() -> None:
    data = encode(["bytes"], [b"ok \xff\xfe"])
    assert Values([{"name": "reason", "type": "string"}]).decode(data, "x") == ("ok ��",)


def test_a_typed_error_is_shown_with_names_and_arguments() -> None:
    selector = {"WrongPhase(uint8,uint8)": "", "PartyNotAccredited(address)": ""}
    from eth_utils.crypto import keccak

    wrong_phase, not_accredited = (keccak(text=signature)[:4] for signature in selector)
    assert describe_revert(wrong_phase + encode(["uint8", "uint8"], [3, 1])) == "WrongPhase(expected=3, found=1)"
    assert describe_revert(not_accredited + encode(["address"], [PARTY])) == f"PartyNotAccredited(party={PARTY})"


def test_solidity_s_own_errors_are_shown() -> None:
    assert describe_revert(bytes.fromhex("08c379a0") + encode(["string"], ["no"])) == "Error(message='no')"
    assert describe_revert(bytes.fromhex("4e487b71") + encode(["uint256"], [17])) == "Panic(code=17)"


def test_an_unknown_error_is_shown_as_hex_and_none_as_none() -> None:
    assert describe_revert(b"\x01\x02\x03\x04\x05") == "unknown error 0x0102030405"
    assert describe_revert(b"") == "no reason given"


@given(st.sampled_from(["", "4e487b71", "08c379a0"]), st.binary(max_size=200))
def test_any_revert_data_is_described(selector: str, rest: bytes) -> None:
    assert describe_revert(bytes.fromhex(selector) + rest)


def test_a_full_inline_payload_stays_below_the_transaction_gas_cap_of_eip_7825() -> None:
    calldata = function(LEDGER, "submit").encode(envelope_values(envelope()), bytes(INLINE_LIMIT))
    assert 40 * len(calldata) + 21_000 < uplink_gas(len(calldata)) < 2**24
