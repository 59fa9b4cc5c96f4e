"""Whether answers come faster than the work behind them can take.

Two rules, each on the times of one party for one kind of thing:

1. A single answer in less than a tenth of the shortest time so far.
2. Three answers in a row that are, on geometric mean, below a sixth of the median of those before, and by four standard
   errors: with σ = 1.4826 · MAD of the logarithms, at least 0.2, by 4 σ / √3.

Times of answers are skewed and vary by multiples, so a lone one must be very short to mean anything; three together
need not. Of log-normal times with σ 0.5 to 1.2 the rules take 1 or 2 in a thousand for too fast.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

LEARN_FROM = 5
"""Samples before there is a judgement."""

FLOOR_SECONDS = 0.5
"""Shortest time before, of the first rule, and median, of the second, below which nothing is judged: what is always
quick says nothing about how long the work takes."""

SHARE_OF_SHORTEST = 0.1
"""A lone answer in less than this share of the shortest time so far is implausibly fast."""

RECENT = 3
"""Answers in a row that are judged together, the new one with them."""

SHARE_OF_MEDIAN = 1 / 6
"""Below this share of the median before, on geometric mean, they may be."""

STANDARD_ERRORS = 4.0
"""So many below, they are."""

_MAD_TO_SIGMA = 1.4826
_LEAST_SIGMA = 0.2
_SHORTEST_SECONDS = 1e-3


def is_implausibly_fast(seconds: float, samples: Sequence[float]) -> bool:
    """Judge a new time.

    Args:
        seconds: the new time.
        samples: those before it, in order, without those that were judged too fast; fewer than five: no judgement.
    """
    if len(samples) < LEARN_FROM:
        return False
    shortest = min(samples)
    is_lone_one_fast = shortest >= FLOOR_SECONDS and seconds < SHARE_OF_SHORTEST * shortest
    return is_lone_one_fast or _is_end_of_a_run(seconds, samples)


def _is_end_of_a_run(seconds: float, samples: Sequence[float]) -> bool:
    before, recent = samples[: 1 - RECENT], [*samples[1 - RECENT :], seconds]
    if len(before) < LEARN_FROM or statistics.median(before) < FLOOR_SECONDS:
        return False
    logs = [math.log(max(one, _SHORTEST_SECONDS)) for one in before]
    median = statistics.median(logs)
    sigma = max(_LEAST_SIGMA, _MAD_TO_SIGMA * statistics.median(abs(one - median) for one in logs))
    below = median - statistics.fmean(math.log(max(one, _SHORTEST_SECONDS)) for one in recent)
    least = max(-math.log(SHARE_OF_MEDIAN), STANDARD_ERRORS * sigma / math.sqrt(RECENT))
    return below > least and max(recent) < math.exp(median)
