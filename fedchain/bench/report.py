"""What every benchmark returns: the settings it ran with and numbers whose names end in their unit."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class BenchReport:
    """Printed as one JSON object by `fedchain bench NAME --json`."""

    settings: dict[str, object] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)

    def as_json(self) -> dict[str, object]:
        """`{"settings": {…}, "metrics": {"name_unit": number}}`."""
        return {"settings": self.settings, "metrics": self.metrics}
