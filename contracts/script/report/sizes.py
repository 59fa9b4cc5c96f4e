"""Bytes of code that each contract puts on the chain, from the committed artifacts."""

from __future__ import annotations

import json

from contracts.script.report.workspace import ROOT, ReportError

ARTIFACTS = ROOT / "fedchain" / "chain" / "artifacts"
MAX_RUNTIME_BYTES = 24_576
"""Of one contract (EIP-170)."""


def runtime_sizes() -> dict[str, int]:
    """Bytes of runtime code by contract name, in order of the names.

    Raises:
        ReportError: there is no artifact, or one cannot be read.
    """
    sizes = {}
    for path in sorted(ARTIFACTS.glob("*.json")):
        try:
            sizes[path.stem] = (len(json.loads(path.read_text(encoding="utf-8"))["deployedBytecode"]) - 2) // 2
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ReportError(f"artifact {path.name}: {error}") from None
    if not sizes:
        raise ReportError(f"no artifacts in {ARTIFACTS}: run 'make contracts'")
    return sizes
