"""Memory and load of this process and machine, where the operating system tells them."""

from __future__ import annotations

import os
import sys


def peak_memory_mb() -> float | None:
    """High-water mark of this process's resident memory since it began, in 10^6 bytes; None where nobody knows."""
    try:
        import resource
    except ImportError:  # not on Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6


def load_average() -> float | None:
    """Mean number of runnable processes in the last minute; None where nobody knows."""
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None
