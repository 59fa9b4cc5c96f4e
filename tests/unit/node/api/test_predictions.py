"""Scores by id over HTTP."""

from __future__ import annotations

import time
from typing import Any

import pytest

from fedchain.errors import DeadlineError, QuotaExceededError
from fedchain.node.modelstate import ModelUse
from fedchain.node.tokens import ApiRole
from tests.unit.node.api.asking import Client
from tests.unit.node.api.conftest import As
from tests.unit.node.api.puppet import JOB, OTHER, Puppet

PATH = "/v1/predictions"


def test_scores_come_in_the_order_asked_for_and_unknown_ids_have_none(client: Client, puppet: Puppet, as_: As) -> None:
    puppet.use = ModelUse("arrears", 1, 2)
    body = {"target": "arrears", "ids": ["0041", "nobody", ["a", "b"]], "explain": True}
    answer = client.post(PATH, headers=as_(ApiRole.ANALYST), json=body)

    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert "version 2 is in use" in found.pop("note")
    parts = {"operator": 0.125, "partner": 0.125}
    assert found == {
        "job_id": JOB, "model": {"name": "arrears", "version": 1, "in_use": 2}, "scores": [0.25, None, 0.25],
        "serials": [0, None, 2], "flags": [[], ["unknown_id"], []], "base": 0.5, "contributions": [parts, None, parts],
    }  # fmt: skip


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"target": JOB},
        {"target": JOB, "ids": []},
        {"target": JOB, "ids": [1]},
        {"target": JOB, "ids": [[]]},
        {"target": JOB, "ids": ["x" * 1025]},
        {"target": JOB, "ids": ["x"] * 1001},
        {"target": "My Model", "ids": ["x"]},
        {"target": JOB, "ids": ["x"], "explain": 1},
        {"target": JOB, "ids": ["x"], "rows": "holdout"},
    ],
    ids=repr,
)
def test_what_is_no_question_is_refused(client: Client, as_: As, body: dict[str, Any]) -> None:
    assert client.post(PATH, headers=as_(ApiRole.ANALYST), json=body).status_code == 422


def test_refusals_have_a_status_of_their_own(client: Client, puppet: Puppet, as_: As) -> None:
    headers, body = as_(ApiRole.ANALYST), {"target": OTHER, "ids": ["x"]}
    assert client.post(PATH, headers=headers, json=body).status_code == 404

    puppet.error = QuotaExceededError(JOB, 3, int(time.time()) + 100)
    answer = client.post(PATH, headers=headers, json=body)
    assert (answer.status_code, answer.json()["title"], answer.json()["left"]) == (429, "quota exceeded", 3)
    assert "leaves 3 rows until" in answer.json()["detail"]
    assert 95 <= int(answer.headers["Retry-After"]) <= 101

    puppet.error = DeadlineError("no answer from partner", ("partner",))
    assert client.post(PATH, headers=headers, json=body).status_code == 504
