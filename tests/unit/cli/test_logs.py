"""Logs: stderr, one format, no secrets."""

from __future__ import annotations

import json
import logging

import pytest
import structlog

from fedchain.cli.logs import REDACTED, configure_logging


def test_both_kinds_of_loggers_write_json_lines_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("info", as_json=True)
    structlog.get_logger("fedchain.a").info("one", job="0x1", name="telco")
    logging.getLogger("fedchain.b").warning("two %s", "2")
    captured = capsys.readouterr()
    first, second = (json.loads(line) for line in captured.err.splitlines())
    assert captured.out == ""
    assert (first["event"], first["job"], first["name"], first["level"]) == ("one", "0x1", "telco", "info")
    assert (second["event"], second["level"]) == ("two 2", "warning")


def test_level_is_kept(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("warning", as_json=True)
    structlog.get_logger("fedchain.a").info("quiet")
    structlog.get_logger("fedchain.a").error("loud")
    assert [json.loads(line)["event"] for line in capsys.readouterr().err.splitlines()] == ["loud"]


def test_configuring_again_does_not_double_the_lines(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("info", as_json=True)
    configure_logging("info", as_json=False)
    structlog.get_logger("fedchain.a").info("once")
    assert capsys.readouterr().err.count("once") == 1


@pytest.mark.parametrize("as_json", [True, False])
@pytest.mark.parametrize("key", ["passphrase", "private_key", "client_secret", "Password"])
def test_values_under_secret_names_are_blotted_out(capsys: pytest.CaptureFixture[str], key: str, as_json: bool) -> None:
    configure_logging("info", as_json=as_json)
    structlog.get_logger("fedchain.a").info("opened", **{key: "hunter2"})
    written = capsys.readouterr().err
    assert "hunter2" not in written
    assert REDACTED in written
