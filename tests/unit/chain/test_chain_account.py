"""Keys are created, kept encrypted, and never shown."""

import json
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
from eth_account import Account as EthAccount
from eth_account.messages import encode_defunct
from hypothesis import given
from hypothesis import strategies as st

from fedchain.chain import Account, dev_accounts, recover_signer
from fedchain.chain.transaction import Call, sign
from fedchain.errors import ConfigError, CryptoError

ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
KEY = bytes.fromhex("ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80")
CHEAP = 2


def test_dev_accounts_are_those_that_every_development_chain_funds() -> None:
    first, second = dev_accounts(2)
    assert first.address == "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"
    assert second.address == "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"
    assert first == Account.from_private_key(KEY)


def test_created_accounts_differ() -> None:
    assert len({Account.create().address for _ in range(8)}) == 8


@given(st.integers(1, ORDER - 1))
def test_an_address_is_the_one_eth_account_derives(number: int) -> None:
    key = number.to_bytes(32, "big")
    assert Account.from_private_key(key).address == EthAccount.from_key(key).address


@pytest.mark.parametrize("key", [b"", b"\x01" * 31, b"\x01" * 33, bytes(32), ORDER.to_bytes(32, "big"), b"\xff" * 32])
def test_a_key_out_of_range_is_refused_without_showing_it(key: bytes) -> None:
    with pytest.raises(ConfigError) as caught:
        Account.from_private_key(key)
    assert caught.value.__cause__ is None
    assert "1..n-1" in str(caught.value)


def test_no_representation_shows_the_key() -> None:
    account = Account.from_private_key(KEY)
    for shown in (repr(account), str(account), f"{account}", repr([account])):
        assert KEY.hex() not in shown
        assert str(int.from_bytes(KEY, "big")) not in shown
        assert account.address in shown
    with pytest.raises(TypeError, match="save_keystore"):
        pickle.dumps(account)


def test_a_keystore_opens_with_its_passphrase_alone(tmp_path: Path) -> None:
    path = tmp_path / "party.json"
    account = Account.create()
    account.save_keystore(path, "right", iterations=CHEAP)
    assert path.stat().st_mode & 0o777 == 0o600
    assert [entry.name for entry in tmp_path.iterdir()] == ["party.json"]
    assert Account.from_keystore(path, "right") == account
    with pytest.raises(ConfigError, match=r"party\.json: the passphrase does not open it"):
        Account.from_keystore(path, "wrong")


def test_a_keystore_is_scrypt_and_holds_no_plain_key(tmp_path: Path) -> None:
    path = tmp_path / "party.json"
    Account.from_private_key(KEY).save_keystore(path, "x", iterations=CHEAP)
    assert KEY.hex() not in path.read_text()
    assert json.loads(path.read_text())["crypto"]["kdf"] == "scrypt"


def test_the_default_cost_of_a_keystore_is_the_library_s_strong_one(tmp_path: Path) -> None:
    path = tmp_path / "party.json"
    Account.from_private_key(KEY).save_keystore(path, "x")
    assert json.loads(path.read_text())["crypto"]["kdfparams"]["n"] >= 2**17


def test_a_keystore_is_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "party.json"
    Account.create().save_keystore(path, "x", iterations=CHEAP)
    before = path.read_bytes()
    with pytest.raises(ConfigError, match="exists already"):
        Account.create().save_keystore(path, "x", iterations=CHEAP)
    assert path.read_bytes() == before


def test_an_empty_passphrase_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="empty passphrase"):
        Account.create().save_keystore(tmp_path / "party.json", "", iterations=CHEAP)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"crypto": {}}', b'{"crypto": 3, "version": 3}', b"\xff"])
def test_a_file_that_is_no_keystore_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "party.json"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"party\.json"):
        Account.from_keystore(path, "x")


def test_a_missing_keystore_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.json"):
        Account.from_keystore(tmp_path / "none.json", "x")


def test_importing_the_chain_leaves_the_recursion_limit_alone() -> None:
    code = (
        "import sys; limit = sys.getrecursionlimit(); import fedchain.chain; sys.exit(sys.getrecursionlimit() != limit)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


UPLINK = bytes(range(32))


@given(st.binary(min_size=32, max_size=32))
def test_an_uplink_s_signature_names_its_signer_and_is_that_of_eip_191(uplink_id: bytes) -> None:
    account = Account.from_private_key(KEY)
    signature = account.sign_uplink(uplink_id)
    assert recover_signer(uplink_id, signature) == account.address
    message = encode_defunct(hexstr=uplink_id.hex())
    assert EthAccount.recover_message(message, signature=signature) == account.address
    assert (len(signature), signature) == (65, account.sign_uplink(uplink_id))


@given(st.integers(0, 255))
def test_a_signature_of_another_uplink_names_somebody_else(bit: int) -> None:
    account = Account.from_private_key(KEY)
    other = (int.from_bytes(UPLINK, "big") ^ (1 << bit)).to_bytes(32, "big")
    assert recover_signer(other, account.sign_uplink(UPLINK)) != account.address


def test_the_other_signature_that_the_key_could_have_made_is_refused() -> None:
    signature = Account.from_private_key(KEY).sign_uplink(UPLINK)
    high = ORDER - int.from_bytes(signature[32:64], "big")
    twin = signature[:32] + high.to_bytes(32, "big") + bytes([55 - signature[64]])
    with pytest.raises(CryptoError, match="high s"):
        recover_signer(UPLINK, twin)


@given(st.binary(max_size=80))
def test_any_bytes_as_a_signature_name_somebody_or_are_a_typed_error(signature: bytes) -> None:
    try:
        assert recover_signer(UPLINK, signature) != Account.from_private_key(KEY).address
    except CryptoError:
        return


@pytest.mark.parametrize(
    "signature",
    [
        b"",
        bytes(65),
        bytes(64) + b"\x1b",
        b"\x01" * 64 + b"\x00",
        b"\x01" * 64 + b"\x1d",
        b"\xff" * 32 + bytes(31) + b"\x01\x1b",
        bytes(31) + b"\x05" + bytes(31) + b"\x01\x1b",
    ],
)
def test_a_signature_that_no_key_could_have_made_is_a_typed_error(signature: bytes) -> None:
    with pytest.raises(CryptoError):
        recover_signer(UPLINK, signature)


def test_only_32_bytes_are_an_uplink_s_id() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        Account.from_private_key(KEY).sign_uplink(b"\x01" * 31)
    with pytest.raises(ValueError, match="32 bytes"):
        recover_signer(b"\x01" * 33, bytes(65))


@given(
    nonce=st.integers(0, 2**64 - 1),
    gas=st.integers(0, 2**64 - 1),
    gas_price=st.integers(0, 2**96 - 1),
    value=st.integers(0, 2**128 - 1),
    chain_id=st.integers(1, 2**64 - 1),
    to=st.none() | st.binary(min_size=20, max_size=20),
    data=st.binary(max_size=200),
)
def test_a_signed_transaction_is_the_one_eth_account_signs(
    nonce: int, gas: int, gas_price: int, value: int, chain_id: int, to: bytes | None, data: bytes
) -> None:
    account = Account.from_private_key(KEY)
    call = Call("a call", None if to is None else "0x" + to.hex(), data, value)
    signed = sign(account, chain_id, call, nonce=nonce, gas=gas, gas_price=gas_price)
    fields: dict[str, object] = {"nonce": nonce, "gas": gas, "gasPrice": gas_price, "value": value, "data": data}
    expected = account.sign({**fields, "to": b"" if to is None else to, "chainId": chain_id})
    assert (signed.raw, signed.tx_hash) == expected
    assert signed.call().is_same(call)
