"""`demo-report.json`: what the demo measured; and the job as a page beside it."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel


class Seconds(BaseModel):
    """Disjoint wall times that sum to the whole run, but for the page. `start` includes the plaintext reference."""

    start: float
    align: float
    train: float
    contribution: float
    predict: float


class ChainUse(BaseModel):
    """What the run cost on chain, deployment included."""

    kind: str
    transactions: int
    blocks: int
    gas: int
    uplinks_accepted: int
    uplinks_rejected: int


class DemoReport(BaseModel):
    """The report.

    Attributes:
        dataset: name of the data folder.
        parties: names, active party first.
        aligned_rows, holdout_rows: rows that all parties share; those of them that were scored.
        trees, depth, mode: as trained.
        auc_federated: of the scores that came back from the batch inference request.
        auc_active_only, auc_plaintext: XGBoost on the active party's columns, and on the joined plaintext.
        contributions: share of each party in the gain of all, read back from the contract; they sum to 1.
        contributions_e6: the same as minus Brier, scale 1e6, as recorded.
        p_values: of the free-rider test, of each passive party; empty where the active party did not tell them.
        anomalies: entries on the chain against anybody, by category; empty where there are none.
        model_digest: hex SHA-256 over the shard digests on chain.
    """

    dataset: str
    parties: list[str]
    aligned_rows: int
    holdout_rows: int
    trees: int
    depth: int
    mode: str
    holdout_seed: int
    auc_federated: float
    auc_active_only: float
    auc_plaintext: float
    seconds: Seconds
    chain: ChainUse
    contributions: dict[str, float]
    contributions_e6: dict[str, int]
    p_values: dict[str, float]
    anomalies: dict[str, int]
    model_digest: str
    job_id: str

    def save(self, path: Path) -> None:
        """Write the report as JSON."""
        path.write_text(self.model_dump_json(indent=2) + "\n", encoding="utf-8")
