"""Messages of sample alignment: of the ring, and of the alignment with a cached set."""

from __future__ import annotations

from typing import Annotated, ClassVar

import msgspec

from fedchain.messages.base import Message
from fedchain.types import Kind

Bytes32 = Annotated[bytes, msgspec.Meta(min_length=32, max_length=32)]
MAX_IDS = 20_000_000
MAX_CHUNKS = 2**16


class PublicKey(Message, frozen=True):
    """A party's public keys for this job, fresh for each job. Public to the consortium.

    Attributes:
        sealing_key: X25519 public key that others seal to.
        salt: this party's share of the session salt.
        gradient_keys: the active party's ElGamal public keys (33-byte SEC1 each, joined), empty for passive ones.
        has_features: whether the party brings feature columns, so that all know whose turn a tree is.
        checkpoint: digest of the sender's shard of the model that a warm start continues; empty without one.
        id_rules: digest of the rules by which the sender spelled its ids (`fedchain.data.idrules`).
    """

    kind: ClassVar[Kind] = Kind.PUBLIC_KEY

    sealing_key: Bytes32
    salt: Bytes32
    gradient_keys: Annotated[bytes, msgspec.Meta(max_length=33 * 64)]
    has_features: bool
    checkpoint: Annotated[bytes, msgspec.Meta(max_length=32)]
    id_rules: Bytes32


class IdSet(Message, frozen=True):
    """What a party commits to before any blinded id of anybody goes out: its set's size and chunks.

    Public to the consortium; reveals the number of ids, after padding where the job asks for it.

    Attributes:
        count: number of ids, with padding.
        chunk_ids: ids in each chunk but the last.
        commitments: SHA-256 of each chunk of blinded ids, 32 bytes each, joined.
        blinding_key: the secret of the blinding times G (33-byte SEC1) where the job wants blindings proven; else
            empty.
    """

    kind: ClassVar[Kind] = Kind.BLINDED_IDS

    count: Annotated[int, msgspec.Meta(ge=1, le=MAX_IDS)]
    chunk_ids: Annotated[int, msgspec.Meta(ge=1, le=MAX_IDS)]
    commitments: Annotated[bytes, msgspec.Meta(max_length=32 * MAX_CHUNKS)]
    blinding_key: Annotated[bytes, msgspec.Meta(max_length=33)]


class BlindedIds(Message, frozen=True):
    """A chunk of one party's id set, blinded by one party or more.

    Attributes:
        origin: roster index of the party whose ids these are.
        blindings: by how many parties they are blinded.
        count: number of ids in the chunk.
        points: `count` uncompressed SEC1 points (65 bytes each), or, once all parties have blinded, `count` tags
            of 16 bytes. Where the job wants blindings proven, points even then.
        proof: that the sender put its announced secret on all of them (64 bytes), where the job wants that, and where
            another party blinded before; else empty.
    """

    kind: ClassVar[Kind] = Kind.BLINDED_IDS

    origin: Annotated[int, msgspec.Meta(ge=0, le=7)]
    blindings: Annotated[int, msgspec.Meta(ge=1, le=8)]
    count: Annotated[int, msgspec.Meta(ge=0, le=MAX_IDS)]
    points: Annotated[bytes, msgspec.Meta(max_length=65 * MAX_IDS)]
    proof: Annotated[bytes, msgspec.Meta(max_length=64)] = b""


class CachedSet(Message, frozen=True):
    """What the holder of a cached set says of it in each job, before any blinded id goes out.

    Public to the consortium; reveals the number of ids, after padding where the job asks for it, and which jobs use one
    set epoch.

    Attributes:
        session: the job's session salt: no two jobs have an equal message, though their cached set is the same.
        salt: of the set epoch: under it ids are hashed to the curve; with another epoch comes another.
        count: number of ids, with padding.
        chunk_ids: tags in each chunk but the last.
        commitments: SHA-256 of each chunk of tags, 32 bytes each, joined.
        key: the epoch's secret times G, 33-byte SEC1.
    """

    kind: ClassVar[Kind] = Kind.BLINDED_IDS

    session: Bytes32
    salt: Bytes32
    count: Annotated[int, msgspec.Meta(ge=1, le=MAX_IDS)]
    chunk_ids: Annotated[int, msgspec.Meta(ge=1, le=MAX_IDS)]
    commitments: Annotated[bytes, msgspec.Meta(max_length=32 * MAX_CHUNKS)]
    key: Annotated[bytes, msgspec.Meta(min_length=33, max_length=33)]


class AskingSet(Message, frozen=True):
    """What the asker commits to before it gets tags that it does not hold, and before any of its ids is evaluated.

    Public to the consortium; reveals the number of ids, after padding where the job asks for it.

    Attributes:
        session: the job's session salt.
        count: number of ids, with padding.
        chunk_ids: ids in each chunk but the last.
        commitments: SHA-256 of each chunk of blinded ids, 32 bytes each, joined.
        blinding_key: the secret of the blinding times G (33-byte SEC1) where the job wants blindings proven; else
            empty.
        holds: whether the asker still has the very cached set of the holder's message, so that it need not travel.
    """

    kind: ClassVar[Kind] = Kind.BLINDED_IDS

    session: Bytes32
    count: Annotated[int, msgspec.Meta(ge=1, le=MAX_IDS)]
    chunk_ids: Annotated[int, msgspec.Meta(ge=1, le=MAX_IDS)]
    commitments: Annotated[bytes, msgspec.Meta(max_length=32 * MAX_CHUNKS)]
    blinding_key: Annotated[bytes, msgspec.Meta(max_length=33)]
    holds: bool


class CachedChunk(Message, frozen=True):
    """A chunk of a cached set, for the asker alone.

    Attributes:
        chunk: its number.
        sealed: 16-byte tags in ascending order, and 16 bytes more; sealed under a key of this job and this pair.
    """

    kind: ClassVar[Kind] = Kind.BLINDED_IDS

    chunk: Annotated[int, msgspec.Meta(ge=0, le=MAX_CHUNKS)]
    sealed: Annotated[bytes, msgspec.Meta(max_length=16 * MAX_IDS + 16)]


class Matches(Message, frozen=True):
    """Which elements of the cached set the asker has, for the holder alone. Others see how many there are.

    Attributes:
        first: how many came in earlier pieces.
        total: in all pieces.
        sealed: positions in the cached set, ascending, 4 bytes each; where the job wants blindings proven, the places
            of the same ids in the asker's set after them; and 16 bytes more; sealed as in `CachedChunk`.
        proof: that the asker's blinded ids at these places are the ids at these positions (64 bytes), where the job
            wants that and the piece has any; else empty.
    """

    kind: ClassVar[Kind] = Kind.BLINDED_IDS

    first: Annotated[int, msgspec.Meta(ge=0, le=MAX_IDS)]
    total: Annotated[int, msgspec.Meta(ge=0, le=MAX_IDS)]
    sealed: Annotated[bytes, msgspec.Meta(max_length=8 * MAX_IDS + 16)]
    proof: Annotated[bytes, msgspec.Meta(max_length=64)] = b""
