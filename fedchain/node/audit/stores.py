"""What one node has kept of a job, against the chain: payload files, shard, report and spec. Reads only."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from fedchain.crypto.merkle import CHUNK_BYTES, leaf_hash, payload_digest, root_of
from fedchain.errors import ConfigError, ModelFormatError
from fedchain.exchange.state import recorded_payloads
from fedchain.model.shard import Shard
from fedchain.node.audit.checklist import Checklist
from fedchain.node.audit.rules import Replay
from fedchain.node.audit.story import Story
from fedchain.node.jobfiles import SHARD, SPEC, JobFiles
from fedchain.types import JobId, Reason

PAYLOAD_FILES, OUTCOME = "payload files", "saved outcomes"
STATE_FILE = "node.sqlite"


@dataclass(frozen=True)
class StateFolder:
    """A node's state folder; the node may be running.

    Raises:
        ConfigError: no folder.
    """

    path: Path

    def __post_init__(self) -> None:
        if not self.path.is_dir():
            raise ConfigError(f"{self.path}: no such state folder; give the one of node.toml's [state] folder")

    def payload(self, digest: bytes) -> list[Path]:
        """Files that this node keeps under a digest: what it sent, what it received."""
        files = [self.path / name / digest.hex() for name in ("outgoing", "incoming")]
        return [file for file in files if file.is_file()]

    def recorded(self, job_id: JobId) -> dict[bytes, tuple[int, str]]:
        """Small payloads that this node has sent in a job lie in its state file: the digest that each is recorded
        under, with its size and the digest that its bytes have.

        Raises:
            ConfigError: the file cannot be read.
        """
        found = recorded_payloads(self.path / STATE_FILE, job_id)
        return {digest: (len(payload), payload_digest(payload).hex() if payload else "") for digest, payload in found}


def check_stores(
    folders: list[StateFolder],
    story: Story,
    replay: Replay,
    names: dict[str, str],
    model: str | None,
    checks: Checklist,
) -> None:
    """Check what there is; payloads that no folder holds count as unreachable.

    Args:
        folders: of nodes.
        story: the job's.
        replay: of it.
        names: address to name.
        model: digest of the completed job's model, hex.
        checks: is told.
    """
    recorded = [(folder.path / STATE_FILE, folder.recorded(story.job_id)) for folder in folders]
    for uplink in story.uplinks:
        event = uplink.event
        if event.reason != Reason.ACCEPTED or uplink.digest is not None:
            continue
        digest, size = event.envelope.digest, event.envelope.size
        files = [file for folder in folders for file in folder.payload(digest)]
        inside = [(path, payloads[digest]) for path, payloads in recorded if digest in payloads]
        if not files and not inside:
            checks.unreachable(PAYLOAD_FILES)
        for path, found_inside in inside:
            checks.equal(
                PAYLOAD_FILES,
                found_inside,
                (size, digest.hex()),
                f"{path}: size and digest of a recorded payload",
                block=event.block_number,
            )
        for file in files:
            try:
                found: object = _digest_of(file)
            except OSError as error:
                found = f"a file that cannot be read ({error.strerror})"
            # a changed file speaks against whoever can write to the folder, not against the sender
            checks.equal(
                PAYLOAD_FILES, found, (size, digest.hex()), f"{file}: size and digest", block=event.block_number
            )
    for folder in folders:
        _check_outcome(folder, story, replay, names, model, checks)


def _digest_of(file: Path) -> tuple[int, str]:
    leaves, size = [], 0
    with file.open("rb") as opened:
        while chunk := opened.read(CHUNK_BYTES):
            leaves.append(leaf_hash(chunk))
            size += len(chunk)
    return size, root_of(leaves).hex() if leaves else ""


def _check_outcome(
    folder: StateFolder, story: Story, replay: Replay, names: dict[str, str], model: str | None, checks: Checklist
) -> None:
    files = JobFiles(folder.path, story.job_id)
    spec, shard = files.folder / SPEC, files.folder / SHARD
    if spec.is_file():
        found = hashlib.sha256(spec.read_bytes()).digest()
        checks.equal(OUTCOME, found, story.proposal.spec_digest, f"{spec}: SHA-256")
    if not shard.is_file():
        return
    try:
        saved = Shard.load(shard)
    except ModelFormatError as error:
        checks.check(OUTCOME, False, str(error))
        return
    digests = {names[address]: digest for address, digest in replay.shards.items()}
    if saved.party in digests:  # a node saves its shard before it commits to it
        checks.equal(OUTCOME, saved.digest(), digests[saved.party], f"{shard}: digest of {saved.party}'s shard")
    if model is not None and files.complete:
        try:
            report = files.report()
        except ModelFormatError as error:
            checks.check(OUTCOME, False, str(error))
            return
        named = report.get("model_digest")
        if named:
            checks.equal(OUTCOME, named, model, f"{files.folder}: the report's model digest")
