"""Audits of contributions: an honest job is verified; each lie gets the vote, the outcome or the error it earns."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
import pytest
import structlog

from fedchain.compute.executor import Executor
from fedchain.contribution import losses as losses_module
from fedchain.contribution.commitments import label_leaves
from fedchain.contribution.losses import unit_of, utilities_e6
from fedchain.contribution.open_model import open_model
from fedchain.contribution.shapley import shapley_840
from fedchain.crypto.dlog import DlogTable
from fedchain.data.holdout import three_way
from fedchain.errors import ProtocolViolationError, TrainingError
from fedchain.federation import auditing, evaluating
from fedchain.federation import party as party_module
from fedchain.federation.auditing import CONTEXT, ActiveAudit, Outputs
from fedchain.federation.contribspec import ContributionSpec
from fedchain.federation.spec import JobSpec, Stopping
from fedchain.inference import request as request_module
from fedchain.messages import AuditOpening, Contribution, ShardDigest, decode, encode
from fedchain.messages.auditing import ActiveOpening, OpenedLosses
from fedchain.model.leaf_mask import pack_bits
from fedchain.model.shard import Shard, TreeShape
from fedchain.protocol import (
    Action,
    CommitLabels,
    Freeze,
    Party,
    PostLosses,
    RecordContribution,
    RevealSeed,
    Send,
    Stage,
    Vote,
)
from fedchain.simulation.federation import simulate
from fedchain.types import AuditReason, PartyId
from tests.protocol.adversary import rewriting
from tests.protocol.auditing import BANK, OPERATOR, SHOP, TERMS, Audited, Change, audited_case, instead_of, run_audited
from tests.protocol.cases import Case, objective_case, with_algorithm

Run = Callable[..., Audited]


@pytest.fixture
def run(executor: Executor, dlog: DlogTable) -> Run:
    def once(**arguments: Any) -> Audited:
        return run_audited(executor, dlog, **arguments)

    return once


@pytest.mark.parametrize("mode", ["standard", "layered", "mix"])
def test_an_honest_job_is_verified_by_all(mode: str, run: Run) -> None:
    found = run(case=audited_case(mode))
    state, active = found.state, found.outcomes[OPERATOR]
    assert (state.outcome, found.reasons, state.silent) == ("verified", ["SOUND", "SOUND"], (0, 0, 0))
    assert active.shares is not None
    utilities = utilities_e6(state.loss_sums, state.terms.rows)
    assert utilities == active.shares.utilities_e6
    assert state.shares840 == shapley_840(utilities)
    assert sum(state.shares840) == 840 * sum(active.shares.shares_e6)
    kept = [outcome.audit for outcome in found.outcomes.values() if outcome.audit is not None]
    assert len({one.opening for one in kept}) == 1
    assert {len(one.opened_positions) for one in kept} == {20}
    assert len({outcome.model_digest for outcome in found.outcomes.values()}) == 1
    for outcome in found.outcomes.values():
        assert outcome.contribution == active.contribution


def test_rows_that_are_drawn_for_each_tree_or_validate_are_no_false_covers(run: Run) -> None:
    case = audited_case("standard", row_sample=0.6)
    stopping = Stopping(rule="early", validation_fraction=0.15)
    spec = case.spec.model_copy(update={"stopping": stopping})
    found = run(case=Case(spec, case.tables))
    assert found.reasons == ["SOUND", "SOUND"]
    active = found.outcomes[OPERATOR]
    assert {tree.covers[0] for tree in active.shard.trees} == {spec.sampled_rows(active.aligned_rows)}


def test_an_audit_changes_nothing_of_the_model(run: Run, executor: Executor, dlog: DlogTable) -> None:
    case = audited_case()
    plain = case.spec.model_copy(update={"contribution": ContributionSpec()})
    expected = simulate(plain, case.tables, executor=executor, dlog=dlog).active
    found = run().outcomes[OPERATOR]
    assert found.model_digest == expected.model_digest
    assert found.shares == expected.shares
    assert expected.audit is None


@pytest.mark.parametrize("objective", ["multiclass", "squared_error", "tweedie"])
def test_other_objectives_are_audited_too(objective: str, run: Run) -> None:
    case = objective_case(objective)
    spec = case.spec.model_copy(update={"contribution": replace_terms(opened_rows=10_000)})
    found = run(case=Case(spec, case.tables))
    assert found.reasons == ["SOUND", "SOUND"]
    assert found.state.terms.opened_rows == found.state.terms.rows


def test_a_job_that_continues_a_model_is_audited(executor: Executor, dlog: DlogTable) -> None:
    """Leaf weights of the rounds before were committed to in the earlier job; those of this one are compared."""
    case = audited_case()
    first = simulate(case.spec, case.tables, executor=executor, dlog=dlog)
    document = case.spec.model_dump(mode="json", by_alias=True) | {"warm_start": {"model": first.active.model_digest}}
    shards = {party: outcome.shard for party, outcome in first.outcomes.items()}
    spec = JobSpec._validate(document, "test")
    found = simulate(spec, case.tables, executor=executor, dlog=dlog, checkpoints=shards)
    for outcome in found.outcomes.values():
        assert outcome.audit is not None
        assert (outcome.audit.outcome, outcome.audit.finding) == ("verified", "")
    kept = found.outcomes[BANK].audit
    assert kept is not None
    assert kept.commitments is not None
    assert (kept.earlier_rounds, len(kept.commitments)) == (2, 2)


def replace_terms(**changes: Any) -> ContributionSpec:
    return TERMS.model_copy(update=changes)


# -- the active party lies --------------------------------------------------------------------------------------------


def posted(**changes: Callable[[PostLosses], Any]) -> Change:
    return instead_of(PostLosses, lambda one: replace(one, **{name: make(one) for name, make in changes.items()}))


def test_sums_that_are_not_the_trees_are_voted_false(run: Run) -> None:
    lie = posted(sums=lambda one: (one.sums[0] + 10**6, *one.sums[1:]))
    found = run(lies={OPERATOR: lie})
    assert (found.state.outcome, found.reasons) == ("false", ["SUMS", "SUMS"])


def test_a_published_message_with_other_utilities_than_posted_is_voted_false(run: Run) -> None:
    def lie(action: Action) -> Action:
        if isinstance(action, Send) and isinstance(action.message, Contribution):
            utilities = (action.message.utilities_e6[0] - 1, *action.message.utilities_e6[1:])
            return replace(action, message=msgspec.structs.replace(action.message, utilities_e6=utilities))
        return action

    found = run(lies={OPERATOR: lie})
    assert (found.state.outcome, found.reasons) == ("false", ["SUMS", "SUMS"])


def test_tampered_losses_are_found_where_one_of_them_is_opened(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """The liar is consistent: tree, sums, message and shares all follow from the losses that it made better."""
    honest = losses_module.row_losses_e6

    def tampered(*arguments: Any) -> Any:
        losses = honest(*arguments)
        losses[: len(losses) // 2, 1] = 0
        return losses

    monkeypatch.setattr(party_module, "row_losses_e6", tampered)
    found = run()
    assert (found.state.outcome, found.reasons) == ("false", ["LOSSES", "LOSSES"])
    assert "other losses" in found.outcomes[BANK].audit.finding  # type: ignore[union-attr]


def test_one_tampered_row_escapes_where_it_is_not_opened(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """What an audit is not: with one row of 43 tampered and one opened, the odds are with the liar."""
    honest = losses_module.row_losses_e6

    def tampered(*arguments: Any) -> Any:
        losses = honest(*arguments)
        losses[0, 1] = 0
        return losses

    monkeypatch.setattr(party_module, "row_losses_e6", tampered)
    case = audited_case(terms=replace_terms(opened_rows=1))
    outcomes = {run(case=case).state.outcome for _ in range(3)}
    assert "verified" in outcomes


def changed_tree(shard: Shard, **fields: Any) -> Shard:
    return msgspec.structs.replace(shard, trees=(msgspec.structs.replace(shard.trees[0], **fields), *shard.trees[1:]))


def other_weights(shard: Shard) -> Shard:
    return changed_tree(shard, weights=tuple(one + 1e-9 for one in shard.trees[0].weights))


def other_owners(shard: Shard) -> Shard:
    shape, swapped = shard.trees[0].shape, {1: 2, 2: 1}
    return changed_tree(shard, shape=TreeShape(shape.nodes, tuple(swapped.get(one, one) for one in shape.owners)))


def other_base(shard: Shard) -> Shard:
    """Bound with the labels before training, though not by a commitment of any round."""
    return msgspec.structs.replace(shard, base_margins=(shard.base_margins[0] + 0.1,))


def one_row_less(shard: Shard) -> Shard:
    """The last tree with a training row less than there were, taken off its largest leaf: all covers add up."""
    tree = shard.trees[-1]
    covers = dict(zip(tree.shape.nodes, tree.covers, strict=True))
    node = max(tree.shape.leaves(), key=lambda leaf: covers[leaf])
    while node >= 0:
        covers[node] -= 1
        node = (node - 1) // 2 if node else -1
    less = msgspec.structs.replace(tree, covers=tuple(covers[one] for one in tree.shape.nodes))
    return msgspec.structs.replace(shard, trees=(*shard.trees[:-1], less))


@pytest.mark.parametrize("mode", ["layered", "mix"])
def test_covers_of_other_rows_than_trained_are_voted_false_by_all(
    mode: str, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also of a tree in which an auditor has no part: small covers would pass for anything."""
    monkeypatch.setattr(auditing, "open_model", lambda shard: one_row_less(open_model(shard)))
    found = run(case=audited_case(mode))
    assert (found.state.outcome, found.reasons) == ("false", ["SHAPES", "SHAPES"])


@pytest.mark.parametrize(
    ("change", "reason"), [(other_weights, "WEIGHTS"), (other_owners, "SHAPES"), (other_base, "LABELS")]
)
def test_another_model_than_trained_is_voted_false(
    change: Callable[[Shard], Shard], reason: str, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(auditing, "open_model", lambda shard: change(open_model(shard)))
    found = run()
    assert (found.state.outcome, found.reasons) == ("false", [reason, reason])


def reopened(change: Callable[[ActiveOpening], ActiveOpening]) -> type[ActiveAudit]:
    """An active party that opens something else than it should, well sealed."""

    class Liar(ActiveAudit):
        def run(self, outputs: Outputs) -> Party[Any]:
            def lie(action: Action) -> Action:
                if isinstance(action, Send) and isinstance(action.message, AuditOpening):
                    honest = decode(self._keys.unseal(action.message.sealed, CONTEXT, OPERATOR), ActiveOpening)
                    sealed = self._keys.seal_to_roster(encode(change(honest)), CONTEXT)
                    return replace(action, message=AuditOpening(sealed))
                return action

            return rewriting(super().run(outputs), lie)

    return Liar


def without_salts(losses: OpenedLosses) -> OpenedLosses:
    return msgspec.structs.replace(losses, salts=bytes(len(losses.salts)))


def with_label(opening: ActiveOpening, label: float) -> ActiveOpening:
    rows = opening.labels
    leaf = rows.leaves[0][:4] + struct.pack("<d", label)
    return msgspec.structs.replace(opening, labels=msgspec.structs.replace(rows, leaves=(leaf, *rows.leaves[1:])))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda one: msgspec.structs.replace(one, model=other_base(Shard.from_bytes(one.model)).to_bytes()), "OPENING"),
        (lambda one: msgspec.structs.replace(one, model=one.model + b" "), "SHAPES"),
        (lambda one: msgspec.structs.replace(one, unit=2.0), "OPENING"),
        (lambda one: msgspec.structs.replace(one, weight_salts=bytes(len(one.weight_salts))), "WEIGHTS"),
        (lambda one: msgspec.structs.replace(one, weight_salts=one.weight_salts[32:]), "WEIGHTS"),
        (lambda one: msgspec.structs.replace(one, bits=one.bits[::-1]), "OPENING"),
        (lambda one: msgspec.structs.replace(one, bits=one.bits[:2]), "OPENING"),
        (lambda one: with_label(one, 0.5), "OPENING"),
        (lambda one: msgspec.structs.replace(one, losses=without_salts(one.losses)), "OPENING"),
    ],
)
def test_an_opening_that_does_not_lead_to_what_was_frozen_is_voted_false(
    change: Callable[[ActiveOpening], ActiveOpening], reason: str, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fedchain.federation.party.ActiveAudit", reopened(change))
    found = run()
    assert (found.state.outcome, found.reasons) == ("false", [reason, reason])


def test_labels_that_are_none_or_of_other_rows_are_voted_false(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def committing(change: Callable[[Any, Any], tuple[Any, Any]]) -> None:
        monkeypatch.setattr(auditing, "label_leaves", lambda places, labels: label_leaves(*change(places, labels)))

    committing(lambda places, labels: (places, labels / 2))
    assert run().reasons == ["LABELS", "LABELS"]
    committing(lambda places, labels: (places[::-1], labels))
    assert run().reasons == ["LABELS", "LABELS"]
    committing(lambda places, labels: (places, 1 - labels))
    assert run().reasons == ["LOSSES", "LOSSES"]


def test_no_opening_is_voted_false(run: Run) -> None:
    def lie(action: Action) -> Action:
        sends_opening = isinstance(action, Send) and isinstance(action.message, AuditOpening)
        return Stage("lie") if sends_opening else action

    found = run(lies={OPERATOR: lie})
    assert (found.state.outcome, found.reasons) == ("false", ["ABSENT", "ABSENT"])


def test_an_opening_that_does_not_open_is_voted_false(run: Run) -> None:
    def lie(action: Action) -> Action:
        if isinstance(action, Send) and isinstance(action.message, AuditOpening):
            return replace(action, message=AuditOpening(action.message.sealed[:-1]))
        return action

    assert run(lies={OPERATOR: lie}).reasons == ["OPENING", "OPENING"]


def test_an_active_party_that_does_not_reveal_its_seed_has_failed(run: Run) -> None:
    found = run(lies={OPERATOR: instead_of(RevealSeed)})
    assert (found.state.outcome, found.reasons, found.state.silent) == ("failed", ["-", "-"], (4, 0, 0))
    assert len({outcome.model_digest for outcome in found.outcomes.values()}) == 1, "the model is as good as before"


def test_an_active_party_that_posts_nothing_has_failed(run: Run) -> None:
    def lie(action: Action) -> Action:
        return Stage("lie") if isinstance(action, (PostLosses, RevealSeed)) else action

    found = run(lies={OPERATOR: lie})
    assert (found.state.outcome, found.state.silent) == ("failed", (2, 0, 0))


def test_terms_that_are_not_the_jobs_stop_it_before_training(run: Run) -> None:
    lie = instead_of(CommitLabels, lambda one: CommitLabels(replace(one.terms, opened_rows=1)))
    with pytest.raises(ProtocolViolationError, match="committed to terms") as caught:
        run(lies={OPERATOR: lie})
    assert caught.value.culprit == OPERATOR


def published(**changes: Any) -> Change:
    """An active party that publishes something else, and records the same shares."""

    def lie(action: Action) -> Action:
        if isinstance(action, Send) and isinstance(action.message, Contribution):
            return replace(action, message=msgspec.structs.replace(action.message, **changes))
        if isinstance(action, RecordContribution) and "shares_e6" in changes:
            return replace(action, shares_e6=changes["shares_e6"])
        return action

    return lie


def test_false_shares_over_true_utilities_are_voted_false(run: Run) -> None:
    shares = run().outcomes[OPERATOR].shares
    assert shares is not None
    mine = (sum(shares.shares_e6), 0, 0)
    found = run(lies={OPERATOR: published(shares_e6=mine, rounds_e6=(mine,))})
    assert (found.state.outcome, found.reasons) == ("false", ["SUMS", "SUMS"])
    found = run(lies={OPERATOR: published(rounds_e6=((1, 2, 3),))})
    assert found.reasons == ["SUMS", "SUMS"]


def test_a_record_that_is_not_what_was_published_is_voted_false(run: Run) -> None:
    mine = instead_of(RecordContribution, lambda one: replace(one, shares_e6=(sum(one.shares_e6), 0, 0)))
    assert run(lies={OPERATOR: mine}).reasons == ["SUMS", "SUMS"]
    assert run(lies={OPERATOR: instead_of(RecordContribution)}).reasons == ["SUMS", "SUMS"]


def test_calling_a_rival_weak_is_voted_false(run: Run) -> None:
    assert run(lies={OPERATOR: posted(weak=lambda _: 0b110)}).reasons == ["SUMS", "SUMS"]


def test_calling_a_rival_weak_by_invented_p_values_is_voted_false_where_it_is_clearly_none(run: Run) -> None:
    """Half of all rows are held out and opened: there the bank's decisions beat all that are shuffled."""
    invent, mask = published(p_values_e6=(0, 900_000, 10_000)), posted(weak=lambda _: 0b010)
    case = with_algorithm(objective_case("squared_error"), trees=8)
    holdout = case.spec.holdout.model_copy(update={"fraction": 0.5})
    terms = replace_terms(opened_rows=200)
    case = Case(case.spec.model_copy(update={"holdout": holdout, "contribution": terms}), case.tables)
    found = run(case=case, lies={OPERATOR: lambda action: mask(invent(action))})
    assert found.reasons == ["SUMS", "SUMS"]
    assert "called party 'bank' weak" in found.outcomes[SHOP].audit.finding  # type: ignore[union-attr]


def test_evaluating_rows_that_were_trained_on_is_voted_false(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    honest = three_way

    def other(*arguments: Any) -> Any:
        split = honest(*arguments)
        swapped = np.roll(split.holdout, 1)
        return replace(split, holdout=swapped)

    monkeypatch.setattr(party_module, "three_way", other)
    assert run().reasons == ["LABELS", "LABELS"]


def test_evaluating_other_rows_than_are_drawn_without_labels_is_voted_false(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = objective_case("squared_error")
    case = Case(case.spec.model_copy(update={"contribution": TERMS}), case.tables)
    honest = three_way

    def other(labels: Any, holdout: float, validation: float, seed: int, stratified: bool) -> Any:
        return honest(labels, holdout, validation, seed + 1, stratified)

    monkeypatch.setattr(party_module, "three_way", other)
    assert run(case=case).reasons == ["LABELS", "LABELS"]


def test_a_unit_that_chooses_who_is_paid_is_voted_false(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """A thirtieth of the labels' variance: losses are capped at so little that a third of the points move."""
    case = objective_case("squared_error")
    case = Case(case.spec.model_copy(update={"contribution": replace_terms(opened_rows=20)}), case.tables)
    assert run(case=case).state.outcome == "verified"
    for module in (party_module, evaluating):
        monkeypatch.setattr(module, "unit_of", lambda objective, labels: unit_of(objective, labels) / 30)
    found = run(case=case)
    assert (found.state.outcome, found.reasons) == ("false", ["LABELS", "LABELS"])


def test_an_opening_that_would_not_fit_ends_the_job_before_training(executor: Executor, dlog: DlogTable) -> None:
    case = audited_case()
    policy = case.spec.policy.model_copy(update={"max_payload_bytes": 5_000})
    spec = case.spec.model_copy(update={"policy": policy})
    with pytest.raises(TrainingError, match=r"lower contribution\.opened_rows"):
        run_audited(executor, dlog, Case(spec, case.tables))


def test_the_bound_of_an_opening_holds(run: Run) -> None:
    for opened in (1, 20, 43):
        case = audited_case(terms=replace_terms(opened_rows=opened))
        found = run(case=case)
        params = case.spec.algorithm
        bound = auditing.largest_opening(found.state.terms, 3, params.trees, params.most_leaves)
        kept = found.outcomes[BANK].audit
        assert kept is not None
        assert bound / 4 < len(kept.opening) <= bound


# -- a passive party lies ---------------------------------------------------------------------------------------------


def test_a_passive_party_that_freezes_other_bits_is_named_before_anything_is_posted(run: Run) -> None:
    with pytest.raises(ProtocolViolationError, match="froze other outputs") as caught:
        run(lies={BANK: instead_of(Freeze, lambda one: replace(one, outputs=bytes(31) + b"\x01"))})
    assert caught.value.culprit == BANK


def test_a_passive_party_that_is_silent_holds_nobody_up(run: Run) -> None:
    found = run(lies={SHOP: instead_of(RevealSeed)})
    assert (found.state.outcome, found.state.silent) == ("verified", (0, 0, 4))
    found = run(lies={SHOP: instead_of(Vote)})
    assert (found.state.outcome, found.reasons, found.state.silent) == ("verified", ["SOUND", "-"], (0, 0, 8))


def test_one_false_vote_of_two_disputes_and_condemns_nobody(run: Run) -> None:
    found = run(lies={SHOP: instead_of(Vote, lambda _: Vote(False, AuditReason.LOSSES))})
    assert (found.state.outcome, found.reasons) == ("disputed", ["SOUND", "LOSSES"])


@pytest.mark.parametrize("liar", [OPERATOR, BANK])
def test_who_puts_up_another_shard_than_it_froze_is_named(liar: PartyId, run: Run) -> None:
    """The job is completed on the chain by then, so it is at every party; the contract withholds the points."""

    def lie(action: Action) -> Action:
        if isinstance(action, Send) and isinstance(action.message, ShardDigest):
            return replace(action, message=ShardDigest(bytes(32)))
        return action

    with structlog.testing.capture_logs() as lines:
        found = run(lies={liar: lie})
    assert len({outcome.model_digest for name, outcome in found.outcomes.items() if name != liar}) == 1
    assert [line["party"] for line in lines if "another shard" in line["event"]] == [liar, liar]


def test_bits_beyond_the_leaves_are_refused_before_anybody_can_be_blamed_for_them(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else an auditor would refuse what the active party opens of them."""
    honest = pack_bits

    def padded(bits: Any) -> bytes:
        packed = bytearray(honest(bits))
        if bits.shape[1] % 8 and bits.shape[1] == shops_bits:
            packed[-1] |= 0x80
        return bytes(packed)

    shop = run().outcomes[SHOP].shard
    shops_bits = sum(tree.shape.bit_count for tree in shop.trees)
    monkeypatch.setattr(request_module, "pack_bits", padded)
    with pytest.raises(ProtocolViolationError, match="leaf bits per row") as caught:
        run()
    assert caught.value.culprit == SHOP
