"""One party's shard of a boosted model: what it may know of it, and nothing else.

In standard mode everybody knows the shape of each tree and who owns which split; in the other modes a passive party
knows the nodes it split itself, and where its knowledge ends its tree has a leaf. A shard adds the party's own splits;
the active party's has every shape, the leaf weights and the training cover of every node. The file is canonical JSON
with a format name and a version: no pickle. Its digest is the same for the same model, whoever trained it where.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from fedchain.errors import MessageError, ModelFormatError
from fedchain.messages.base import require_shallow_json
from fedchain.model.link import ObjectiveName

FORMAT = "fedchain-boosting-shard"
VERSION = 2
MAX_SHARD_BYTES = 2**30


class TreeShape(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Public shape: `owners[i]` is the roster index that owns `nodes[i]`, -1 for a leaf. Heap ids, ascending."""

    nodes: tuple[int, ...]
    owners: tuple[int, ...]

    def leaves(self) -> tuple[int, ...]:
        """Ids of the leaves, ascending: the order of leaf bits."""
        return tuple(node for node, owner in zip(self.nodes, self.owners, strict=True) if owner < 0)

    def seen_by(self, party: int) -> TreeShape:
        """The part that a passive party splits itself: cut at every node that another owns. May be a lone root."""
        owner_of = dict(zip(self.nodes, self.owners, strict=True))
        nodes, owners, open_nodes = [], [], [0]
        while open_nodes:
            node = open_nodes.pop()
            is_own = owner_of[node] == party
            nodes.append(node)
            owners.append(party if is_own else -1)
            if is_own:
                open_nodes += [2 * node + 1, 2 * node + 2]
        order = sorted(range(len(nodes)), key=nodes.__getitem__)
        return TreeShape(tuple(nodes[i] for i in order), tuple(owners[i] for i in order))

    @property
    def bit_count(self) -> int:
        """Leaf bits that a party with this view of the tree sends per row: none for a lone root."""
        leaves = len(self.leaves())
        return leaves if leaves > 1 else 0


class OwnSplit(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """A split that this party owns: rows whose bin is <= `bin` go left."""

    node: int
    feature: Annotated[int, msgspec.Meta(ge=0)]
    bin: Annotated[int, msgspec.Meta(ge=0, le=255)]
    missing_left: bool


class Tree(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One tree as this party knows it.

    Attributes:
        shape: public.
        splits: this party's own.
        covers: training rows per node of `shape.nodes`; active party only, else empty.
        weights: shrunk leaf weight per leaf of `shape.leaves()`; active party only, else empty.
        output: which margin of a row it adds to (the class, with several).
    """

    shape: TreeShape
    splits: tuple[OwnSplit, ...]
    covers: tuple[int, ...] = ()
    weights: tuple[float, ...] = ()
    output: int = 0


class Shard(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A party's shard.

    Attributes:
        party, roster: names, roster order (active first).
        mode: `standard` (every party knows all shapes), `layered` or `mix` (a party knows its own nodes alone).
        objective: what the margins mean.
        base_margins: margins of an empty model, one per output; active party only, else empty.
        binning: this party's bin mapper in plain values: column names, cuts, categories.
        trees: in training order.
    """

    format: str = FORMAT
    version: int = VERSION
    party: str
    roster: tuple[str, ...]
    mode: Literal["standard", "layered", "mix"]
    objective: ObjectiveName
    base_margins: tuple[float, ...]
    binning: dict[str, Any]
    trees: tuple[Tree, ...]

    @property
    def shares_shapes(self) -> bool:
        """Whether every party knows every tree's shape."""
        return self.mode == "standard"

    @property
    def index(self) -> int:
        """This party's place on the roster."""
        return self.roster.index(self.party)

    def to_bytes(self) -> bytes:
        """Canonical JSON (sorted keys; floats by shortest exact form)."""
        return msgspec.json.encode(self, order="sorted")

    def digest(self) -> bytes:
        """SHA-256 of the canonical bytes: what goes on chain."""
        return hashlib.sha256(self.to_bytes()).digest()

    @classmethod
    def from_bytes(cls, raw: bytes) -> Shard:
        """Parse a shard.

        Raises:
            ModelFormatError: not a shard, of another version, or not canonical (damaged).
        """
        if len(raw) > MAX_SHARD_BYTES:
            raise ModelFormatError(f"model shard: {len(raw)} bytes, at most {MAX_SHARD_BYTES} are read")
        try:
            require_shallow_json(raw)
            shard = msgspec.json.decode(raw, type=cls)
        except (MessageError, msgspec.DecodeError, ValueError) as error:
            raise ModelFormatError(f"model shard: not readable: {error}") from error
        if (shard.format, shard.version) != (FORMAT, VERSION):
            raise ModelFormatError(
                f"model shard: format {shard.format} version {shard.version}, this fedchain reads {FORMAT} {VERSION}"
            )
        if shard.to_bytes() != raw:
            raise ModelFormatError("model shard: not in canonical form; the file was changed by hand or damaged")
        if shard.party not in shard.roster:
            raise ModelFormatError(f"model shard: party '{shard.party}' is not on its own roster")
        return shard

    def save(self, path: Path) -> None:
        """Write the shard in one step: a reader sees the old file or the new one."""
        temporary = path.with_name(path.name + ".tmp")
        with temporary.open("wb") as file:
            file.write(self.to_bytes())
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)

    @classmethod
    def load(cls, path: Path) -> Shard:
        """Read a shard file.

        Raises:
            ModelFormatError: missing or damaged.
        """
        try:
            return cls.from_bytes(path.read_bytes())
        except OSError as error:
            raise ModelFormatError(f"{path}: cannot be read: {error}") from error


def model_digest(shard_digests: Sequence[bytes]) -> str:
    """Hex digest of a whole model: SHA-256 over its shards' digests in roster order; the chain has them all."""
    return hashlib.sha256(b"fedchain-model-1" + b"".join(shard_digests)).hexdigest()
