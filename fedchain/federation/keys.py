"""First message of every party: fresh public keys for this job, and a share of the session salt."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass

from fedchain.crypto.elgamal import KeyPair, PublicKey
from fedchain.crypto.seal import SealingKey
from fedchain.data.idrules import DEFAULT_RULES
from fedchain.errors import InvalidPointError, ProtocolViolationError
from fedchain.federation.session import Keys
from fedchain.messages import PublicKey as PublicKeyMessage
from fedchain.protocol import Party, Send, gather, remember
from fedchain.types import PartyId

STEP = 0
SALT_BYTES = 32
COLUMNS = 2  # gradient and hessian of one output


@dataclass(frozen=True)
class JobKeys:
    """Keys of one job.

    Attributes:
        sealing: for payloads that are for fewer eyes than the consortium.
        gradient_pair: at the active party, else None.
        gradient_public: the active party's public gradient keys, one of two columns for each output.
        has_features: per party in roster order.
        checkpoints: digest of each party's shard of the model that the job continues, or empty; as announced.
    """

    sealing: Keys
    gradient_pair: KeyPair | None
    gradient_public: tuple[PublicKey, ...]
    has_features: tuple[bool, ...]
    checkpoints: dict[PartyId, bytes]


def exchange_keys(
    me: PartyId,
    roster: tuple[PartyId, ...],
    *,
    outputs: int,
    has_features: bool,
    checkpoint: bytes = b"",
    id_rules: bytes = DEFAULT_RULES.digest,
) -> Party[JobKeys]:
    """Publish own keys, whether this party brings features, and two digests; take the others'.

    All secrets are fresh in each job and come from the operating system; they are this party's own, remembered so that
    it can go on after a restart. Public keys and salts are public to the consortium.

    Args:
        me: this party.
        roster: all parties, in the job's order.
        outputs: of the model.
        has_features: whether this party brings any.
        checkpoint: digest of this party's shard of the model that a warm start continues; empty without one.
        id_rules: digest of the rules by which this party spelled its ids: no party goes on beside one with others.

    Raises:
        ProtocolViolationError: keys that are none, repeated, or not for this role, or ids spelled by other rules; names
            the sender.
    """
    active = roster[0]
    own = SealingKey.from_private((yield from remember("sealing_key", lambda: SealingKey.generate().private)))
    pair = None
    if me == active:
        secrets = yield from remember("gradient_keys", lambda: KeyPair.generate(COLUMNS * outputs).secret_bytes())
        pair = KeyPair.from_secret_bytes(secrets)
    gradient_keys = b"" if pair is None else pair.public.to_bytes()
    salt_share = yield from remember("salt", lambda: os.urandom(SALT_BYTES))
    message = PublicKeyMessage(own.public, salt_share, gradient_keys, has_features, checkpoint, id_rules)
    yield Send(message, STEP)
    others = yield from gather(PublicKeyMessage, STEP, tuple(party for party in roster if party != me))
    messages = {party: message if party == me else others[party] for party in roster}
    seen: set[bytes] = set()
    for party, each in messages.items():
        if each.sealing_key in seen:
            raise ProtocolViolationError(party, "uses the sealing key of another party")
        seen.add(each.sealing_key)
        if each.id_rules != id_rules:
            raise ProtocolViolationError(
                party,
                f"spelled its ids by other rules (digest {each.id_rules.hex()[:16]}…) than the job's "
                f"({id_rules.hex()[:16]}…); all parties need a fedchain that reads [alignment] alike",
            )
        if party != active and each.gradient_keys:
            raise ProtocolViolationError(party, "is passive but sent gradient keys")
    try:
        public = PublicKey.from_bytes(messages[active].gradient_keys, COLUMNS * outputs, active)
    except InvalidPointError as error:
        raise ProtocolViolationError(active, f"gradient keys: {error}") from error
    salt = hashlib.sha256(b"fedchain-session-1" + b"".join(each.salt for each in messages.values())).digest()
    sealing = Keys(me, salt, own.private, {str(party): each.sealing_key for party, each in messages.items()})
    by_output = tuple(PublicKey(public.points[COLUMNS * i : COLUMNS * (i + 1)]) for i in range(outputs))
    return JobKeys(
        sealing,
        pair,
        by_output,
        tuple(each.has_features for each in messages.values()),
        {party: each.checkpoint for party, each in messages.items()},
    )
