"""The built-in case: scikit-learn's breast-cancer table, split by columns over three parties.

Wisconsin diagnostic breast cancer (569 rows, 30 numeric columns, UCI, CC BY 4.0), as scikit-learn ships it. Operator
holds the diagnosis and the columns that say least about it, two partners the rest, each for other rows, shuffled:
there is something to align and something to gain by joining.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

BUILTIN_PARTIES = ("operator", "partner_a", "partner_b")
"""Party names, the active one first; each has a file ``<name>.csv``."""

BUILTIN_ID = "id"
BUILTIN_LABEL = "diagnosis"
BUILTIN_POSITIVE = "malignant"

_COLUMNS: dict[str, tuple[str, ...]] = {
    "operator": (
        "mean fractal dimension",
        "mean symmetry",
        "texture error",
        "smoothness error",
        "symmetry error",
        "fractal dimension error",
    ),
    "partner_a": (
        "mean radius",
        "mean texture",
        "mean perimeter",
        "mean area",
        "mean smoothness",
        "mean compactness",
        "mean concavity",
        "mean concave points",
        "radius error",
        "perimeter error",
        "area error",
        "compactness error",
    ),
    "partner_b": (
        "concavity error",
        "concave points error",
        "worst radius",
        "worst texture",
        "worst perimeter",
        "worst area",
        "worst smoothness",
        "worst compactness",
        "worst concavity",
        "worst concave points",
        "worst symmetry",
        "worst fractal dimension",
    ),
}

_ABSENT = {"operator": 19, "partner_a": 29, "partner_b": 39}
"""How many of the 569 rows each party does not know."""

_SEED = 20240501


def _write(path: Path, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as handle:
        writer = csv.writer(handle, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def write_breast_cancer(folder: str | Path) -> None:
    """Write ``operator.csv``, ``partner_a.csv`` and ``partner_b.csv``, byte for byte the same at every call.

    Ids look like ``P-4711``, in the column ``id``; the label column is ``diagnosis`` (``malignant`` is the positive
    value, about 37 % of the rows). Each party lacks some rows that others have, and files are in different orders.

    Args:
        folder: made if absent; files of these names in it are replaced.
    """
    from sklearn.datasets import load_breast_cancer  # imported late: it takes a second

    source = load_breast_cancer()
    values: NDArray[np.float64] = source.data
    place_of = {str(name): place for place, name in enumerate(source.feature_names)}
    random = np.random.RandomState(_SEED)  # its stream is frozen across NumPy versions
    ids = [f"P-{number}" for number in random.permutation(9000)[: len(values)] + 1000]
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for party in BUILTIN_PARTIES:
        order = random.permutation(len(values))[_ABSENT[party] :]
        names = _COLUMNS[party]
        label = [BUILTIN_LABEL] if party == "operator" else []
        rows = [
            [
                ids[row],
                *(str(source.target_names[source.target[row]]) for _ in label),
                *(repr(float(values[row, place_of[name]])) for name in names),
            ]
            for row in order
        ]
        _write(folder / f"{party}.csv", [BUILTIN_ID, *label, *(name.replace(" ", "_") for name in names)], rows)
