"""Who contributed how much to a job's model."""

from __future__ import annotations

from fedchain.node.api.asked import Document, JobPath, TheBounds, TheNode
from fedchain.node.api.endpoint import ALL, Endpoint
from fedchain.types import JobId


class Measured(Document):
    """What stands beside shares.

    Attributes:
        rows: held-out rows.
        running_e6: shares along the rounds by party, scale 1e6; the last are those of the model.
        split_gain_e6: each party's part of the gain of all splits in training, scale 1e6: gameable, never paid by.
            Empty where it is not known.
        p_values_e6, powers_e6: of the free-rider test by party, scale 1e6; 0 for the active party.
    """

    rows: int
    running_e6: dict[str, list[int]]
    split_gain_e6: dict[str, int]
    p_values_e6: dict[str, int]
    powers_e6: dict[str, int]


class ContributionAudit(Document):
    """How far an audit is, or what came of it.

    Attributes:
        outcome: `verified`, `disputed`, `false`, `failed`, `unaudited`, or `under way`.
        rows, opened_rows: held-out rows, and how many of them were opened.
        budget: points to settle; 0 for none.
        shares_840e6: exact shares as the contract computed them, scale 840e6; empty until the losses are posted.
        weak: who failed the free-rider test; no accusation.
        votes: `none`, `sound` or `false: REASON` by passive party.
        silent: what each party that was silent let pass.
        losses_root, seed: hex; empty until they are there.
    """

    outcome: str
    rows: int
    opened_rows: int
    budget: int
    shares_840e6: dict[str, int]
    weak: list[str]
    votes: dict[str, str]
    silent: dict[str, list[str]]
    losses_root: str
    seed: str


class Points(Document):
    """A party's part of a settlement; `withheld` says why it does not get it, empty if it does; `paid` what it gets."""

    party: str
    points: int
    withheld: str
    paid: int


class Settlement(Document):
    """A settlement, as `fedchain settlement show --json` tells it: `not settled`, `disputable`, `disputed`, `final` or
    `rejected`; times are seconds since 1970."""

    state: str
    budget: int
    lines: list[Points]
    settled_at: int | None
    final_at: int | None
    disputed_by: str
    dispute: str
    resolution: str


class Contributions(Document):
    """A job's shares as the contract has them, as `fedchain contributions --json` shows them.

    Attributes:
        method: by which the job has them measured, `leaf-mask`, `block-permutation` or `conditional`; null where
            its spec cannot be read.
        contributions: each party's part of the whole gain.
        contributions_e6: Shapley value by party, scale 1e6; of an audited job as they follow from the posted losses.
        recorded_e6: as the active party has recorded them; in an honest job the same.
        utility_full_e6, utility_empty_e6: of all parties, and of nobody, scale 1e6.
        block: in which they were recorded; null where only an audit's posted losses tell them.
        measured: what the active party published with them; null where the chain does not hold it.
        audit: of the shares; null where the job has none.
        settlement: points; null where there is nothing to settle.
    """

    job_id: str
    method: str | None
    contributions: dict[str, float]
    contributions_e6: dict[str, int]
    recorded_e6: dict[str, int]
    utility_full_e6: int
    utility_empty_e6: int
    block: int | None
    measured: Measured | None
    audit: ContributionAudit | None
    settlement: Settlement | None


def contributions(node: TheNode, bounds: TheBounds, job_id: JobPath) -> Contributions:
    """Each party's contribution to a job's model, read back from the chain."""
    with bounds.reading.one():
        return Contributions.model_validate(node.contributions(JobId(job_id)))


ENDPOINTS = (Endpoint("GET", "/v1/jobs/{job_id}/contributions", contributions, ALL, "contributions"),)
