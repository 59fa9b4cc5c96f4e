"""Who is a member: accreditation by votes, suspension, reinstatement, ban, and keys that change, on each chain."""

from __future__ import annotations

from eth_account import Account as EthAccount

from fedchain.types import Status
from tests.contracts.stage import DAY, Party, Stage

REGISTRY = "ParticipantRegistry"


def status(stage: Stage, party: Party) -> Status:
    return Status(stage.read(REGISTRY, "statusOf", party.address))


def test_a_party_is_accredited_by_two_of_three_stewards(stage: Stage) -> None:
    first, second, third = stage.stewards
    party = stage.registered()
    assert status(stage, party) is Status.REGISTERED
    epoch = stage.read(REGISTRY, "epoch")
    vote = stage.send(first, REGISTRY, "accredit", party.address)
    assert vote.only("VoteCast")["votes"] == 1
    assert not vote.all("ParticipantAccredited")
    with stage.refused("AlreadyVoted"):
        stage.send(first, REGISTRY, "accredit", party.address)
    with stage.refused("NotSteward"):
        stage.send(stage.outsider, REGISTRY, "accredit", party.address)
    with stage.refused("NotSteward"):
        stage.send(party, REGISTRY, "accredit", party.address)
    carried = stage.send(second, REGISTRY, "accredit", party.address)
    assert carried.only("ParticipantAccredited") == {"party": party.address, "steward": second.address}
    assert status(stage, party) is Status.ACCREDITED
    assert stage.read(REGISTRY, "epoch") == epoch + 1
    with stage.refused("WrongStatus"):
        stage.send(third, REGISTRY, "accredit", party.address)


def test_a_vote_for_one_change_is_none_for_another(stage: Stage) -> None:
    first, second, _ = stage.stewards
    party = stage.accredited()
    stage.send(first, REGISTRY, "suspend", party.address, "late")
    assert not stage.send(second, REGISTRY, "ban", party.address, "late").all("MotionCarried")
    assert status(stage, party) is Status.ACCREDITED


def test_a_member_is_suspended_reinstated_and_banned_for_ever(stage: Stage) -> None:
    party = stage.accredited()
    suspended = stage.carry(REGISTRY, "suspend", party.address, "unreachable since Monday")
    assert suspended.only("ParticipantSuspended")["reason"] == "unreachable since Monday"
    stage.carry(REGISTRY, "reinstate", party.address)
    assert status(stage, party) is Status.ACCREDITED
    stage.carry(REGISTRY, "ban", party.address, "left the consortium")
    assert stage.read(REGISTRY, "statusOf", party.address) == 4
    for method in ("accredit", "reinstate"):
        with stage.refused("WrongStatus"):
            stage.send(stage.stewards[0], REGISTRY, method, party.address)
    with stage.refused("PartyNotAccredited"):
        stage.propose([stage.accredited(), party])


def test_what_is_registered_is_read_back_and_unique(stage: Stage) -> None:
    party = stage.fund()
    done = stage.register(party, f"unique-{party.address[2:10].lower()}")
    name = done.only("ParticipantRegistered")["name"]
    found = stage.participant(party)
    assert (found["name"], found["endpoint"], found["strikes"]) == (name, "localhost:1", 0)
    assert (found["signer"], found["status"]) == (party.address, Status.REGISTERED)
    assert stage.read(REGISTRY, "addressOf", name) == party.address
    assert stage.read(REGISTRY, "certificateOf", party.address) == b"certificate of " + name.encode()
    other = stage.fund()
    with stage.refused("AlreadyRegistered"):
        stage.register(party, "again")
    with stage.refused("NameTaken"):
        stage.register(other, name)
    with stage.refused("NameInvalid"):
        stage.register(other, "")
    with stage.refused("CertificateTaken"):
        stage.send(other, REGISTRY, "register", "other", "x:1", b"certificate of " + name.encode(), b"k" * 32)
    with stage.refused("NotRegistered"):
        stage.send(other, REGISTRY, "setService", "x:1", b"c")
    service = stage.send(party, REGISTRY, "setService", "b.example:2", b"another certificate of " + name.encode())
    assert service.only("ServiceChanged")["endpoint"] == "b.example:2"
    stage.send(party, REGISTRY, "setEncryptionKey", b"e" * 32)
    assert stage.participant(party)["encryptionKey"] == b"e" * 32


def sign_rotation(stage: Stage, by: Party, party: Party, to: Party, *, nonce: int, deadline: int) -> bytes:
    """The present signer's consent by EIP-712, made with a library that knows the contract from its words alone."""
    message = {
        "types": {
            "EIP712Domain": [
                {"name": "name", "type": "string"},
                {"name": "version", "type": "string"},
                {"name": "chainId", "type": "uint256"},
                {"name": "verifyingContract", "type": "address"},
            ],
            "KeyRotation": [
                {"name": "party", "type": "address"},
                {"name": "newSigner", "type": "address"},
                {"name": "nonce", "type": "uint64"},
                {"name": "deadline", "type": "uint64"},
            ],
        },
        "primaryType": "KeyRotation",
        "domain": {
            "name": "fedchain",
            "version": "1",
            "chainId": stage.client.chain_id,
            "verifyingContract": stage.deployed.addresses[REGISTRY],
        },
        "message": {"party": party.address, "newSigner": to.address, "nonce": nonce, "deadline": deadline},
    }
    signed = EthAccount.sign_typed_data(by.key, full_message=message)
    return bytes(signed.signature)


def test_a_rotated_key_acts_for_the_party_and_the_old_one_for_nobody(stage: Stage) -> None:
    roster = stage.roster(2)
    party, successor, third = roster[1], stage.fund(), stage.fund()
    deadline = stage.now() + DAY

    def rotate(by: Party, to: Party, nonce: int) -> None:
        signature = sign_rotation(stage, by, party, to, nonce=nonce, deadline=deadline)
        done = stage.send(to, REGISTRY, "rotateKey", party.address, deadline, signature)
        assert done.only("KeyRotated") == {"party": party.address, "oldSigner": by.address, "newSigner": to.address}

    with stage.refused("RotationNotSigned"):
        rotate(successor, successor, 0)
    rotate(party, successor, 0)
    assert stage.read(REGISTRY, "signerOf", party.address) == successor.address
    assert stage.read(REGISTRY, "identify", successor.address) == (party.address, Status.ACCREDITED)
    assert stage.read(REGISTRY, "identify", party.address)[1] == Status.UNKNOWN
    job = stage.propose(roster)
    with stage.refused("NotOnRoster"):
        stage.send(party, "JobManager", "accept", job)
    accepted = stage.send(successor, "JobManager", "accept", job)
    assert accepted.only("JobAccepted")["party"] == party.address
    rotate(successor, third, 1)
    with stage.refused("KeyTaken"):
        rotate(third, successor, 2)
    with stage.refused("KeyTaken"):
        stage.register(successor, "successor")
    stage.advance(2 * DAY)
    with stage.refused("RotationExpired"):
        rotate(third, stage.fund(), 2)


def test_the_stewards_replace_themselves_and_open_votes_are_void(stage: Stage) -> None:
    first, second, third = stage.stewards
    party = stage.registered()
    stage.send(first, REGISTRY, "accredit", party.address)
    addresses = [one.address for one in (third, second, first)]
    epoch = stage.read("Stewards", "epoch")
    changed = stage.carry("Stewards", "change", addresses, 2)
    assert changed.only("StewardsChanged") == {"stewards": tuple(addresses), "threshold": 2, "epoch": epoch + 1}
    assert not stage.send(second, REGISTRY, "accredit", party.address).all("MotionCarried")
    assert stage.send(first, REGISTRY, "accredit", party.address).all("MotionCarried")
    with stage.refused("StewardsInvalid"):
        stage.send(first, "Stewards", "change", addresses, 4)
