"""Keys are created, kept encrypted, and never shown."""

import copy
import json
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account as EthAccount
from eth_account.hdaccount import seed_from_mnemonic
from eth_account.hdaccount.deterministic import HDPath
from eth_account.messages import encode_defunct
from hypothesis import given
from hypothesis import strategies as st

from fedchain.chain import Account, dev_accounts, recover_signer
from fedchain.chain.abi import checksum
from fedchain.chain.account import DEV_MNEMONIC
from fedchain.chain.hdkeys import derived_key, seed_of
from fedchain.chain.keyfile import NotAKeyfileError, WrongPassphraseError, decrypted, encrypted
from fedchain.chain.transaction import Call, sign
from fedchain.errors import ConfigError, CryptoError
from tests import second_opinion

ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
KEY = bytes.fromhex("ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80")
CHEAP = 2

# Of the format's description, "Web3 Secret Storage Definition": the one with PBKDF2.
VECTOR: dict[str, Any] = {
    "crypto": {
        "cipher": "aes-128-ctr",
        "cipherparams": {"iv": "6087dab2f9fdbbfaddc31a909735c1e6"},
        "ciphertext": "5318b4d5bcd28de64ee5559e671353e16f075ecae9f99c7a79a38af5f869aa46",
        "kdf": "pbkdf2",
        "kdfparams": {
            "c": 262144,
            "dklen": 32,
            "prf": "hmac-sha256",
            "salt": "ae3cd4e7013836a3df6bd7241b12db061dbe2c6785853cce422d148a624ce0bd",
        },
        "mac": "517ead924a9d0dc3124507e3393d175ce3ff7c1e96529c6c555ce9e51205e9b2",
    },
    "id": "3198bc9c-6672-5ab3-d995-4942343ae5b6",
    "version": 3,
}


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


def test_importing_the_chain_leaves_the_recursion_limit_alone_and_loads_no_curve_of_other_chains() -> None:
    code = (
        "import sys; limit = sys.getrecursionlimit(); import fedchain.chain; "
        "sys.exit(sys.getrecursionlimit() != limit or 'py_ecc' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@given(st.integers(0, 2**256 - 1), st.sampled_from(["secret", "", "ß 🗝", "x" * 200]))
def test_a_keystore_is_opened_by_eth_account_and_one_of_eth_account_is_opened(number: int, passphrase: str) -> None:
    key = number.to_bytes(32, "big")
    made = encrypted(key, passphrase, address="0x" + "ab" * 20, cost=CHEAP)
    assert bytes(EthAccount.decrypt(made, passphrase)) == key
    number = number % (ORDER - 1) + 1
    for kdf in ("scrypt", "pbkdf2"):
        theirs = EthAccount.encrypt(number.to_bytes(32, "big"), passphrase, kdf=kdf, iterations=CHEAP)
        assert decrypted(theirs, passphrase) == number.to_bytes(32, "big")
        with pytest.raises(WrongPassphraseError):
            decrypted(theirs, passphrase + "?")


def test_the_keystore_that_the_format_s_description_shows_is_opened() -> None:
    assert decrypted(VECTOR, "testpassword").hex() == "7a28b5ba57c53603b0b07b56bba752f7784bf506fa95edc395f5cf6c7514fe9d"
    upper: dict[str, Any] = {"Crypto": {**VECTOR["crypto"], "Cipher": "aes-128-ctr"}, "VERSION": 3}
    del upper["Crypto"]["cipher"]
    assert decrypted(upper, "testpassword") == decrypted(VECTOR, "testpassword")


@pytest.mark.parametrize(
    "change",
    [
        {"version": 4},
        {"version": "3"},
        {"crypto": None},
        {"cipher": "aes-128-cbc"},
        {"cipherparams": {"iv": "00"}},
        {"ciphertext": "xx"},
        {"kdf": "argon2"},
        {"mac": 7},
        {"c": 0},
        {"c": 2**40},
        {"c": "262144"},
        {"dklen": 16},
        {"dklen": 2**40},
        {"prf": "hmac-md5"},
        {"salt": None},
        {"kdf": "scrypt", "n": 3, "r": 8, "p": 1},
        {"kdf": "scrypt", "n": 2**40, "r": 8, "p": 1},
        {"kdf": "scrypt", "n": 2, "r": 8, "p": 2**40},
        {"kdf": "scrypt", "n": -2, "r": -8, "p": 1},
    ],
    ids=str,
)
def test_a_keystore_out_of_range_is_refused_before_work_is_done_for_it(change: dict[str, Any]) -> None:
    document = copy.deepcopy(VECTOR)
    crypto, kdf = document["crypto"], document["crypto"]["kdfparams"]
    for name, value in change.items():
        place = document if name in document else crypto if name in crypto else kdf
        place[name] = value
    with pytest.raises(NotAKeyfileError):
        decrypted(document, "testpassword")


@given(
    chain_id=st.integers(1, 2**64 - 1),
    registry=st.binary(min_size=20, max_size=20),
    party=st.binary(min_size=20, max_size=20),
    successor=st.binary(min_size=20, max_size=20),
    nonce=st.integers(0, 2**64 - 1),
    deadline=st.integers(0, 2**64 - 1),
)
def test_a_rotation_s_signature_is_the_one_of_eip_712_that_eth_account_makes(
    chain_id: int, registry: bytes, party: bytes, successor: bytes, nonce: int, deadline: int
) -> None:
    addresses = {"registry": registry, "party": party, "successor": successor}
    hexed = {name: checksum("0x" + one.hex()) for name, one in addresses.items()}
    signature = Account.from_private_key(KEY).sign_rotation(chain_id=chain_id, nonce=nonce, deadline=deadline, **hexed)
    types = {"party": "address", "newSigner": "address", "nonce": "uint64", "deadline": "uint64"}
    expected = EthAccount.sign_typed_data(
        KEY,
        {"name": "fedchain", "version": "1", "chainId": chain_id, "verifyingContract": hexed["registry"]},
        {"KeyRotation": [{"name": name, "type": kind} for name, kind in types.items()]},
        {"party": hexed["party"], "newSigner": hexed["successor"], "nonce": nonce, "deadline": deadline},
    )
    assert signature == bytes(expected.signature)


@pytest.mark.parametrize("path", ["m/0", "m/0'", "m/0'/1", "m/44'/60'/0'/0/9", "m/2147483647'/1/2147483647"])
@pytest.mark.parametrize("seed", [bytes(16), bytes(range(64))])
def test_keys_below_a_seed_are_those_that_eth_account_derives(seed: bytes, path: str) -> None:
    assert derived_key(seed, path) == bytes(HDPath(path).derive(seed))


def test_the_published_vectors_of_derivation_hold() -> None:
    seed = bytes.fromhex("000102030405060708090a0b0c0d0e0f")
    assert derived_key(seed, "m").hex() == "e8f32e723decf4051aefac8e2c93c9c5b214313817cdb01a1494b917c8436b35"
    assert derived_key(seed, "m/0'/1").hex() == "3c6cb8d0f6a264c91ea8b5030fadaa8e538b020f0a387421a12de9319dc93368"
    assert seed_of(DEV_MNEMONIC) == seed_from_mnemonic(DEV_MNEMONIC, "")


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
    expected = second_opinion.signed(account, {**fields, "to": b"" if to is None else to, "chainId": chain_id})
    assert (signed.raw, signed.tx_hash) == expected
    assert signed.call().is_same(call)
