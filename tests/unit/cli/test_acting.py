"""Commands that send: the options that they all have, and who may not send what they ask for."""

from __future__ import annotations

import inspect

import pytest
import typer
from typer.testing import CliRunner

from fedchain.cli.acting import Acting, sends
from fedchain.cli.options import DEFAULT_DEPLOYMENT, AsJson, JobIdArgument
from fedchain.errors import ConfigError, NotAccreditedError, TransactionError

CALLER = "0x" + "Ab" * 20
app = typer.Typer()


@app.command()
@sends
def act(job: JobIdArgument, *, by: Acting, as_json: AsJson = False) -> None:
    """Tell what was given."""
    if job.startswith("Not"):
        raise TransactionError("Settlement.dispute", job)
    print(job, by.dev_account, by.rpc, by.deployment == DEFAULT_DEPLOYMENT, as_json)


def test_the_options_stand_where_the_parameter_stood() -> None:
    names = list(inspect.signature(act).parameters)
    assert names == ["job", "rpc", "deployment", "keystore", "passphrase_file", "dev_account", "as_json"]
    result = CliRunner().invoke(app, ["0xab", "--dev-account", "3", "--rpc", "http://chain", "--json"])
    assert result.stdout == "0xab 3 http://chain True True\n"
    assert CliRunner().invoke(app, ["0xab", "--dev-account", "10"]).exit_code == 2


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        (f"NotOnRoster(jobId=0x{'11' * 32}, caller={CALLER})", f"account {CALLER} is no party of the job; give its"),
        (f"NotSteward(caller={CALLER})", f"account {CALLER} is no steward; give its --keystore"),
    ],
)
def test_a_stranger_is_told_whose_key_it_takes(reason: str, words: str) -> None:
    result = CliRunner().invoke(app, [reason])
    assert isinstance(result.exception, NotAccreditedError)
    assert words in str(result.exception)


def test_what_else_the_contract_says_is_left_as_it_is() -> None:
    result = CliRunner().invoke(app, ["NotSettled(jobId=0xab)"])
    assert isinstance(result.exception, TransactionError)
    assert not isinstance(result.exception, ConfigError)
