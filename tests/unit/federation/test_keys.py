"""The first messages of a job: fresh keys, checked for what they are."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import partial

import msgspec
import pytest

from fedchain.crypto.elgamal import KeyPair
from fedchain.data.idrules import IdPart, IdRules
from fedchain.errors import ProtocolViolationError
from fedchain.federation.keys import JobKeys, exchange_keys
from fedchain.messages import PublicKey, decode
from fedchain.protocol import Party
from fedchain.simulation.channel import Channel
from fedchain.types import PartyId
from tests.protocol.adversary import Recorder, changing

ROSTER = (PartyId("operator"), PartyId("bank"), PartyId("shop"))
Change = Callable[[PublicKey], PublicKey]


def run(
    change: dict[str, Change] | None = None, recorder: Recorder | None = None, outputs: int = 1
) -> dict[PartyId, JobKeys]:
    parties: dict[PartyId, Party[JobKeys]] = {}
    for party in ROSTER:
        generator = exchange_keys(party, ROSTER, outputs=outputs, has_features=party != "bank")
        parties[party] = changing(generator, PublicKey, change[party]) if change and party in change else generator
    return Channel(tap=recorder).run(parties)


def test_all_parties_end_with_the_same_salt_and_public_keys_but_own_private_keys() -> None:
    keys = run()
    assert len({one.sealing.salt for one in keys.values()}) == 1
    assert len({tuple(one.sealing.public.items()) for one in keys.values()}) == 1
    assert list(keys[ROSTER[0]].sealing.public) == list(ROSTER)
    assert len({one.sealing.private for one in keys.values()}) == 3
    assert len({tuple(key.to_bytes() for key in one.gradient_public) for one in keys.values()}) == 1
    assert [one.gradient_pair is not None for one in keys.values()] == [True, False, False]


def test_every_party_learns_who_brings_features() -> None:
    assert {one.has_features for one in run().values()} == {(True, False, True)}


def test_every_party_learns_the_digests_of_all_checkpoints() -> None:
    digests = {"bank": b"\1" * 32, "shop": b""}
    keys = run({party: partial(_announcing, digest=digest) for party, digest in digests.items()})
    found = keys[ROSTER[0]].checkpoints
    assert list(found.items()) == [("operator", b""), ("bank", b"\1" * 32), ("shop", b"")]


def _announcing(message: PublicKey, digest: bytes) -> PublicKey:
    return msgspec.structs.replace(message, checkpoint=digest)


def test_a_party_that_spelled_its_ids_by_other_rules_is_named() -> None:
    other = IdRules((IdPart("id", ("trim",)),)).digest
    with pytest.raises(ProtocolViolationError, match="spelled its ids by other rules") as caught:
        run({"shop": lambda message: msgspec.structs.replace(message, id_rules=other)})
    assert caught.value.culprit == "shop"


def test_each_output_has_keys_of_its_own_and_one_pair_opens_them_all() -> None:
    keys = run(outputs=3)
    pair = keys[ROSTER[0]].gradient_pair
    assert pair is not None
    assert pair.columns == 6
    for one in keys.values():
        assert [key.columns for key in one.gradient_public] == [2, 2, 2]
        assert b"".join(key.to_bytes() for key in one.gradient_public) == pair.public.to_bytes()


def test_keys_of_another_number_of_outputs_name_the_active_party() -> None:
    wrong = KeyPair.generate(4).public.to_bytes()
    for outputs in (1, 3):
        with pytest.raises(ProtocolViolationError, match="gradient keys") as caught:
            run({"operator": lambda message: msgspec.structs.replace(message, gradient_keys=wrong)}, outputs=outputs)
        assert caught.value.culprit == "operator"


def test_every_job_has_fresh_keys_and_a_fresh_salt_and_sends_no_private_key() -> None:
    recorder = Recorder()
    first, second = run(recorder=recorder), run()
    operator = ROSTER[0]
    assert first[operator].sealing.salt != second[operator].sealing.salt
    assert first[operator].gradient_public[0].to_bytes() != second[operator].gradient_public[0].to_bytes()
    everything = b"".join(payload for _, payload in recorder.seen)
    for one in first.values():
        assert one.sealing.private not in everything
        assert one.sealing.private.hex() not in repr(one)
        assert repr(one.sealing.private) not in repr(one)


def test_the_salt_depends_on_every_party() -> None:
    """The salt of a run that differs in one party's share alone: all shares are bound."""
    recorder = Recorder()
    keys = run(recorder=recorder)
    shares = {slot.sender: decode(payload, PublicKey).salt for slot, payload in recorder.seen}
    joined = hashlib.sha256(b"fedchain-session-1" + b"".join(shares[party] for party in ROSTER)).digest()
    assert keys[ROSTER[0]].sealing.salt == joined
    assert len(set(shares.values())) == 3


def test_a_party_that_copies_another_s_sealing_key_is_named() -> None:
    copied: list[bytes] = []

    def remember(message: PublicKey) -> PublicKey:
        copied.append(message.sealing_key)
        return message

    def copy(message: PublicKey) -> PublicKey:
        return msgspec.structs.replace(message, sealing_key=copied[0])

    with pytest.raises(ProtocolViolationError, match="sealing key of another party") as caught:
        run({"operator": remember, "shop": copy})
    assert caught.value.culprit == "shop"


def test_a_passive_party_with_gradient_keys_is_named() -> None:
    keys = KeyPair.generate(2).public.to_bytes()
    with pytest.raises(ProtocolViolationError, match="passive but sent gradient keys") as caught:
        run({"bank": lambda message: msgspec.structs.replace(message, gradient_keys=keys)})
    assert caught.value.culprit == "bank"


@pytest.mark.parametrize(
    "change",
    [
        lambda keys: b"",
        lambda keys: keys[:33],
        lambda keys: keys + keys[:33],
        lambda keys: keys[:-1],
        lambda keys: keys[:33] * 2,
        lambda keys: keys[:33] + bytes([keys[0] ^ 1]) + keys[1:33],
        lambda keys: bytes(33) + keys[33:],
        lambda keys: bytes([2]) + bytes(31) + bytes([5]) + keys[33:],
    ],
    ids=["none", "one", "three", "short", "equal", "negated", "infinity", "off curve"],
)
def test_gradient_keys_that_are_no_two_independent_points_name_the_active_party(
    change: Callable[[bytes], bytes],
) -> None:
    def apply(message: PublicKey) -> PublicKey:
        return msgspec.structs.replace(message, gradient_keys=change(message.gradient_keys))

    with pytest.raises(ProtocolViolationError, match="gradient keys") as caught:
        run({"operator": apply})
    assert caught.value.culprit == "operator"
