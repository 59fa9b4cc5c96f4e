"""One party's chunks on a local Dask cluster: the same functions, the same results."""

from __future__ import annotations

import os
from collections.abc import Iterator

import distributed
import numpy as np
import pytest

from fedchain.compute.executor import Executor
from fedchain.crypto import psi
from fedchain.crypto.curve import random_scalar
from fedchain.crypto.dlog import DlogTable
from fedchain.crypto.elgamal import KeyPair, histogram


@pytest.fixture(scope="module")
def cluster() -> Iterator[Executor]:
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, silence_logs=50
        ) as local,
        distributed.Client(local),
    ):
        yield Executor(2, "dask")


def _process(_: int) -> int:
    return os.getpid()


@pytest.mark.filterwarnings("default")
def test_chunks_run_in_the_clusters_processes(cluster: Executor) -> None:
    assert os.getpid() not in cluster.map(_process, range(8))


@pytest.mark.filterwarnings("default")
def test_a_histogram_on_the_cluster_decrypts_to_the_plaintext_one(
    cluster: Executor, executor: Executor, dlog: DlogTable, gradient_keys: KeyPair
) -> None:
    rng = np.random.default_rng(5)
    values, bins = rng.integers(-50, 50, (6000, 2)), rng.integers(0, 4, (6000, 3)).astype(np.uint8)
    rows = gradient_keys.encrypt_rows(values, cluster)
    sums = histogram(rows, np.arange(0, 6000, 2), bins, [4, 4, 5], gradient_keys.public, cluster)
    expected = [values[::2][bins[::2, j] == b].sum(axis=0) for j, n in enumerate([4, 4, 5]) for b in range(n)]
    assert gradient_keys.decrypt_sums(sums, 2**20, dlog, executor).tolist() == np.array(expected).tolist()


@pytest.mark.filterwarnings("default")
def test_blinding_on_the_cluster_equals_blinding_on_threads(cluster: Executor, executor: Executor) -> None:
    points = psi.hash_to_curve([str(i).encode() for i in range(1500)], bytes(32), executor)
    secret = random_scalar()
    assert psi.blind(points, secret, cluster).to_sec1() == psi.blind(points, secret, executor).to_sec1()
