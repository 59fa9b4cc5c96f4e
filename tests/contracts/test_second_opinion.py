"""Another library reads the same from the artifacts: web3's codec beside ours, on the embedded chain."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from eth_utils.abi import function_abi_to_4byte_selector
from web3 import HTTPProvider, Web3
from web3.contract import Contract
from web3.logs import DISCARD

from contracts.script.report.deployed import encode
from contracts.script.report.uplinks import envelope_of, leaf_of
from fedchain.chain.abi import functions
from fedchain.chain.artifacts import CONTRACT_NAMES, load_artifact
from fedchain.chain.devchain import ChainKind
from fedchain.types import Kind
from tests.contracts.stage import PAYLOAD, Stage


@pytest.fixture(scope="module")
def stage(stage_of: Callable[[ChainKind], Stage]) -> Stage:
    """The embedded chain's stage."""
    return stage_of("embedded")


@pytest.fixture(scope="module")
def web3(stage: Stage) -> Iterator[Web3]:
    """Another client of the same chain."""
    provider = HTTPProvider(stage.chain.rpc_url)
    yield Web3(provider)
    provider._request_session_manager.session_cache.clear()


def contract(web3: Web3, stage: Stage, name: str) -> Contract:
    address: Any = stage.deployed.addresses[name]
    found: Contract = web3.eth.contract(address=address, abi=load_artifact(name).abi)
    return found


@pytest.mark.parametrize("name", CONTRACT_NAMES)
def test_every_function_has_the_same_selector(web3: Web3, stage: Stage, name: str) -> None:
    other = contract(web3, stage, name)
    selectors = {one.fn_name: bytes(function_abi_to_4byte_selector(one.abi)) for one in other.all_functions()}
    assert selectors == {method: one.selector for method, one in functions(name).items()}


def test_calldata_events_and_answers_are_read_the_same(web3: Web3, stage: Stage) -> None:
    roster = stage.roster(2)
    active, passive = roster
    job = stage.training(roster, pipelined=True)
    ledger, jobs = contract(web3, stage, "UplinkLedger"), contract(web3, stage, "JobManager")
    sent = envelope_of(job, 1, Kind.HISTOGRAM, PAYLOAD, recipient=active.address)
    theirs = ledger.encode_abi("submit", [tuple(sent.values()), PAYLOAD])
    assert bytes.fromhex(theirs[2:]) == encode("UplinkLedger", "submit", sent, PAYLOAD)
    leaves = [leaf_of(sent)]
    theirs = ledger.encode_abi("submitBatch", [job, 1, 0, 1, [tuple(one.values()) for one in leaves]])
    assert bytes.fromhex(theirs[2:]) == encode("UplinkLedger", "submitBatch", job, 1, 0, 1, leaves)

    done = stage.send(passive, "UplinkLedger", "submit", sent, PAYLOAD)
    receipt = web3.eth.get_transaction_receipt(done.tx_hash)  # type: ignore[arg-type]
    (event,) = ledger.events.UplinkJudged().process_receipt(receipt, DISCARD)
    assert dict(event["args"]) == done.only("UplinkJudged")
    verdict = ledger.functions.verdictOf(passive.address, tuple(sent.values())).call()
    assert tuple(verdict) == tuple(stage.read("UplinkLedger", "verdictOf", passive.address, sent).values())
    found, ours = jobs.functions.jobOf(job).call(), stage.read("JobManager", "jobOf", job)
    assert len(found) == len(ours)
    for one, other in zip(found, ours.values(), strict=True):
        if isinstance(other, dict):
            assert list(one) == list(other.values())
        else:
            assert one == (list(other) if isinstance(other, tuple) else other)
