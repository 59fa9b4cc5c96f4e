"""A party's side of a protocol is a generator: it yields actions and is fed what they bring.

The generator touches no socket, file, clock or chain. A driver carries its actions out: one over an in-memory
channel (`fedchain.simulation`), one over the chain exchange (`fedchain.node`). Idea: httpx `Auth.auth_flow`.

| action             | the driver                                                           | is answered with        |
|--------------------|----------------------------------------------------------------------|-------------------------|
| Stage              | shows progress                                                       | None                    |
| BeginRound         | active party: opens the round; passive party: waits until it is open | None                    |
| CloseRound         | pipelined jobs: commits the round; the next action in the job waits  | None                    |
| Send               | uplinks the message; returns once its verdict is *accepted*          | None                    |
| Receive            | waits for the accepted uplink in that slot                           | the message             |
| Gather             | the same from several senders                                        | {sender: message}       |
| DeclareAligned     | declares the aligned order; waits until all parties have             | None                    |
| DeclareStop        | declares the stopping condition met; waits until all parties have    | None                    |
| RecordContribution | writes the shares to the contribution ledger                         | None                    |
| Flag               | has the anomaly record flag a statistic; the party goes on in any case | None                  |
| ReadRecord         | looks at what the ledger has                                         | `RecordContribution`    |
| CommitLabels       | active party, before round 1: commits the held-out labels for audit  | None                    |
| Freeze             | commits this party's outputs, shard and seed                         | None                    |
| PostLosses         | active party: puts the sums of all losses on record                  | None                    |
| RevealSeed         | shows the seed that `Freeze` committed to                            | None                    |
| Vote               | passive party: says whether the audit found the record sound         | None                    |
| AwaitAudit         | waits until the audit has come so far, or its time for that is over  | `AuditState`            |
| Conclude           | ends the audit, unless somebody else has; waits until it has ended   | `AuditState`            |
| Keep               | stores the outcome where a crash does not reach it                   | None                    |
| Remember           | keeps bytes that are made once, a secret for example                 | the bytes               |
| Checkpoint         | keeps the state from which a restarted party goes on                 | None                    |
| Recall             | looks for such a state                                               | bytes, or None          |

Messages are `msgspec.Struct`s of `fedchain.messages`; their class fixes the uplink's kind. The round in force is the
driver's: alignment is round 0, each tree is a round, evaluation is the round after the last tree.

A party may be killed at any moment. Its driver then runs a new generator of the same party from the start: what it
remembered is there again, `Recall` lets it skip what lies before its last checkpoint, messages are received once more,
and a `Send` into a slot for which something is recorded sends the recorded bytes. So a generator makes all its secrets
by `Remember`, and everything else that it sends follows from them, its table, the spec and what it received, but for
randomness that nobody needs to find again: masks, nonces, salts of commitments.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar, Union

from fedchain.messages.base import Message
from fedchain.protocol.audits import AuditState, LabelTerms
from fedchain.types import PartyId

M = TypeVar("M", bound=Message)


@dataclass(frozen=True)
class Stage:
    """Progress for whoever watches: nothing is sent.

    Attributes:
        name: `align`, `train`, `contribution`, `audit`, `shard` or `predict`.
        done: how many of `total` are done.
        detail: free text that reveals nothing of rows.
    """

    name: str
    done: int = 0
    total: int = 0
    detail: str = ""


@dataclass(frozen=True)
class BeginRound:
    """The party is about to work on this round (>= 1). The active party's driver opens it."""

    round: int


@dataclass(frozen=True)
class CloseRound:
    """The party has done its part of a round (>= 1) and got all it needs of it.

    In a strict job that is all. In a pipelined one, messages so far were taken on their senders' signatures: the driver
    now commits this party's own uplinks of the round. The party may compute on; nothing more is sent or taken, and no
    checkpoint of the round is kept, until these uplinks and all that it took are accepted.

    Attributes:
        round: which.
        last: whether no further round follows.
    """

    round: int
    last: bool


@dataclass(frozen=True)
class Send:
    """Uplink `message` in this step of the round.

    Attributes:
        message: what to send.
        step: number within the round; with sender, recipient and kind it is the slot.
        recipient: one party, or None for the whole roster.
        statistic_e6: declared statistic, 0 but for contributions.
    """

    message: Message
    step: int
    recipient: PartyId | None = None
    statistic_e6: int = 0


@dataclass(frozen=True)
class Receive:
    """Wait for `sender`'s accepted message of type `message_type` in this step.

    `to_me` says whether it is addressed to this party alone (True) or to the whole roster (False). With
    `within_seconds` the answer is None for a message that does not come by then, is malformed, or not what its sender
    committed to.
    """

    message_type: type[Message]
    step: int
    sender: PartyId
    to_me: bool = False
    within_seconds: float | None = None


@dataclass(frozen=True)
class Gather:
    """Wait for a message from each of `senders`; answered with a dict in that order."""

    message_type: type[Message]
    step: int
    senders: tuple[PartyId, ...]
    to_me: bool = False


@dataclass(frozen=True)
class DeclareAligned:
    """Declare the aligned order: 32-byte digest of the order, and the number of rows."""

    order_digest: bytes
    rows: int


@dataclass(frozen=True)
class DeclareStop:
    """Declare that this party's stopping condition is met after `round`."""

    round: int


@dataclass(frozen=True)
class RecordContribution:
    """Write shares (scale 1e6, roster order) and the utilities of nobody and of all to the contract."""

    shares_e6: tuple[int, ...]
    utility_full_e6: int
    utility_empty_e6: int


@dataclass(frozen=True)
class ReadRecord:
    """Look at what the contribution ledger has of the job: answered with a `RecordContribution`, or None."""


AuditStage = Literal["labels", "frozen", "posted", "seeded", "voted"]
"""How far an audit of contributions has come: labels committed; everybody has frozen; losses posted; seed known;
every passive party has voted."""


@dataclass(frozen=True)
class CommitLabels:
    """Active party: commit to the held-out labels, and to what an audit opens, before the first round begins."""

    terms: LabelTerms


@dataclass(frozen=True)
class Freeze:
    """Commit to this party's outputs on the held-out rows, to its shard, and to its part of the seed; waits for nobody.

    Attributes:
        outputs: 32 bytes; what they commit to is told in `fedchain.federation.auditing`.
        shard: digest of the shard, 32 bytes.
        seed: 32 bytes; only a digest of it, the job and the party is told to others.
    """

    outputs: bytes
    shard: bytes
    seed: bytes = field(repr=False)


@dataclass(frozen=True)
class PostLosses:
    """Active party: put the losses on record, from which the contract computes the shares. All have frozen by then.

    Attributes:
        root: of the loss tree, 32 bytes.
        sums: sum of the losses of all held-out rows per coalition; index = bit mask over roster positions.
        weak: bit mask over roster positions: who failed the free-rider test.
    """

    root: bytes
    sums: tuple[int, ...]
    weak: int


@dataclass(frozen=True)
class RevealSeed:
    """Show this party's part of the seed; only after the losses are posted."""

    seed: bytes = field(repr=False)


@dataclass(frozen=True)
class Vote:
    """Passive party: whether what was opened is sound, and the number of the reason (`AuditReason`), 0 where it is."""

    sound: bool
    reason: int


@dataclass(frozen=True)
class AwaitAudit:
    """Wait until the audit has come so far; answered with its state.

    Nothing replaces labels and frozen outputs: where they do not come, the job ends. Losses, seed and votes have their
    window: once that is over, the answer is the state without them.
    """

    stage: AuditStage


@dataclass(frozen=True)
class Conclude:
    """End the audit: by then all have voted, or the time is over. Answered with the state, which has its outcome."""


@dataclass(frozen=True)
class Flag:
    """Active party: a passive party's decrypted histogram is unlike those before it. Public; an accusation of nobody.

    Attributes:
        party: whose histogram of the round in force it is.
        step: in which it came.
        statistic_e6: log-norm of its gradient sums, scale 1e6.
        score_e6: its robust score (`fedchain.anomaly.robust`), scale 1e6.
    """

    party: PartyId
    step: int
    statistic_e6: int
    score_e6: int


@dataclass(frozen=True)
class Keep:
    """Store the party's outcome before its digest is sent: what was committed to must outlive a crash.

    Private to the party.
    """

    outcome: object = field(repr=False)


@dataclass(frozen=True)
class Remember:
    """Bytes that a restarted party finds again: made once, kept until the job has ended. Private to the party.

    Attributes:
        name: within the job; a-z, 0-9 and `_`.
        make: makes them where there are none yet.
    """

    name: str
    make: Callable[[], bytes] = field(repr=False)


@dataclass(frozen=True)
class Checkpoint:
    """Keep the state from which this party goes on after a restart, in place of an earlier one of that name.

    Private to the party.

    Attributes:
        name: a-z, 0-9 and `_`.
        state: what `Recall` gives back.
        round: after which the state is; a round that is rolled back takes the states of it and of later rounds along.
    """

    name: str
    state: bytes = field(repr=False)
    round: int = 0


@dataclass(frozen=True)
class Recall:
    """The state that was kept under a name, None if there is none."""

    name: str


Action = Union[
    Stage,
    BeginRound,
    CloseRound,
    Send,
    Receive,
    Gather,
    DeclareAligned,
    DeclareStop,
    RecordContribution,
    ReadRecord,
    Flag,
    CommitLabels,
    Freeze,
    PostLosses,
    RevealSeed,
    Vote,
    AwaitAudit,
    Conclude,
    Keep,
    Remember,
    Checkpoint,
    Recall,
]

T = TypeVar("T")
Party = Generator[Action, Any, T]
"""A party's generator that ends with a value of type T."""


def receive(message_type: type[M], step: int, sender: PartyId, *, to_me: bool = False) -> Party[M]:
    """Typed form of `Receive`: ``message = yield from receive(...)``."""
    message = yield Receive(message_type, step, sender, to_me)
    assert isinstance(message, message_type)
    return message


def receive_or_none(message_type: type[M], step: int, sender: PartyId, seconds: float) -> Party[M | None]:
    """As `receive`; None where it does not come within so many seconds, or cannot be read."""
    message = yield Receive(message_type, step, sender, within_seconds=seconds)
    assert message is None or isinstance(message, message_type)
    return message


def gather(
    message_type: type[M], step: int, senders: Sequence[PartyId], *, to_me: bool = False
) -> Party[dict[PartyId, M]]:
    """Typed form of `Gather`: ``by_sender = yield from gather(...)``, in the order of `senders`."""
    messages = yield Gather(message_type, step, tuple(senders), to_me)
    assert all(isinstance(messages[s], message_type) for s in senders)
    return {s: messages[s] for s in senders}


def remember(name: str, make: Callable[[], bytes]) -> Party[bytes]:
    """Typed form of `Remember`: ``secret = yield from remember(...)``."""
    remembered = yield Remember(name, make)
    assert isinstance(remembered, bytes)
    return remembered


def recall(name: str) -> Party[bytes | None]:
    """Typed form of `Recall`: ``state = yield from recall(...)``."""
    state = yield Recall(name)
    assert state is None or isinstance(state, bytes)
    return state


def await_audit(stage: AuditStage) -> Party[AuditState]:
    """Typed form of `AwaitAudit`: ``state = yield from await_audit(...)``."""
    state = yield AwaitAudit(stage)
    assert isinstance(state, AuditState)
    return state


def conclude() -> Party[AuditState]:
    """Typed form of `Conclude`: ``state = yield from conclude()``."""
    state = yield Conclude()
    assert isinstance(state, AuditState)
    return state


def read_record() -> Party[RecordContribution | None]:
    """Typed form of `ReadRecord`: ``record = yield from read_record()``."""
    record = yield ReadRecord()
    assert record is None or isinstance(record, RecordContribution)
    return record
