"""What an audited job's settlement costs in gas, by the real contracts on an embedded chain.

For each number of parties one job is led through all its transactions, with empty rounds: what is posted and settled is
what a job of 6,000 held-out rows posts and settles.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from fedchain.chain import (
    ChainClient,
    Consortium,
    JobPolicy,
    Sender,
    deploy,
    dev_accounts,
    seed_commitment,
    start_dev_chain,
)
from fedchain.crypto.merkle import payload_digest
from fedchain.messages import Envelope
from fedchain.protocol.audits import LabelTerms
from fedchain.types import AuditReason, JobId, Kind

ROWS, OPENED_ROWS, BUDGET = 6000, 299, 1_000_000
_MEAN_LOSS_E6 = 180_000
_PHASES = JobPolicy(1 << 20, 100, 10**6)


def settlement_gas(parties: Sequence[int]) -> dict[str, float]:
    """Gas of `post` with the Shapley values and of `settle`, together, for each number of parties: `gas_pN`.

    Beside it `gas_post_pN`, and `gas_audit_pN`: of all transactions of an audit that the job would not have without it.

    Args:
        parties: 2 to 8 each.

    Raises:
        ChainError: the embedded chain does not start.
    """
    metrics: dict[str, float] = {}
    most = max(parties)
    accounts = dev_accounts(1 + most)
    with start_dev_chain("embedded") as chain, tempfile.TemporaryDirectory() as folder:
        client = ChainClient(chain.rpc_url)
        try:
            deployment, _ = deploy(client, accounts[0], [accounts[0].address], Path(folder) / "deployment.json")
            steward, *members = (Consortium(client, deployment, Sender(client, one)) for one in accounts)
            for number, member in enumerate(members):
                name = f"party-{number + 1}"
                member.register(name, "127.0.0.1:1", b"certificate of " + name.encode(), bytes(31) + b"\x01")
                steward.accredit(accounts[1 + number].address)
            for count in parties:
                metrics |= _one_job(members[:count], [one.address for one in accounts[1 : 1 + count]])
        finally:
            client.close()
    return metrics


def _one_job(parties: Sequence[Consortium], addresses: Sequence[str]) -> dict[str, float]:
    active, count = parties[0], len(parties)
    job: JobId = active.propose(b'{"parties":%d}' % count, list(addresses), _PHASES)
    for party in parties:
        party.accept(job)
    for party in parties:
        party.declare_aligned(job, b"\x07" * 32, 5 * ROWS)
    terms = LabelTerms(b"\x01" * 32, ROWS, OPENED_ROWS, 3600, 0, BUDGET)
    audit = active.audits.commit_labels(job, terms).gas_used
    active.begin_round(job, 1)
    for party in parties:
        party.declare_stop(job, 1)
    random = np.random.Generator(np.random.PCG64(count))
    seeds, shards = ([random.bytes(32) for _ in parties] for _ in range(2))
    for party, address, seed, shard in zip(parties, addresses, seeds, shards, strict=True):
        commitment = seed_commitment(job, address, seed)
        audit += party.audits.freeze(job, random.bytes(32), shard, commitment).gas_used
    losses = [ROWS * (_MEAN_LOSS_E6 - 9_000 * one.bit_count()) + int(random.integers(10**6)) for one in range(2**count)]
    post = active.audits.post(job, random.bytes(32), losses, 0).gas_used
    for party, seed in zip(parties, seeds, strict=True):
        audit += party.audits.reveal(job, seed).gas_used
    for party in parties[1:]:
        audit += party.audits.vote(job, True, AuditReason.SOUND).gas_used
    audit += active.audits.conclude(job).gas_used
    for party, shard in zip(parties, shards, strict=True):
        payload = b"shard" + shard
        slot = bytes.fromhex(job[2:]), 2, 0, 0, Kind.SHARD_DIGEST, bytes(20)
        party.submit(Envelope(*slot, payload_digest(payload), len(payload)), payload)
    settle = active.settlements.settle(job).gas_used
    return {f"gas_p{count}": post + settle, f"gas_post_p{count}": post, f"gas_audit_p{count}": audit + post + settle}
