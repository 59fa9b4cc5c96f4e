"""Messages of online and bulk inference: they go straight from party to party and are signed by their sender.

A row is named by its request tag, which the two parties of a pair alone can make (`Session.request_tags`); who does not
hold the row gets a decoy of the same size. Bits come in one of two forms, as the ask says:

- *rows*: row after row, each in whole bytes, little-endian bit order (`pack_bits`);
- *planes*: leaf after leaf, each in ceil(rows / 8) bytes, little-endian bit order (`Planes`).

Whether a tag was found shows nowhere in an answer: a row that is not found has the answerer's default bits.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from fedchain.messages.base import Wire

TAG_BYTES = 16
NONCE_BYTES = 16
MAX_ASK_ROWS = 65_536
MAX_ROW_FORM = 4096
"""Rows of an ask whose bits come row after row: that form takes more memory and time to make."""
MAX_BITS_BYTES = 2**28
"""Of one ask or answer; `rows_within` tells how many rows that is."""
MAX_SERIAL = 2**62
MAX_OUTPUTS = 64
MAX_ROSTER = 8

Bytes16 = Annotated[bytes, msgspec.Meta(min_length=16, max_length=16)]
Bytes20 = Annotated[bytes, msgspec.Meta(min_length=20, max_length=20)]
Bytes32 = Annotated[bytes, msgspec.Meta(min_length=32, max_length=32)]
Signature = Annotated[bytes, msgspec.Meta(min_length=65, max_length=65)]
Serial = Annotated[int, msgspec.Meta(ge=0, le=MAX_SERIAL)]
RowCount = Annotated[int, msgspec.Meta(ge=1, le=MAX_ASK_ROWS)]
Milliseconds = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
BitBytes = Annotated[bytes, msgspec.Meta(max_length=MAX_BITS_BYTES)]


class Ask(Wire, frozen=True, kw_only=True):
    """Requester to answerer: your leaf bits of these rows.

    Reveals to the answerer which of its own rows are asked for, how many rows are asked for, and when.

    Attributes:
        job: id of the job, 32 bytes.
        requester, answerer: addresses of the two parties.
        epoch: of the tags.
        first_serial: serial of the first row; the others follow. Each serial is used once.
        tags: 16 bytes per row, 1 to 65,536 rows; random ones for rows that the answerer does not hold.
        model: digest of the whole model (`model_digest`), 32 bytes.
        nonce: 16 random bytes, so that no two asks have one digest.
        planes: which form the bits are to have.
        signature: of `ask_digest`, 65 bytes.
    """

    job: Bytes32
    requester: Bytes20
    answerer: Bytes20
    epoch: Serial
    first_serial: Serial
    tags: Annotated[bytes, msgspec.Meta(min_length=TAG_BYTES, max_length=TAG_BYTES * MAX_ASK_ROWS)]
    model: Bytes32
    nonce: Bytes16
    planes: bool = False
    signature: Signature

    @property
    def rows(self) -> int:
        """Number of rows; tags beyond a whole number of them are refused by `check_ask`."""
        return len(self.tags) // TAG_BYTES


class ScoreAsk(Ask, frozen=True, kw_only=True):
    """Passive requester to the active party: the scores of these rows.

    Reveals to the active party the rows asked for and the requester's decisions on them; those that the active party
    would see in any request.

    Attributes:
        bits: the requester's own leaf bits of the rows, in the form that `planes` says.
        explain: whether the parties' contributions to each score are wanted.
    """

    bits: BitBytes
    explain: bool = False


class Answer(Wire, frozen=True, kw_only=True):
    """Answerer to requester: leaf bits of the rows, in the order asked for.

    Reveals to the active party, which alone asks for bits, the answerer's decisions on these rows.

    Attributes:
        first_serial, rows: of the ask.
        bits: in the form that the ask says.
        time_ms: when it was answered, milliseconds since 1970 by the answerer's clock.
        signature: of `receipt_digest`, 65 bytes: the receipt.
    """

    first_serial: Serial
    rows: RowCount
    bits: BitBytes
    time_ms: Milliseconds
    signature: Signature


class Receipt(Wire, frozen=True, kw_only=True):
    """That an answerer gave one answer: what remains of it. Shows no id, no tag and no bit.

    Attributes:
        job: id of the job.
        requester, answerer: addresses.
        first_serial, rows: of the ask.
        ask: digest of the ask (`ask_digest`).
        content: digest of what was answered (`content_digest`).
        time_ms: of the answer.
        signature: of `receipt_digest` by the answerer's key.
    """

    job: Bytes32
    requester: Bytes20
    answerer: Bytes20
    first_serial: Serial
    rows: RowCount
    ask: Bytes32
    content: Bytes32
    time_ms: Milliseconds
    signature: Signature


class ScoreAnswer(Wire, frozen=True, kw_only=True):
    """Active party to a passive requester. Reveals to it the scores, and which rows others did not hold or answer.

    Attributes:
        first_serial, rows: of the ask.
        outputs: scores per row.
        scores: float64 little-endian, row after row; not-a-number for rows flagged as unknown.
        flags: one byte per row (`fedchain.inference.asking.Flag`).
        base: where contributions are given, the score's margin with nobody's decisions: float64 per output; else empty.
        contributions: where the job allows them and they were asked for, per row, party of the roster, and output, what
            the party's decisions add to the margin: float64; else empty.
        receipts: of the passive parties that the active party asked.
        time_ms: when it was answered.
        signature: of `receipt_digest`, 65 bytes: the active party's receipt.
    """

    first_serial: Serial
    rows: RowCount
    outputs: Annotated[int, msgspec.Meta(ge=1, le=MAX_OUTPUTS)]
    scores: Annotated[bytes, msgspec.Meta(max_length=8 * MAX_OUTPUTS * MAX_ASK_ROWS)]
    flags: Annotated[bytes, msgspec.Meta(max_length=MAX_ASK_ROWS)]
    base: Annotated[bytes, msgspec.Meta(max_length=8 * MAX_OUTPUTS)] = b""
    contributions: BitBytes = b""
    receipts: Annotated[tuple[Receipt, ...], msgspec.Meta(max_length=MAX_ROSTER)] = ()
    time_ms: Milliseconds
    signature: Signature


def rows_within(bits: int) -> int:
    """How many rows of so many leaf bits each may go in one ask: at most 65,536, in either form."""
    per_eight_rows = 8 * max(1, -(-bits // 8))
    return max(8, min(MAX_ASK_ROWS, MAX_BITS_BYTES // per_eight_rows * 8))


def most_rows(bits: int, planes: bool) -> int:
    """How many rows a requester puts in one ask. An answerer takes one more in the row form: a decoy may go with them.

    Args:
        bits: leaf bits of a row of the party that has the most.
        planes: which form.
    """
    return rows_within(bits) if planes else min(MAX_ROW_FORM, rows_within(bits)) - 1
