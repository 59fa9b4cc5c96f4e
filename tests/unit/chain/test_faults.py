"""What identifies proofs and votes, beside the contracts' definitions written out."""

from __future__ import annotations

from eth_abi.abi import encode
from eth_utils.crypto import keccak

from fedchain.chain import payload_evidence, replay_evidence, vote_commitment
from fedchain.chain.faults import Faults
from fedchain.types import Reason

PARTY = "0x" + "Ab" * 20


def test_a_vote_s_commitment_is_the_contract_s() -> None:
    packed = encode(["uint256", "address", "bool", "bytes32"], [3, PARTY, True, b"s" * 32])
    assert vote_commitment(3, PARTY, True, b"s" * 32) == keccak(packed)


def test_the_evidence_of_a_replay_does_not_depend_on_the_order() -> None:
    low, high = b"\x01" * 32, b"\xff" * 32
    expected = keccak((34).to_bytes(32, "big") + low + high)
    assert replay_evidence(low, high) == replay_evidence(high, low) == expected


def test_the_evidence_of_another_payload_is_party_and_digest() -> None:
    expected = keccak((33).to_bytes(32, "big") + bytes(12) + bytes.fromhex(PARTY[2:]) + b"d" * 32)
    assert payload_evidence(PARTY, b"d" * 32) == expected


def test_what_a_server_signs_binds_chain_ledger_and_both_digests() -> None:
    def never(*arguments: object) -> tuple[object, ...]:
        raise AssertionError(arguments)

    faults = Faults(never, never, 31337, {"UplinkLedger": PARTY}, never)  # type: ignore[arg-type]
    packed = encode(
        ["string", "uint256", "address", "bytes32", "bytes32"], ["fedchain payload", 31337, PARTY, b"d" * 32, b"s" * 32]
    )
    assert faults.served_statement(b"d" * 32, b"s" * 32) == keccak(packed)


def test_a_reason_that_a_later_contract_added_is_its_number() -> None:
    assert Reason(200).name == "REASON_200"
    assert Reason(200) == 200
    assert Reason(34) is Reason.REPLAY
