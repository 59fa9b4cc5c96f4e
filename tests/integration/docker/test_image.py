"""The image as it was built: who it runs as, what it can write, what is in it."""

from __future__ import annotations

import json

import pytest

from tests.integration.docker.engine import docker

pytestmark = [pytest.mark.docker, pytest.mark.timeout(1200)]

HARDENED = ("--rm", "--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--network", "none")


def python(image: str, code: str, *options: str) -> str:
    return docker("run", *HARDENED, *options, "--entrypoint", "python", image, "-c", code).strip()


def test_it_runs_as_a_user_without_rights_on_a_read_only_root(image: str) -> None:
    code = (
        "import os, pathlib\n"
        "print(os.getuid(), os.getgid())\n"
        "for folder in ('/', '/opt/fedchain', '/usr', '/etc'):\n"
        "    assert not os.access(folder, os.W_OK), folder\n"
        "pathlib.Path('/var/lib/fedchain/probe').write_text('kept')\n"
    )
    assert python(image, code, "--volume", "/var/lib/fedchain") == "10001 10001"


def test_it_holds_no_compiler_no_installer_and_no_table(image: str) -> None:
    code = (
        "import pathlib, shutil, subprocess, sys\n"
        "assert not [one for one in ('gcc', 'cc', 'g++', 'clang', 'make', 'rustc') if shutil.which(one)]\n"
        "assert subprocess.run([sys.executable, '-m', 'pip', '--version'], capture_output=True).returncode\n"
        "assert not list(pathlib.Path('/opt/fedchain').rglob('telco*.csv'))\n"
        "print('ok')"
    )
    assert python(image, code) == "ok"


def test_every_package_is_listed_for_an_inventory(image: str) -> None:
    code = (
        "import importlib.metadata as m, json\n"
        "print(json.dumps({one.metadata['Name'].lower(): one.version for one in m.distributions()}))"
    )
    packages = json.loads(python(image, code))
    assert {"fedchain", "grpcio", "cryptography", "coincurve", "xgboost-cpu", "pyarrow", "sqlalchemy"} <= set(packages)
    assert all(packages.values())


def test_its_commands_run(image: str) -> None:
    assert docker("run", *HARDENED, image, "--version").strip()
    assert "fedchain chain start" in docker("run", *HARDENED, image, "chain", "start", "--help")


def test_it_says_what_it_is(image: str) -> None:
    (found,) = json.loads(docker("image", "inspect", image))
    config = found["Config"]
    assert config["User"] == "10001:10001"
    assert config["Healthcheck"]["Test"] == ["CMD", "fedchain", "node", "status"]
    assert config["Labels"]["org.opencontainers.image.title"] == "fedchain"
    environment = dict(one.split("=", 1) for one in config["Env"])
    assert not [name for name in environment if "PASS" in name or "SECRET" in name or "TOKEN" in name]
