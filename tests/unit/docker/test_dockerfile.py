"""What a site may rely on in the image, read from its recipe."""

from __future__ import annotations

import json
import re
import stat
import subprocess
from fnmatch import fnmatch

import pytest

from tests.unit.docker.files import DOCKER, ROOT, dockerfile

BEFORE, BUILD, FINAL = dockerfile()


def of(stage: list[tuple[str, str]], instruction: str) -> list[str]:
    return [rest for name, rest in stage if name == instruction]


def test_a_site_can_pin_its_own_base() -> None:
    assert ("ARG", "BASE_IMAGE=python:3.11-slim-bookworm") in BEFORE
    assert of(BUILD, "FROM") == ["${BASE_IMAGE} AS build"]
    assert of(FINAL, "FROM") == ["${BASE_IMAGE}"]


def test_it_runs_as_a_fixed_user_without_rights() -> None:
    assert of(FINAL, "USER") == ["10001:10001"]
    made = " ".join(of(FINAL, "RUN"))
    assert "useradd --uid 10001 --gid 10001" in made
    assert "nologin" in made


def test_the_final_stage_installs_nothing_and_takes_one_folder() -> None:
    for command in of(FINAL, "RUN"):
        assert not re.search(r"\b(apt|apt-get|pip|npm|curl|wget|gcc|make)\b", command), command
    assert of(FINAL, "COPY") == ["--from=build /opt/fedchain /opt/fedchain"]
    assert not of(FINAL, "ADD")


def test_packages_are_wheels_with_their_metadata_and_nothing_is_left_to_update() -> None:
    installs = [command for command in of(BUILD, "RUN") if "install" in command]
    assert installs
    for command in installs:
        assert "--no-cache-dir" in command
    assert "--only-binary :all: --no-binary fedchain" in installs[0], "a compiler must never be needed"
    assert any("--without-pip" in command for command in of(BUILD, "RUN"))
    assert not re.search(r"rm -[rf]+ .*(dist-info|dpkg)", " ".join(of(BUILD, "RUN") + of(FINAL, "RUN")))


def test_it_says_how_it_is_checked_started_and_stopped() -> None:
    (check,) = of(FINAL, "HEALTHCHECK")
    assert json.loads(check.partition("CMD ")[2]) == ["fedchain", "node", "status"]
    assert json.loads(of(FINAL, "ENTRYPOINT")[0]) == ["fedchain"]
    assert json.loads(of(FINAL, "CMD")[0]) == ["node", "run"]
    assert of(FINAL, "STOPSIGNAL") == ["SIGTERM"]


def test_it_carries_labels_and_no_secret() -> None:
    labels = " ".join(of(FINAL, "LABEL"))
    for name in ("title", "description", "licenses", "revision", "base.name"):
        assert f"org.opencontainers.image.{name}=" in labels
    for name, rest in [*BUILD, *FINAL]:
        if name in ("ENV", "ARG"):
            assert not re.search(r"(?i)pass|secret|token|://", rest), rest


def test_only_what_the_image_is_made_of_reaches_the_engine() -> None:
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    rules = [line for line in lines if line and not line.startswith("#")]
    assert rules[0] == "*", "an allowlist: new files stay out by themselves"
    allowed = {rule[1:] for rule in rules if rule.startswith("!")}
    copied = {one for rest in of(BUILD, "COPY") for one in rest.split()[:-1]}
    assert copied == allowed
    assert all((ROOT / one).exists() for one in copied)
    assert not [one for one in allowed if fnmatch(one, "*.csv") or one in (".", ".git", "nodes", "tests")]


@pytest.mark.parametrize("name", ["start-node.sh", "start-besu-network.sh"])
def test_scripts_can_be_run_and_parse(name: str) -> None:
    script = DOCKER / name
    assert script.stat().st_mode & stat.S_IXUSR
    assert script.read_text(encoding="utf-8").startswith("#!/bin/sh\n")
    assert "\nset -eu\n" in script.read_text(encoding="utf-8")
    assert subprocess.run(["sh", "-n", str(script)], timeout=30).returncode == 0
