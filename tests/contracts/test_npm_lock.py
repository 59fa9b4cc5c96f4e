"""The npm lock file installs anywhere and names no registry."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
LOCK: dict[str, Any] = json.loads((ROOT / "package-lock.json").read_text(encoding="utf-8"))
PACKAGE: dict[str, Any] = json.loads((ROOT / "package.json").read_text(encoding="utf-8"))


def test_lock_names_no_registry() -> None:
    assert [name for name, entry in LOCK["packages"].items() if "resolved" in entry] == []


def test_lock_pins_the_exact_versions_of_package_json() -> None:
    asked = PACKAGE["devDependencies"] | PACKAGE["optionalDependencies"]
    pinned = {name: LOCK["packages"][f"node_modules/{name}"]["version"] for name in asked}
    assert pinned == asked


def test_lock_has_a_hash_for_every_package() -> None:
    assert [name for name, entry in LOCK["packages"].items() if name and "integrity" not in entry] == []
