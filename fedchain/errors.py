"""Every error that fedchain raises on purpose. One tree; each says what is wrong, where, and what to do.

FedchainError
├── ConfigError               job.toml, node.toml, command line: the user can mend it
│   ├── CheckpointError       a warm start without its checkpoint, with another one, or one that does not fit the job
│   ├── UnknownJobError       no job of that id
│   └── UnknownModelError     no model of that name, or no such version of it
├── DataError                 a table, its columns, its labels
│   └── TableInUseError       a table that cannot be replaced now
├── AlignmentError            ids that cannot be aligned (empty intersection, duplicates …)
│   └── AlignmentPolicyError  this node's own policy refuses a peer's alignment; names the peer
├── TrainingError             a job that cannot go on for a reason of its own
├── ModelFormatError          a shard file that cannot be read
├── CryptoError
│   ├── InvalidPointError     bytes that are no point of the curve
│   ├── DecryptionRangeError  a plaintext outside the agreed range
│   ├── ProofError            a proof that does not hold
│   └── SealError             a sealed payload that does not open
├── DigestMismatchError       bytes that do not match their digest
├── MessageError              a payload that is not a canonical message of its kind
├── PeerError                 a peer misbehaved; names the culprit
│   ├── ForgedHistogramError  announced split and decrypted sums disagree
│   ├── StaleCiphertextError  a ciphertext that must be fresh came before
│   ├── ContributionError     what a party opened in an audit of contributions does not hold
│   ├── AskError              an ask that is not answered: forged, replayed, out of date or over its bounds
│   ├── TermsError            the terms on chain are not those that the job's spec names
│   ├── ReceiptError          an answer's receipt that does not hold: forged, replayed or stale
│   └── ProtocolViolationError
├── ChainError
│   ├── ChainUnreachableError
│   ├── WrongChainError       chain id or genesis is not the recorded one
│   ├── ContractMissingError  no code, or other code, at a recorded address
│   ├── TransactionError      reverted; carries the contract's typed error
│   │   └── QuotaExceededError  more rows asked for than this window's quota leaves
│   ├── NonceTakenError       another transaction of the same key was mined in the place of one
│   └── NotAccreditedError
├── UplinkRejectedError       the contract rejected an uplink; names sender and reason code
│   └── OvertakenError        an uplink of this party, because the active party went on before it was on the chain
├── PayloadUnavailableError   a sender does not serve bytes it committed to
├── DeliveryError             a recipient does not take an uplink that is delivered directly
├── AskRefusedError           a party does not answer a question of a finished job; carries a code
├── JobAbortedError           the job is Aborted on chain
├── RoundRolledBackError      a pipelined round is tried again: this party starts over from its last round
├── AuditError                an audit found something that does not match
├── StoppingError             this node stops; what it was doing goes on when it is started again
└── DeadlineError             nothing arrived in time; names who is waited for
"""

from __future__ import annotations

from datetime import datetime, timezone

from fedchain.types import AuditReason

_LAST_SECOND = 253_402_300_799
"""Of the year 9999: what a chain says beyond cannot be written as a date."""


class FedchainError(Exception):
    """Base of all: `str(error)` is one line that a user can act on."""

    exit_code = 1


class ConfigError(FedchainError):
    """A setting is wrong; the message names file, key, and remedy."""

    exit_code = 2


class CheckpointError(ConfigError):
    """A warm start's checkpoint is missing, is not the one that the job names, or does not fit the job."""


class UnknownJobError(ConfigError):
    """There is no job of that id: in the consortium, or at this node."""


class UnknownModelError(ConfigError):
    """There is no model of that name in the consortium, or no such version of it."""


class DataError(FedchainError):
    """A table does not hold what the job asks for; names file, line or column."""

    exit_code = 3


class TableInUseError(DataError):
    """The node's table cannot be replaced now: a job needs it as it is; names the jobs."""


class AlignmentError(FedchainError):
    """Ids cannot be aligned: empty intersection, duplicates, too few rows."""

    exit_code = 3


class AlignmentPolicyError(AlignmentError):
    """This node's own policy (`[alignment]` of node.toml) refuses to align with a peer.

    Attributes:
        peer: the peer's name.
    """

    def __init__(self, peer: str, what: str) -> None:
        super().__init__(f"party '{peer}' {what}")
        self.peer = peer


class TrainingError(FedchainError):
    """Training cannot go on for a reason of this party's own."""


class JobBoundError(TrainingError):
    """What the job needs is more than its own policy allows: the contract would reject it, so it is not sent."""


class ModelFormatError(FedchainError):
    """A model shard file is of another format, another version, or damaged."""


class CryptoError(FedchainError):
    """Base of what the crypto layer refuses."""


class InvalidPointError(CryptoError):
    """Bytes that are not a point of secp256k1, or the point at infinity where none may be."""


class ProofError(CryptoError):
    """A proof that does not show what it should."""


class DecryptionRangeError(CryptoError):
    """A decrypted sum lies outside the agreed range; never replaced by a guess."""


class SealError(CryptoError):
    """A sealed payload that was tampered with, or is not for this recipient or context."""


class DigestMismatchError(FedchainError):
    """Bytes whose Merkle digest is not the committed one."""


class OtherLeavesError(DigestMismatchError):
    """Hashes of a payload's chunks that are those of another payload.

    Attributes:
        root: digest of the payload that they are the hashes of, 32 bytes.
    """

    def __init__(self, what: str, root: bytes) -> None:
        super().__init__(what)
        self.root = root


class MessageError(FedchainError):
    """A payload that is not the canonical encoding of a message of its kind."""


class PeerError(FedchainError):
    """A peer broke the protocol.

    Attributes:
        culprit: the party's name.
    """

    def __init__(self, culprit: str, what: str) -> None:
        super().__init__(f"party '{culprit}': {what}")
        self.culprit = culprit


class ForgedHistogramError(PeerError):
    """Decrypted sums contradict what the label holder recomputes from announced rows."""


class StaleCiphertextError(PeerError):
    """A ciphertext that must be fresh was there before: replayed, copied from another party, or sent twice."""


class ContributionError(PeerError):
    """What a party opened in an audit of contributions does not lead to what it committed to, or was not opened.

    Attributes:
        reason: what an auditor's vote says on chain.
    """

    def __init__(self, culprit: str, reason: AuditReason, what: str) -> None:
        super().__init__(culprit, what)
        self.reason = reason


class AskError(PeerError):
    """An ask that is not answered: forged, replayed, of another model or epoch, or over its bounds."""


class TermsError(PeerError):
    """The active party set other terms for inference than the job's spec names, or none: nobody asks or answers."""


class ReceiptError(PeerError):
    """A receipt that does not hold: forged, replayed from another ask or answer, or stale."""


class ProtocolViolationError(PeerError):
    """A message out of shape: wrong sizes, unknown nodes, invalid points."""


class ChainError(FedchainError):
    """Base of what goes wrong with the chain."""

    exit_code = 4


class ChainUnreachableError(ChainError):
    """Nothing answers at the RPC address."""


class WrongChainError(ChainError):
    """The chain that answers is not the one recorded."""

    def __init__(self, what: str, expected: object, found: object) -> None:
        super().__init__(
            f"{what}: expected {expected}, found {found}; "
            "point --rpc at the recorded chain, or deploy anew to a new file"
        )
        self.expected = expected
        self.found = found


class ContractMissingError(ChainError):
    """No code, or other code, at an address that the deployment records."""


class TransactionError(ChainError):
    """A transaction reverted; `reason` is the contract's typed error."""

    def __init__(self, what: str, reason: str) -> None:
        super().__init__(f"{what} was refused by the contract: {reason}")
        self.reason = reason


class QuotaExceededError(TransactionError):
    """A requester may not have so many rows of a job any more in this window.

    Attributes:
        left: rows that it may still have.
        window_ends: when the next window begins, seconds since 1970 on the chain's clock.
    """

    exit_code = 1

    def __init__(self, job_id: str, left: int, window_ends: int) -> None:
        until = datetime.fromtimestamp(min(window_ends, _LAST_SECOND), timezone.utc).strftime("%Y-%m-%d %H:%M:%S UTC")
        super().__init__("InferenceRouter.reserve", f"the quota of job {job_id} leaves {left} rows until {until}")
        self.left = left
        self.window_ends = window_ends


class NonceTakenError(ChainError):
    """Another transaction of the same account was mined in the place of one: that one was not done."""


class NotAccreditedError(ChainError):
    """This party's address may not send uplinks (yet, or any more)."""


class UplinkRejectedError(FedchainError):
    """The contract judged an uplink and rejected it.

    Attributes:
        sender: the party's name.
        reason: the reason code's name, as in `UplinkLedger.Reason`.
    """

    exit_code = 5

    def __init__(self, sender: str, what: str, reason: str) -> None:
        super().__init__(f"uplink of party '{sender}' ({what}) was rejected by the contract: {reason}")
        self.sender = sender
        self.what = what
        self.reason = reason


class OvertakenError(UplinkRejectedError):
    """The active party began or retried a round while an uplink of this party was on its way; nobody is struck for it.

    Attributes:
        sender: the active party's name: whoever reads who ended the job should not take this party for it.
    """

    def __init__(self, active: str, what: str, reason: str) -> None:
        super().__init__(active, what, reason)
        self.args = (
            f"the active party '{active}' went on before an uplink of this party ({what}) was on the chain; it was "
            f"rejected there ({reason}), as nobody's fault",
        )


class PayloadUnavailableError(PeerError):
    """A sender does not serve the bytes that it committed to on chain."""


class DeliveryError(PeerError):
    """A recipient does not take an uplink that is delivered to it directly."""


class AskRefusedError(FedchainError):
    """A party does not answer a question of a finished job.

    Attributes:
        code: a word that says what to do about it.
        number: what belongs to the code, 0 if nothing does.
    """

    exit_code = 5

    def __init__(self, code: str, what: str, number: int = 0) -> None:
        super().__init__(what)
        self.code, self.number = code, number


class BusyError(AskRefusedError):
    """A party has too many questions of one requester under way; nothing was done, and it may be asked again."""

    def __init__(self, text: str) -> None:
        super().__init__("busy", text)


class JobAbortedError(FedchainError):
    """The job was aborted on chain; the message says by whom and why."""

    exit_code = 5


class JobExpiredError(JobAbortedError):
    """The job's time was over, or a party of it was suspended, and it was ended on chain; the message says which."""


class DeadlineError(FedchainError):
    """Nothing arrived in time; the message names what, and from whom.

    Attributes:
        who: names of those who were waited for, where they are known.
    """

    exit_code = 5
    who: tuple[str, ...] = ()

    def __init__(self, message: str, who: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.who = who


class AuditError(FedchainError):
    """Something in a job's record contradicts something else; the message names the first such thing."""


class StoppingError(FedchainError):
    """This node stops on request; jobs under way go on when it is started again."""


class RoundRolledBackError(FedchainError):
    """The active party tries a round of a pipelined job again; what this party did in it counts no more.

    Attributes:
        round: the round that is tried again.
        attempt: its new attempt.
    """

    def __init__(self, round: int, attempt: int) -> None:
        super().__init__(f"round {round} is tried again, attempt {attempt}")
        self.round, self.attempt = round, attempt
