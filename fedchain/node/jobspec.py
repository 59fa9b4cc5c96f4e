"""The spec of a job as the chain holds it, for `fedchain job show`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fedchain.errors import MessageError
from fedchain.federation.spec import JobSpec
from fedchain.messages import PublicKey, decode
from fedchain.node.audit.story import read_story
from fedchain.types import Kind, Reason

if TYPE_CHECKING:
    from fedchain.chain import Consortium
    from fedchain.types import JobId


@dataclass(frozen=True)
class ShownSpec:
    """A job's spec, and what its parties declared of the rules for ids.

    Attributes:
        job_id: the job.
        spec_digest: hex, as the contract holds it.
        spec: what was proposed.
        declared: by party, the digest of the rules by which it spelled its ids, hex; None until it has declared one.
    """

    job_id: JobId
    spec_digest: str
    spec: JobSpec
    declared: dict[str, str | None]

    @property
    def id_rules_digest(self) -> str:
        """Digest of the rules that the job declares, hex."""
        return self.spec.alignment.rules.digest.hex()

    def as_dict(self) -> dict[str, Any]:
        """JSON values."""
        return {
            "job_id": self.job_id,
            "spec_digest": self.spec_digest,
            "id_rules_digest": self.id_rules_digest,
            "id_rules_declared": self.declared,
            "spec": self.spec.model_dump(mode="json", by_alias=True),
        }


def read_spec(consortium: Consortium, job_id: JobId) -> ShownSpec:
    """Read a job's proposal, and the first messages of its parties.

    Raises:
        ConfigError: no such job, or its proposal is no job spec.
        ChainUnreachableError: the chain's node does not answer.
    """
    story = read_story(consortium, job_id)
    spec = JobSpec.from_bytes(story.proposal.spec)
    name_of = dict(zip(story.proposal.roster, spec.names, strict=False))
    declared: dict[str, str | None] = dict.fromkeys(name_of.values())
    for uplink in story.uplinks:
        event = uplink.event
        if event.envelope.kind is Kind.PUBLIC_KEY and event.reason == Reason.ACCEPTED and event.sender in name_of:
            try:
                declared[name_of[event.sender]] = decode(uplink.payload, PublicKey).id_rules.hex()
            except MessageError:
                continue  # that party's fault; its peers name it
    return ShownSpec(job_id, story.proposal.spec_digest.hex(), spec, declared)
