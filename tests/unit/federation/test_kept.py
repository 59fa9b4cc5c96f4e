"""What is kept of an audit is found again, or is a typed error."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from fedchain.errors import ModelFormatError
from fedchain.federation.kept import KeptAudit

KEPT = KeptAudit(
    outcome="verified",
    positions=np.array([3, 70_000], "<u4").tobytes(),
    own_bits=(b"\x01", b"\x02"),
    opening=b"opened",
    commitments=(bytes(32),),
    shards=(bytes(32),) * 2,
)


def test_it_is_found_again(tmp_path: Path) -> None:
    (tmp_path / "audit").write_bytes(KEPT.to_bytes())
    found = KeptAudit.load(tmp_path / "audit")
    assert found == KEPT
    assert found.opened_positions.tolist() == [3, 70_000]


@pytest.mark.parametrize("raw", [b"", b"\x80", KEPT.to_bytes()[:-1], KEPT.to_bytes() + b"\x00"])
def test_a_damaged_file_is_a_typed_error(tmp_path: Path, raw: bytes) -> None:
    (tmp_path / "audit").write_bytes(raw)
    with pytest.raises(ModelFormatError, match="cannot be read"):
        KeptAudit.load(tmp_path / "audit")


def test_another_version_is_refused(tmp_path: Path) -> None:
    (tmp_path / "audit").write_bytes(KeptAudit(version=2, outcome="verified").to_bytes())
    with pytest.raises(ModelFormatError, match="version 2"):
        KeptAudit.load(tmp_path / "audit")
    with pytest.raises(ModelFormatError, match="cannot be read"):
        KeptAudit.load(tmp_path / "none")
