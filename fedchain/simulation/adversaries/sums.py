"""Parties that send other sums than those of their rows."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from fedchain.compute.executor import Executor
from fedchain.crypto.ciphertexts import CipherRows, CipherSums
from fedchain.crypto.elgamal import PublicKey, public_encrypt
from fedchain.crypto.points import PointArray, concat
from fedchain.federation.spec import JobSpec
from fedchain.messages import Gradients, Histogram, Message, decode
from fedchain.messages import PublicKey as PublicKeyMessage
from fedchain.messages.training import FeatureGroups
from fedchain.protocol import Gather, Receive, Send
from fedchain.simulation.adversaries.party import Adversary, Random, with_message
from fedchain.simulation.channel import Slot
from fedchain.training.boosting.merging import FOLDED_MISSING, NO_MISSING, OWN_MISSING
from fedchain.types import Kind

COLUMNS = 2
ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
POINT_BYTES = 33
ROW_POINT_BYTES = 65

_ALONE = Executor(1)


class HistogramAdversary(Adversary):
    """Changes its histograms from a round on."""

    def sends(self, action: Send) -> Send:
        """Another histogram, once it is due."""
        message = action.message
        if isinstance(message, Histogram) and message.sums and self.is_due:
            changed = self.changed(message)
            self.acted |= changed != message
            return with_message(action, changed)
        return action

    def changed(self, message: Histogram) -> Histogram:
        """What is sent instead."""
        return message

    def some(self, total: int) -> NDArray[np.int64]:
        """Places of ciphertexts: a share of them that was drawn, at least one."""
        count = max(1, round(total * float(self.amplitude["share"])))
        return np.sort(self.random.choice(total, count, replace=False)).astype(np.int64)


class _Multiplied(HistogramAdversary):
    """Ciphertexts times a number: of all sums, down to a single one."""

    factor = 1

    def __init__(self, random: Random, spec: JobSpec) -> None:
        super().__init__(random, spec)
        self.amplitude["share"] = self.log_uniform(0.001, 1.0)

    def changed(self, message: Histogram) -> Histogram:
        """Some sums times the factor."""
        sums = sums_of(message)
        places = self.some(len(sums))
        self.evidence.append(sums[places])
        columns = [_replaced(column, places, column[places].multiply(self.factor, _ALONE)) for column in _all(sums)]
        return with_sums(message, columns)


class ScaledHistograms(_Multiplied):
    """Some sums, from a single one to all, times 2 to 1000."""

    def __init__(self, random: Random, spec: JobSpec) -> None:
        super().__init__(random, spec)
        self.factor = round(self.log_uniform(2, 1000))
        self.amplitude["factor"] = self.factor


class SignFlippedHistograms(_Multiplied):
    """Some sums, from a single one to all, times -1."""

    factor = ORDER - 1


class MovedSums(HistogramAdversary):
    """Moves an amount from one group of a feature to another, so that every total holds: 1 unit up to 2^20.

    It can gain by it only where its split wins, and then the announced rows do not sum to what it sent.
    """

    def __init__(self, random: Random, spec: JobSpec) -> None:
        super().__init__(random, spec)
        self.amount = round(self.log_uniform(1, 2**20))
        self.amplitude["amount"] = self.amount
        self._key: PublicKey | None = None

    def takes(self, action: Receive | Gather, message: Message) -> Message:
        """The active party's public key is public."""
        if isinstance(message, PublicKeyMessage) and message.gradient_keys:
            self._key = PublicKey.from_bytes(message.gradient_keys[: POINT_BYTES * COLUMNS], COLUMNS, "active")
        return message

    def changed(self, message: Histogram) -> Histogram:
        """The same totals, with a gradient moved within each feature of two groups or more."""
        assert self._key is not None
        sums = sums_of(message)
        change = np.zeros((len(sums), COLUMNS), dtype=np.int64)
        for first, width in _features(message):
            if width > 1:
                one, other = first + self.random.choice(width, 2, replace=False)
                change[one, 0], change[other, 0] = self.amount, -self.amount
        if not change.any():
            return message
        other_sums = public_encrypt(self._key, change, _ALONE)
        columns = [one.add(two, _ALONE) for one, two in zip(_all(sums), _all(other_sums), strict=True)]
        return with_sums(message, columns)


class DroppedRows(Adversary):
    """Leaves rows out of its sums: a single one, up to half of those that train.

    With GOSS some of them are encryptions of zero: who leaves out only such changes no sum, and has done nothing.
    """

    def __init__(self, random: Random, spec: JobSpec) -> None:
        super().__init__(random, spec)
        self.dropped = self.log_uniform(0.001, 0.5)
        self.amplitude |= {"share": self.dropped, "goss": float(spec.algorithm.goss_top is not None)}

    def takes(self, action: Receive | Gather, message: Message) -> Message:
        """Gradients of fewer rows than came."""
        if not isinstance(message, Gradients) or not self.is_due or message.rows < 2:
            return message
        self.acted = True
        drop = self.random.choice(message.rows, max(1, round(self.dropped * message.rows)), replace=False)
        columns = len(message.ciphertexts) // (message.rows * ROW_POINT_BYTES) - 1
        rows = CipherRows.from_bytes(message.ciphertexts, message.rows, columns, "active", _ALONE)
        self.evidence.append(rows[np.sort(drop)])
        keep = np.setdiff1d(np.arange(message.rows), drop)
        bits = np.unpackbits(np.frombuffer(message.row_bits, dtype=np.uint8), bitorder="little")
        bits[np.flatnonzero(bits)[drop]] = 0
        cells = np.frombuffer(message.ciphertexts, dtype=np.uint8).reshape(-1, message.rows, ROW_POINT_BYTES)
        return Gradients(
            message.routed_bits,
            np.packbits(bits, bitorder="little").tobytes(),
            len(keep),
            np.ascontiguousarray(cells[:, keep]).tobytes(),
        )


class ReplayedRound(HistogramAdversary):
    """Sends its histograms of the round before again, in the same steps."""

    def __init__(self, random: Random, spec: JobSpec) -> None:
        super().__init__(random, spec)
        self.begins = int(random.integers(2, spec.max_rounds + 1))
        self.amplitude = {"begins": self.begins}
        self._before: dict[int, Histogram] = {}
        self._latest: dict[int, Histogram] = {}
        self._latest_round = 0

    def sends(self, action: Send) -> Send:
        """The histogram that it sent in this step a round ago, if it did."""
        message = action.message
        if not isinstance(message, Histogram):
            return action
        if self.round != self._latest_round:
            self._before, self._latest, self._latest_round = self._latest, {}, self.round
        earlier = self._before.get(action.step)
        if self.is_due and earlier is not None and earlier.sums:
            message, self.acted = earlier, True
        self._latest[action.step] = message
        return with_message(action, message)


class CopiedHistograms(HistogramAdversary):
    """Sends what another passive party has sent in the same step."""

    def __init__(self, random: Random, spec: JobSpec) -> None:
        super().__init__(random, spec)
        self._seen: dict[tuple[int, int], Histogram] = {}

    def place(self, passive: int) -> int:
        """The last, who is asked after the others."""
        return passive - 1

    def sees(self, slot: Slot, payload: bytes) -> None:
        """Payloads on the chain are public."""
        if slot.kind is Kind.HISTOGRAM:
            self._seen[slot.round, slot.step] = decode(payload, Histogram)

    def sends(self, action: Send) -> Send:
        """Another's histogram, where there is one."""
        copied = self._seen.get((self.round, action.step))
        if isinstance(action.message, Histogram) and self.is_due and copied is not None and copied.sums:
            self.acted = True
            return with_message(action, copied)
        return action


class LazyConstantAnswers(HistogramAdversary):
    """Spares itself the sums: one group for each feature, with everything in it. From the first round on.

    Every total holds, no split of its ever wins: all its rows are alike.
    """

    def __init__(self, random: Random, spec: JobSpec) -> None:
        super().__init__(random, spec)
        self.begins = 1
        self.amplitude = {"begins": 1}

    def changed(self, message: Histogram) -> Histogram:
        """Each feature in one group."""
        sums = sums_of(message)
        groups: list[tuple[FeatureGroups, ...]] = []
        parts: list[list[PointArray]] = []
        features = iter(_features(message))
        for node, of_node in zip(message.nodes, message.groups, strict=True):
            told: list[FeatureGroups] = []
            for sizes, missing in of_node:
                first, width = next(features)
                if not width:
                    told.append((sizes, missing))
                    continue
                folded = FOLDED_MISSING if missing != NO_MISSING and node == 0 else NO_MISSING
                told.append((bytes([sum(sizes)]) if node == 0 else b"\1", folded))
                parts.append([_added(column[first : first + width]) for column in _all(sums)])
            groups.append(tuple(told))
        columns = [concat([part[number] for part in parts]) for number in range(1 + COLUMNS)]
        return with_sums(msgspec.structs.replace(message, groups=tuple(groups)), columns)


class LaterLazyAnswers(LazyConstantAnswers):
    """The same from a round on that is drawn: the trees before have real splits of its."""

    def __init__(self, random: Random, spec: JobSpec) -> None:
        super().__init__(random, spec)
        self.begins = int(random.integers(2, spec.max_rounds + 1))
        self.amplitude = {"begins": self.begins}


class GarbagePoints(HistogramAdversary):
    """Some points, from one to all, are random bytes, on no curve, at infinity, other points, or others' places."""

    def __init__(self, random: Random, spec: JobSpec) -> None:
        super().__init__(random, spec)
        self.garbage = str(random.choice(("bytes", "off_curve", "infinity", "points", "swapped")))
        self.amplitude |= {"garbage": self.garbage, "share": self.log_uniform(0.001, 1.0)}

    def changed(self, message: Histogram) -> Histogram:
        """Some points replaced."""
        cells = np.frombuffer(message.sums, dtype=np.uint8).reshape(-1, POINT_BYTES).copy()
        places = self.some(len(cells))
        if self.garbage == "bytes":
            cells[places] = self.random.integers(0, 256, (len(places), POINT_BYTES))
        elif self.garbage == "off_curve":
            cells[places] = np.frombuffer(bytes([2]) + bytes(31) + bytes([5]), dtype=np.uint8)  # x = 5 is on no point
        elif self.garbage == "infinity":
            cells[places] = 0
        elif self.garbage == "points":
            scalars = [int(one) for one in self.random.integers(2**40, 2**62, len(places))]
            base = sums_of(message).c1[:1]
            made = concat([base.multiply(one, _ALONE) for one in scalars])
            cells[places] = np.frombuffer(made.to_sec1(compressed=True), dtype=np.uint8).reshape(-1, POINT_BYTES)
        else:
            cells = np.roll(cells, len(cells) // (1 + COLUMNS), axis=0)  # c1 where a column belongs
        return msgspec.structs.replace(message, sums=cells.tobytes())


def sums_of(message: Histogram) -> CipherSums:
    """The ciphertexts of a histogram of its own."""
    count = len(message.sums) // (POINT_BYTES * (1 + COLUMNS))
    return CipherSums.from_bytes(message.sums, count, COLUMNS, "itself", _ALONE)


def with_sums(message: Histogram, columns: Sequence[PointArray]) -> Histogram:
    """The histogram of other ciphertexts: first components, then the columns."""
    return msgspec.structs.replace(message, sums=CipherSums(columns[0], tuple(columns[1:])).to_bytes())


def _all(ciphertexts: CipherSums | CipherRows) -> tuple[PointArray, ...]:
    return (ciphertexts.c1, *ciphertexts.c2)


def _features(message: Histogram) -> list[tuple[int, int]]:
    """Place of the first ciphertext and number of them, per node and feature."""
    found, first = [], 0
    for of_node in message.groups:
        for sizes, missing in of_node:
            width = len(sizes) + (missing == OWN_MISSING)
            found.append((first, width))
            first += width
    return found


def _replaced(points: PointArray, places: NDArray[np.int64], others: PointArray) -> PointArray:
    structs = points.structs.copy()
    structs[places] = others.structs
    return PointArray(structs)


def _added(points: PointArray) -> PointArray:
    total = points[:1]
    for place in range(1, len(points)):
        total = total.add(points[place : place + 1], _ALONE)
    return total
