"""Few-shot label inference: how well some known labels and what a party saw tell the labels of other rows.

Source: Fu et al., "Label Inference Attacks Against Vertical Federated Learning" (USENIX Security 2022), for an attacker
with few labels; here with scikit-learn's models on the partitions of trees.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]

EMBEDDING = 16
PENALTIES = (0.003, 0.03, 0.3)
FOLDS = 5


def attack(
    features: Mapping[str, Floats],
    labels: Floats,
    known: Rows,
    others: Rows,
    seed: int,
    kinds: Sequence[str] = ("logistic", "boosted"),
) -> dict[str, float]:
    """AUC on `others` of every attacker that knows the labels of `known`.

    Args:
        features: shape (rows, any) each, by name; each gives an attacker of every kind.
        labels: shape (rows,), 0.0 and 1.0.
        known, others: disjoint rows.
        seed: of folds and of boosting.
        kinds: of attackers.
    """
    from sklearn.metrics import roc_auc_score

    aucs = {}
    for name, matrix in features.items():
        for kind in kinds:
            fit = _logistic if kind == "logistic" else _boosted
            if matrix.shape[1]:
                scores = fit(matrix[known], labels[known], seed)(matrix[others])
            else:  # nothing was seen: all rows look alike
                scores = np.zeros(len(others))
            aucs[f"{kind} on {name}"] = float(roc_auc_score(labels[others], scores))
    return aucs


def embedding(memberships: NDArray[np.bool_], seed: int) -> Floats:
    """The main directions in which rows' nodes differ, learned from all rows without a label.

    Returns:
        Shape (rows, at most `EMBEDDING`), scaled to unit variance.
    """
    from sklearn.decomposition import TruncatedSVD

    if memberships.shape[1] <= EMBEDDING:
        return memberships.astype(np.float64)
    centred = memberships - memberships.mean(axis=0)
    coordinates = TruncatedSVD(EMBEDDING, random_state=seed).fit_transform(centred)
    spread = coordinates.std(axis=0)
    scaled: Floats = coordinates / np.where(spread > 0, spread, 1.0)
    return scaled


def _logistic(matrix: Floats, labels: Floats, seed: int) -> Callable[[Floats], Floats]:
    """Ridge-penalised, the penalty chosen by cross-validation on the known rows."""
    from sklearn.linear_model import LogisticRegressionCV
    from sklearn.model_selection import StratifiedKFold
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=seed)
    model = make_pipeline(
        StandardScaler(),
        LogisticRegressionCV(Cs=PENALTIES, cv=folds, scoring="roc_auc", solver="liblinear"),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # slow convergence and names of settings to come
        model.fit(matrix, labels)
    return lambda rows: np.asarray(model.decision_function(rows), dtype=np.float64)


def _boosted(matrix: Floats, labels: Floats, seed: int) -> Callable[[Floats], Floats]:
    from sklearn.ensemble import GradientBoostingClassifier

    model = GradientBoostingClassifier(
        n_estimators=100, learning_rate=0.1, max_depth=3, subsample=0.7, max_features="sqrt", random_state=seed
    )
    model.fit(matrix, labels)
    return lambda rows: np.asarray(model.decision_function(rows), dtype=np.float64)
