"""docs/reference/metrics.md lists exactly the metrics that a node serves, with their types and labels."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import Any

from fedchain.node.metrics import Metrics
from tests.unit.docs.markdown import ROOT, table

TEXT = (ROOT / "docs" / "reference" / "metrics.md").read_text(encoding="utf-8")


class Quiet:
    """Stands in for what a node has: nothing has happened, and whoever listens hears nothing."""

    value = under_way = 0
    height = head = -1
    reorganisations = 0

    def listen(self, listener: object) -> None:
        """Nothing is ever told."""

    def current(self) -> list[Any]:
        return [SimpleNamespace(about="round")]

    def jobs(self) -> list[Any]:
        return []

    def __getattr__(self, name: str) -> Any:
        return Quiet()


def test_the_page_and_the_registry_agree() -> None:
    metrics = Metrics(Quiet(), address="0x00")  # type: ignore[arg-type]
    labelled = {
        name: metric for name, metric in metrics.registry._names_to_collectors.items() if hasattr(metric, "_labelnames")
    }
    served = {}
    for family in metrics.registry.collect():
        name = f"{family.name}_total" if family.type == "counter" else family.name
        labels = {label for sample in family.samples for label in sample.labels} - {"le"}
        declared = getattr(labelled.get(family.name), "_labelnames", ())
        served[name] = (family.type, labels | set(declared))

    listed = {row[0].strip("`"): (row[1], set(re.findall(r"`(\w+)`", row[2]))) for row in table(TEXT)}
    assert listed == served
    assert len(listed) == len(table(TEXT))
    assert all(row[3] for row in table(TEXT))


def test_the_statuses_of_jobs_are_as_documented() -> None:
    family = next(
        one
        for one in Metrics(Quiet(), address="0x00").registry.collect()  # type: ignore[arg-type]
        if one.name == "fedchain_jobs"
    )
    (row,) = (row for row in table(TEXT) if row[0] == "`fedchain_jobs`")
    assert [sample.labels["status"] for sample in family.samples] == re.findall(r"`(\w+)`", row[3])
