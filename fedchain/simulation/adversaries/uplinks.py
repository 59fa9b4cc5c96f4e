"""Parties whose uplinks break the ledger's rules, that show two of one slot, or that are late."""

from __future__ import annotations

import hashlib
from dataclasses import replace

from fedchain.federation.spec import JobSpec
from fedchain.messages import Envelope
from fedchain.simulation.adversaries.party import Adversary, Random
from fedchain.types import Kind

TRAINING = (Kind.HISTOGRAM, Kind.PARTITION)


class EnvelopeAdversary(Adversary):
    """Changes one envelope, of the first round that it is due in."""

    def declares(self, envelope: Envelope) -> Envelope:
        """Another envelope, once."""
        if self.acted or envelope.kind not in TRAINING or envelope.round < self.begins:
            return envelope
        self.acted = True
        return self.changed(envelope)

    def changed(self, envelope: Envelope) -> Envelope:
        """What is declared instead."""
        return envelope


class WrongRound(EnvelopeAdversary):
    """An uplink for another round: one up to a thousand away."""

    def changed(self, envelope: Envelope) -> Envelope:
        """Another round."""
        away = round(self.log_uniform(1, 1000)) * int(self.random.choice((-1, 1)))
        self.amplitude["away"] = away
        return replace(envelope, round=envelope.round + (away if envelope.round + away > 0 else abs(away)))


class WrongKind(EnvelopeAdversary):
    """An uplink of a kind that is the active party's, another phase's, or that there is not."""

    def changed(self, envelope: Envelope) -> Envelope:
        """Another kind."""
        kinds = (Kind.GRADIENTS, Kind.SPLIT, Kind.LEAF_WEIGHTS, Kind.PUBLIC_KEY, Kind.BLINDED_IDS, Kind.SHARD_DIGEST)
        kind = Kind(int(self.random.choice([int(one) for one in kinds])))
        self.amplitude["kind"] = kind.name.lower()
        return replace(envelope, kind=kind)


class WrongSize(EnvelopeAdversary):
    """An uplink of more bytes than the job allows, by one up to all that can be said, or of none."""

    def __init__(self, random: Random, spec: JobSpec) -> None:
        super().__init__(random, spec)
        self._most = spec.policy.max_payload_bytes

    def changed(self, envelope: Envelope) -> Envelope:
        """Another size."""
        size = 0 if self.random.random() < 0.25 else self._most + round(self.log_uniform(1, 2**40))
        self.amplitude["size"] = size
        return replace(envelope, size=size)


class WrongAttempt(EnvelopeAdversary):
    """An uplink for an attempt that is not in force."""

    def changed(self, envelope: Envelope) -> Envelope:
        """A later attempt."""
        return replace(envelope, attempt=envelope.attempt + round(self.log_uniform(1, 1000)))


class TakenSlot(EnvelopeAdversary):
    """Sends a second payload into a slot of its that is taken: the ledger has both."""

    def __init__(self, random: Random, spec: JobSpec) -> None:
        super().__init__(random, spec)
        self.again: Envelope | None = None

    def changed(self, envelope: Envelope) -> Envelope:
        """The envelope stays; another digest for its slot follows."""
        self.again = replace(envelope, digest=hashlib.sha256(envelope.digest).digest())
        return envelope


class Equivocation(Adversary):
    """Has one digest judged and signs another for the same slot, which it shows to another party.

    They differ in one bit, or altogether; or in size alone beside the digest.
    """

    def __init__(self, random: Random, spec: JobSpec) -> None:
        super().__init__(random, spec)
        self.how = str(random.choice(("bit", "digest", "size")))
        self.amplitude["differs"] = self.how

    def shows(self, envelope: Envelope) -> Envelope | None:
        """The second envelope, once."""
        if self.acted or envelope.kind not in TRAINING or envelope.round < self.begins:
            return None
        self.acted = True
        if self.how == "bit":
            bit = int(self.random.integers(0, 256))
            number = int.from_bytes(envelope.digest, "big") ^ (1 << bit)
            return replace(envelope, digest=number.to_bytes(32, "big"))
        size = envelope.size + 1 if self.how == "size" else envelope.size
        return replace(envelope, digest=hashlib.sha256(envelope.digest).digest(), size=size)


class LateAnswers(Adversary):
    """Its uplinks come after the round's deadline: by a second up to an hour, in one round up to all from it on."""

    def __init__(self, random: Random, spec: JobSpec) -> None:
        super().__init__(random, spec)
        self.late = max(1, round(self.log_uniform(1, 3600)))
        self.times = round(self.log_uniform(1, 3))
        self.amplitude |= {"late_seconds": self.late, "times": self.times}
        self._left = self.times

    def late_seconds(self, round: int, limit: int) -> float | None:
        """Beyond the limit, so many times."""
        if round < self.begins or not self._left:
            return None
        self._left -= 1
        self.acted = True
        return limit + self.late
