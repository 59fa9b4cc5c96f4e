"""Jobs whose contributions are audited, and parties that lie in the audit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from fedchain.compute.executor import Executor
from fedchain.crypto.dlog import DlogTable
from fedchain.federation.contribspec import ContributionSpec
from fedchain.federation.party import JobOutcome, job_party
from fedchain.protocol import Action, AuditState, Party, Stage
from fedchain.simulation.channel import Channel
from fedchain.types import AuditReason, PartyId
from tests.protocol.adversary import rewriting
from tests.protocol.cases import Case, make_case, with_algorithm

OPERATOR, BANK, SHOP = PartyId("operator"), PartyId("bank"), PartyId("shop")
TERMS = ContributionSpec(audit=True, opened_rows=20, budget=1000)
Change = Callable[[Action], Action]


@dataclass(frozen=True)
class Audited:
    """An audited job that was run to its end.

    Attributes:
        state: of the audit, as the contract's rules have it.
        outcomes: of the parties.
    """

    state: AuditState
    outcomes: Mapping[PartyId, JobOutcome]

    @property
    def reasons(self) -> list[str]:
        """Of the passive parties' votes, by name; `-` where one did not vote."""
        votes = zip(self.state.votes[1:], self.state.reasons[1:], strict=True)
        return [AuditReason(reason).name if vote else "-" for vote, reason in votes]


@lru_cache(maxsize=4)
def audited_case(mode: str = "layered", terms: ContributionSpec = TERMS, **algorithm: Any) -> Case:
    """Three parties that all know something, and an audit."""
    minima = {} if mode == "standard" else {"min_leaf_rows": 6, "min_bin_rows": 5}
    case = with_algorithm(make_case("three parties"), mode=mode, **{"trees": 2, "depth": 3, **minima, **algorithm})
    return Case(case.spec.model_copy(update={"contribution": terms}), case.tables)


def run_audited(
    executor: Executor, dlog: DlogTable, case: Case | None = None, lies: Mapping[PartyId, Change] | None = None
) -> Audited:
    """Run the job; `lies` change a party's actions."""
    case = case or audited_case()
    parties: dict[PartyId, Party[JobOutcome]] = {}
    for name in case.spec.names:
        secret = dlog if name == case.spec.names[0] else None
        party = job_party(case.spec, name, case.tables[name], executor=executor, dlog=secret)
        parties[name] = rewriting(party, lies[name]) if lies and name in lies else party
    channel = Channel()
    outcomes = channel.run(parties)
    assert channel.audit.state is not None
    return Audited(channel.audit.state, outcomes)


def instead_of(kind: type[Any], change: Callable[[Any], Action] | None = None) -> Change:
    """Changes each action of this type, or leaves it out."""

    def apply(action: Action) -> Action:
        if not isinstance(action, kind):
            return action
        return Stage("lie") if change is None else change(action)

    return apply
