"""Where the real tables lie that some tests want. They are beside the project, not in it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


def real_data(name: str) -> Path:
    """The path of a real table, such as ``telco/operator.csv``; skips the test where it is absent."""
    root = Path(os.environ.get("FEDCHAIN_TEST_DATA", Path(__file__).resolve().parents[1] / ".." / "shared" / "data"))
    path = root / name
    if not path.exists():
        pytest.skip(f"real table {name} is not there; set FEDCHAIN_TEST_DATA to the folder that holds it")
    return path
