"""One image for all tests here; they run with `make test-docker` alone."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.integration.docker.engine import BASE_IMAGE, ROOT, docker, missing


@pytest.fixture(scope="session")
def image() -> Iterator[str]:
    """The image, built from this checkout; layers that did not change come from the engine's cache."""
    if os.environ.get("FEDCHAIN_TEST_DOCKER") != "1":
        pytest.skip("builds an image and runs containers, for some minutes: make test-docker, where a Docker engine is")
    reason = missing()
    if reason is not None:
        pytest.fail(f"{reason}; make test-docker needs a Docker engine")
    tag = f"fedchain:test-{os.getpid()}"
    network = os.environ.get("FEDCHAIN_BUILD_NETWORK", "default")
    arguments = ["--build-arg", f"BASE_IMAGE={BASE_IMAGE}", "--network", network, "--tag", tag]
    docker("build", "--file", str(ROOT / "docker" / "Dockerfile"), *arguments, str(ROOT))
    yield tag
    docker("rmi", "--no-prune", tag, check=False)
