"""Whether a proposed job is what its spec says: digest, roster and policy on the chain are the spec's."""

from __future__ import annotations

import hashlib

from fedchain.errors import ConfigError, ProtocolViolationError
from fedchain.exchange import Exchange
from fedchain.exchange.records import JobRecord
from fedchain.federation.spec import JobSpec
from fedchain.node.jobpolicy import policy_of
from fedchain.types import PartyId


def agreed(exchange: Exchange, record: JobRecord) -> tuple[JobSpec, dict[PartyId, str]]:
    """The spec, and name → address of its roster, once all that must agree agrees.

    Raises:
        ConfigError: spec, digest, policy, or roster do not fit together.
        ChainUnreachableError: the chain does not answer.
    """
    job = exchange.consortium.job(record.job_id)
    proposer = exchange.directory.participant(record.proposer).name
    if hashlib.sha256(record.spec).digest() != job.spec_digest:
        raise ProtocolViolationError(PartyId(proposer), "the spec's bytes do not match the digest on chain")
    spec = JobSpec.from_bytes(record.spec)
    names = tuple(PartyId(exchange.directory.participant(address).name) for address in job.roster)
    if names != spec.names:
        raise ConfigError(
            f"job '{spec.name}': the roster on chain is {', '.join(names)}, the spec names {', '.join(spec.names)}"
        )
    if job.policy != policy_of(spec):
        raise ConfigError(f"job '{spec.name}': the policy on chain is {job.policy}, the spec's {policy_of(spec)}")
    return spec, dict(zip(names, job.roster, strict=True))
