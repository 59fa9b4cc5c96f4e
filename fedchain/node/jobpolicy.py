"""What a job's spec asks of the contract, and of whoever waits for others."""

from __future__ import annotations

from fedchain.chain import JobPolicy
from fedchain.exchange.waits import Patience
from fedchain.federation.spec import JobSpec


def policy_of(spec: JobSpec) -> JobPolicy:
    """The contract's bounds that a spec asks for."""
    policy = spec.policy
    return JobPolicy(
        max_payload_bytes=policy.max_payload_bytes,
        max_rounds=spec.max_rounds,
        max_statistic_e6=policy.max_statistic_e6,
        pipelined=policy.pipelined,
        phase_seconds=spec.phase_limit,
        round_seconds=policy.round_limit,
        max_uplinks_per_round=policy.max_uplinks_per_round,
        ends_on_suspension=policy.ends_on_suspension,
    )


def patience_of(spec: JobSpec) -> Patience:
    """What a spec says about parties that are late."""
    policy = spec.policy
    return Patience(policy.deadline_seconds, policy.at_soft_deadline, policy.at_hard_deadline)
