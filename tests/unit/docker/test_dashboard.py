"""Prometheus scrapes what nodes serve, and each panel asks for a metric that exists."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

from tests.unit.docker.files import DOCKER, ROOT, compose, mounts
from tests.unit.docs.markdown import table

SCRAPED = yaml.safe_load((DOCKER / "prometheus" / "prometheus.yml").read_text(encoding="utf-8"))["scrape_configs"]
DASHBOARD: dict[str, Any] = json.loads((DOCKER / "grafana" / "dashboards" / "fedchain.json").read_text())
BESU = compose("besu")["services"]
EXPRESSIONS = [one["expr"] for panel in DASHBOARD["panels"] for one in panel["targets"]]


def listed() -> dict[str, tuple[str, set[str]]]:
    """Name to type and labels, as in the reference, which a test compares with a node."""
    page = (ROOT / "docs" / "reference" / "metrics.md").read_text(encoding="utf-8")
    return {row[0].strip("`"): (row[1], set(re.findall(r"`(\w+)`", row[2]))) for row in table(page)}


METRICS = listed()


def series() -> set[str]:
    found = set()
    for name, (kind, _) in METRICS.items():
        found |= {f"{name}_bucket", f"{name}_count", f"{name}_sum"} if kind == "histogram" else {name}
    return found


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_panels_ask_for_metrics_and_labels_that_exist(expression: str) -> None:
    (name,) = set(re.findall(r"fedchain_\w+", expression))
    assert name in series()
    base = re.sub(r"_(bucket|count|sum)$", "", name)
    labels = METRICS.get(name, METRICS.get(base, ("", set())))[1] | {"node", "le"}
    for group in re.findall(r"by \(([^)]*)\)", expression):
        assert set(group.replace(" ", "").split(",")) <= labels
    assert expression.count("(") == expression.count(")")


def test_every_kind_of_metric_is_shown() -> None:
    shown = {re.sub(r"_(bucket|count|sum)$", "", re.findall(r"fedchain_\w+", one)[0]) for one in EXPRESSIONS}
    assert shown == set(METRICS)


def test_legends_use_labels_that_the_expression_keeps() -> None:
    for panel in DASHBOARD["panels"]:
        for one in panel["targets"]:
            (name,) = set(re.findall(r"fedchain_\w+", one["expr"]))
            kept = re.findall(r"by \(([^)]*)\)", one["expr"])
            labels = set(kept[0].replace(" ", "").split(",")) if kept else METRICS[name][1] | {"node"}
            assert set(re.findall(r"\{\{(\w+)\}\}", one["legendFormat"])) <= labels


def test_the_target_label_is_none_of_a_metric() -> None:
    """Prometheus would rename the metric's own one."""
    taken = {label for _, labels in METRICS.values() for label in labels}
    given = {label for job in SCRAPED for one in job["static_configs"] for label in one.get("labels", {})}
    assert given == {"node"}
    assert not given & taken


def test_targets_are_services_and_their_ports() -> None:
    targets = {job["job_name"]: [t for one in job["static_configs"] for t in one["targets"]] for job in SCRAPED}
    start = (DOCKER / "start-node.sh").read_text(encoding="utf-8")
    (port,) = re.findall(r"--metrics 0\.0\.0\.0:(\d+)", start)
    assert targets["fedchain"] == [f"{name}:{port}" for name in ("operator", "media-partner", "bank-partner")]
    assert targets["besu"] == [f"validator-{number}:9545" for number in (1, 2, 3, 4)]
    assert {one.split(":")[0] for many in targets.values() for one in many} <= set(BESU)
    assert all("--metrics-port=9545" in BESU[one.split(":")[0]]["command"] for one in targets["besu"])


def test_grafana_finds_its_source_and_its_dashboard() -> None:
    folder = DOCKER / "grafana" / "provisioning"
    (source,) = yaml.safe_load((folder / "datasources" / "prometheus.yml").read_text())["datasources"]
    (provider,) = yaml.safe_load((folder / "dashboards" / "fedchain.yml").read_text())["providers"]
    seen = mounts(BESU["grafana"])
    assert source["url"] == "http://prometheus:9090"
    assert provider["options"]["path"] in seen
    assert seen[provider["options"]["path"]] == ("./grafana/dashboards", True)
    assert {panel["datasource"]["uid"] for panel in DASHBOARD["panels"]} == {source["uid"]}
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
