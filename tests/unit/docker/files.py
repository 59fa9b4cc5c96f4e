"""The files in docker/, read as their users read them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]

ROOT = Path(__file__).resolve().parents[3]
DOCKER = ROOT / "docker"
COMPOSE_FILES = sorted(DOCKER.glob("compose.*.yml"))


def compose(name: str) -> dict[str, Any]:
    """A compose file's content."""
    content: dict[str, Any] = yaml.safe_load((DOCKER / f"compose.{name}.yml").read_text(encoding="utf-8"))
    return content


def dockerfile() -> list[list[tuple[str, str]]]:
    """The Dockerfile's stages; each a list of instructions and their text. What stands before the first is stage 0."""
    text = re.sub(r"^\s*#.*\n", "", (DOCKER / "Dockerfile").read_text(encoding="utf-8"), flags=re.MULTILINE)
    stages: list[list[tuple[str, str]]] = [[]]
    for line in text.replace("\\\n", " ").splitlines():
        if not line.strip():
            continue
        instruction, _, rest = line.strip().partition(" ")
        if instruction == "FROM":
            stages.append([])
        stages[-1].append((instruction, " ".join(rest.split())))
    return stages


def mounts(service: dict[str, Any]) -> dict[str, tuple[str, bool]]:
    """What a service mounts where: target to source and whether it is read-only."""
    found: dict[str, tuple[str, bool]] = {}
    for one in service.get("volumes", ()):
        if isinstance(one, dict):
            found[one["target"]] = (one["source"], bool(one.get("read_only")))
        else:
            source, target, *mode = one.split(":")
            found[target] = (source, mode == ["ro"])
    return found
