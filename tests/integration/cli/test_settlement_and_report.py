"""What is seen of an audited job: its settlement, history, anomalies and report, on an embedded chain."""

from __future__ import annotations

import html
import json
import re
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from unittest.mock import patch

import pytest

from fedchain.chain import JobPolicy, seed_commitment
from fedchain.contribution.leaf_mask import Shares
from fedchain.crypto.merkle import payload_digest
from fedchain.federation.spec import JobSpec
from fedchain.messages import Contribution, Envelope, encode
from fedchain.node.api.routes.contributions import Contributions as Document
from fedchain.protocol.audits import LabelTerms
from fedchain.types import AuditReason, JobId, Kind

from .conftest import Invoke, Net, assert_one_line

ROWS = 100
NAMES = ("operator", "media_partner", "bank")
ACCOUNTS = (1, 2, 3)
SPEC = 'name = "churn"\n' + "".join(
    f'[[parties]]\nname = "{name}"\nrole = "{role}"\nid = "customer"\n{label}'
    for name, role, label in zip(NAMES, ("active", "passive", "passive"), ('label = "left"\n', "", ""), strict=True)
)
UTILITIES = (-250_000, -200_000, -230_000, -185_000, -249_000, -199_500, -229_000, -184_000)
"""Minus the sums of losses over rows, as the contract has it."""
SHARES = (47_417, 17_667, 916)
RUNNING = ((20_000, 8_000, -500), (40_000, 12_000, 900), SHARES)
POINTS = 1000


@dataclass(frozen=True)
class Audited:
    """A job of three parties, and what was done in it."""

    net: Net
    job: JobId

    @property
    def raw(self) -> bytes:
        return bytes.fromhex(self.job[2:])

    def send(self, account: int, kind: Kind, payload: bytes, *, round: int = 4, statistic_e6: int = 0) -> bytes:
        consortium = self.net.consortium(account)
        envelope = Envelope(self.raw, round, 0, 0, kind, bytes(20), payload_digest(payload), len(payload), statistic_e6)
        consortium.submit(envelope, payload)
        return consortium.uplink_id(consortium.acting_for(), envelope)

    def contribute(self, shares: tuple[int, ...] = SHARES) -> None:
        message = Contribution(
            rows=ROWS, utilities_e6=UTILITIES, shares_e6=shares, rounds_e6=RUNNING,
            gains_e6=(500_000, 200_000, 300_000), p_values_e6=(0, 10_000, 420_000), powers_e6=(0, 990_000, 310_000),
            detectable_e6=(0, 1_200, 1_300),
        )  # fmt: skip
        statistic_e6 = Shares(UTILITIES, shares).statistic_e6
        uplink = self.send(1, Kind.CONTRIBUTION, encode(message), statistic_e6=statistic_e6)
        self.net.consortium(1).record_contribution(self.job, uplink, shares, UTILITIES[-1], UTILITIES[0])

    def audit(self, *, false: int | None) -> None:
        """All steps; the party of account `false` finds the losses false."""
        parties = {account: self.net.consortium(account) for account in ACCOUNTS}
        for account, one in parties.items():
            seed = bytes([account]) * 32
            one.audits.freeze(
                self.job, b"\x0f" * 32, bytes([account]) * 32, seed_commitment(self.job, one.acting_for(), seed)
            )
        parties[1].audits.post(self.job, b"\x02" * 32, [-ROWS * one for one in UTILITIES], 0b100)
        for account, one in parties.items():
            one.audits.reveal(self.job, bytes([account]) * 32)
        for account in ACCOUNTS[1:]:
            sound = account != false
            parties[account].audits.vote(self.job, sound, AuditReason.SOUND if sound else AuditReason.LOSSES)
        parties[2].audits.conclude(self.job)

    def complete(self) -> None:
        for account in ACCOUNTS:
            self.send(account, Kind.SHARD_DIGEST, b"shard" + bytes([account]) * 32)


def trained(net: Net, *, audited: bool, late: bool = False) -> Audited:
    """A job after three rounds, one of them tried twice, maybe with a histogram of the wrong round: a strike."""
    roster = [net.participant(account, name) for account, name in zip(ACCOUNTS, NAMES, strict=True)]
    spec = JobSpec.from_toml_text(SPEC, "test").to_bytes()
    active = net.consortium(1)
    job = active.propose(spec, roster, JobPolicy(1 << 20, 7, 10**9, phase_seconds=86_400))
    parties = [net.consortium(account) for account in ACCOUNTS]
    for one in parties:
        one.accept(job)
    for one in parties:
        one.declare_aligned(job, b"\x01" * 32, ROWS + 400)
    if audited:
        active.audits.commit_labels(job, LabelTerms(b"\x01" * 32, ROWS, 20, 3600, 7200, POINTS))
    found = Audited(net, job)
    active.begin_round(job, 1)
    active.begin_round(job, 2)
    active.retry_round(job, 2)
    if late:
        found.send(3, Kind.HISTOGRAM, b"early", round=3)
    active.begin_round(job, 3)
    for one in parties:
        one.declare_stop(job, 3)
    return found


@pytest.fixture(scope="module")
def verified(net: Net) -> Audited:
    found = trained(net, audited=True)
    found.contribute()
    found.audit(false=None)
    found.complete()
    return found


@pytest.fixture(scope="module")
def disputed(net: Net) -> Audited:
    """The active party records all of the gain as its own share; one of two auditors finds the losses false."""
    found = trained(net, audited=True, late=True)
    found.contribute((sum(SHARES), 0, 0))
    found.audit(false=3)
    found.complete()
    return found


@pytest.fixture(scope="module")
def aborted(net: Net) -> Audited:
    found = trained(net, audited=False)
    net.consortium(2).abort(found.job, "<script>alert(1)</script> & no $x_1$ table")
    return found


def test_a_job_is_settled_disputed_and_resolved(invoke: Invoke, verified: Audited) -> None:
    job = verified.job
    before = invoke("settlement", "show", job)
    assert f"settlement of job {job}: not settled" in before.stdout
    with patch("fedchain.cli.job.SETTLEMENT_SECONDS", 0.0):
        assert "its contributions are not settled yet" in invoke("job", "watch", job).stderr
    early = invoke("settlement", "dispute", job, "--reason", "no", "--dev-account", 3)
    assert_one_line(early, 2, "not settled yet")

    settled = invoke("settlement", "settle", job, "--dev-account", 9, "--json")
    assert settled.exit_code == 0, settled.output
    found = json.loads(settled.stdout)
    assert [(one["party"], one["withheld"]) for one in found["lines"]] == [
        ("operator", ""), ("media_partner", ""), ("bank", "failed the free-rider test"),
    ]  # fmt: skip
    assert sum(one["points"] for one in found["lines"]) == POINTS
    assert (found["state"], found["final_at"] - found["settled_at"]) == ("disputable", 7200)
    assert_one_line(invoke("settlement", "settle", job, "--dev-account", 9), 2, "settled already")
    assert_one_line(invoke("settlement", "dispute", job, "--reason", "", "--dev-account", 3), 2, "1 to 256 bytes")
    assert_one_line(invoke("settlement", "dispute", job, "--dev-account", 3), 2, "1 to 256 bytes")
    undecided = invoke("settlement", "resolve", job, "--reason", "x", "--dev-account", 0)
    assert_one_line(undecided, 2, "--stands or --rejected")
    nothing = invoke("settlement", "resolve", job, "--stands", "--reason", "x", "--dev-account", 0)
    assert_one_line(nothing, 2, "nobody disputes")

    stranger = invoke("settlement", "dispute", job, "--reason", "mine", "--dev-account", 9)
    assert (stranger.exit_code, stranger.stderr.count("\n")) == (4, 1)
    assert "is no party of the job; give its --keystore" in stranger.stderr
    assert invoke("settlement", "dispute", job, "--reason", "our columns were cut", "--dev-account", 3).exit_code == 0
    assert_one_line(
        invoke("settlement", "dispute", job, "--reason", "mine", "--dev-account", 2), 2, "bank has disputed"
    )
    shown = invoke("settlement", "show", job).stdout
    assert re.search(r"bank +0 +14 +1\.4% +failed the free-rider test", shown)
    assert all(word in shown for word in ("disputed", "by bank: our columns were cut", "media_partner", "26.8%"))
    resolved = invoke("settlement", "resolve", job, "--stands", "--reason", "it was sound", "--dev-account", 0)
    assert resolved.exit_code == 0, resolved.output
    assert "it was sound" in resolved.stdout
    assert "1 of 1 votes" in resolved.stdout
    assert json.loads(invoke("settlement", "show", job, "--json").stdout)["state"] == "final"
    assert Document.model_validate(json.loads(invoke("contributions", job, "--json").stdout)), "as the API tells it"
    again = invoke("settlement", "resolve", job, "--rejected", "--reason", "x", "--dev-account", 0)
    assert_one_line(again, 2, "resolved this dispute already")


def test_a_job_without_a_budget_has_nothing_to_settle(invoke: Invoke, aborted: Audited) -> None:
    assert_one_line(invoke("settlement", "show", aborted.job), 2, "nothing to settle", "audit = true")


def test_a_disputed_audit_pays_nobody(invoke: Invoke, disputed: Audited) -> None:
    found = json.loads(invoke("settlement", "settle", disputed.job, "--dev-account", 1, "--json").stdout)
    assert all("audit did not verify" in one["withheld"] for one in found["lines"])


def test_history_tells_of_all_jobs_of_a_party(invoke: Invoke, verified: Audited, disputed: Audited) -> None:
    shown = invoke("contributions", "bank", "--history", "--json")
    assert shown.exit_code == 0, shown.output
    (bank,) = json.loads(shown.stdout)["parties"]
    jobs = {one["job_id"]: one for one in bank["jobs"]}
    assert {jobs[one.job]["audit"] for one in (verified, disputed)} == {"verified", "disputed"}
    assert jobs[verified.job]["share_e6"] == SHARES[2]
    assert jobs[verified.job]["part"] == pytest.approx(SHARES[2] / sum(SHARES), abs=1e-6)
    assert bank["verified"] == 1
    assert (jobs[disputed.job]["share_e6"], jobs[disputed.job]["recorded_e6"]) == (SHARES[2], 0)
    assert jobs[verified.job]["recorded_e6"] is None
    assert "+0.000916 (recorded as +0.000000)" in invoke("contributions", "bank", "--history").stdout
    table = invoke("contributions", "--history").stdout
    assert re.search(r"operator +2 +1 ", table)
    assert_one_line(invoke("contributions", "nobody", "--history"), 2, "no participant 'nobody'")
    assert_one_line(invoke("contributions"), 2, "name a job")
    assert_one_line(invoke("contributions", verified.job, "--history"), 2, "participant's name")


def test_losses_that_are_posted_and_not_recorded_are_told_and_an_aborted_job_counts_for_no_mean(
    invoke: Invoke, net: Net, verified: Audited
) -> None:
    """Last of those who look at the history: it has two jobs more from here on."""
    silent, broken_off = trained(net, audited=True), trained(net, audited=False)
    silent.audit(false=2)
    silent.complete()
    broken_off.contribute((sum(SHARES), 0, 0))
    net.consortium(1).abort(broken_off.job, "no")
    shown = invoke("contributions", silent.job)
    assert shown.exit_code == 0, shown.output
    assert "recorded by nobody" in shown.stdout
    assert "nothing: not what the posted losses come to" in shown.stdout
    document = json.loads(invoke("contributions", silent.job, "--json").stdout)
    assert (document["block"], document["recorded_e6"]) == (None, {})
    assert list(document["contributions_e6"].values()) == list(SHARES)
    assert Document.model_validate(document), "as the API tells it"
    checked = invoke("contributions", silent.job, "--verify")
    assert (checked.exit_code, "recorded no shares" in checked.stderr) == (1, True)
    (operator,) = json.loads(invoke("contributions", "operator", "--history", "--json").stdout)["parties"]
    jobs = {one["job_id"]: one for one in operator["jobs"]}
    assert (jobs[silent.job]["share_e6"], jobs[silent.job]["block"]) == (SHARES[0], None)
    assert (jobs[broken_off.job]["phase"], jobs[broken_off.job]["part"]) == ("aborted", 1.0)
    assert operator["mean_part"] == pytest.approx(SHARES[0] / sum(SHARES), abs=1e-6)


def test_anomalies_are_a_timeline_by_category(invoke: Invoke, disputed: Audited) -> None:
    result = invoke("anomalies", disputed.job, "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    told = [(one["what"], one["category"], one["party"], one["reason"]) for one in found["anomalies"]]
    assert told[:3] == [
        ("strike", "standing", "bank", "WRONG_ROUND"),
        ("fault", "structural", "bank", "WRONG_ROUND"),
        ("rejected_uplink", "structural", "bank", "WRONG_ROUND"),
    ] or sorted(told[:3]) == [
        ("fault", "structural", "bank", "WRONG_ROUND"),
        ("rejected_uplink", "structural", "bank", "WRONG_ROUND"),
        ("strike", "standing", "bank", "WRONG_ROUND"),
    ]
    assert ("audit_vote", "vote", "bank", "LOSSES") in told
    assert ("audit_outcome", "audit", "operator", "disputed") in told
    assert found["parties"]["bank"] == {"structural": 1, "standing": 1}  # its vote is no mark of it
    assert found["parties"]["operator"] == {"audit": 1}
    times = [one["time"] for one in found["anomalies"]]
    assert times == sorted(times)
    only = json.loads(invoke("anomalies", disputed.job, "--json", "--party", "operator", "--category", "audit").stdout)
    assert {(one["party"], one["category"]) for one in only["anomalies"]} == {("operator", "audit")}
    none = invoke("anomalies", disputed.job, "--party", "bank", "--category", "provable").stdout
    assert none.splitlines() == [f"0 entries about job {disputed.job}, {none.split(', ')[-1].strip()}"]
    table = invoke("anomalies", disputed.job).stdout
    assert all(word in table for word in ("incidents by party", "rejected uplink", "finds the contributions false"))
    assert_one_line(invoke("anomalies", disputed.job, "--category", "odd"), 2, "structural, provable")
    assert_one_line(invoke("anomalies", disputed.job, "--party", "odd"), 2, "operator, media_partner, bank")


VOID = {"meta", "br", "wbr", "link", "input", "img", "hr"}


class Page(HTMLParser):
    """A page's elements; fails where they do not nest, ids repeat, or something would be loaded."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.tags: set[str] = set()
        self.text = ""
        self.feed(text)
        self.close()
        assert self.open == []
        assert len(self.ids) == len(set(self.ids))
        for link in self.links:
            assert link.startswith("#"), link
            assert link[1:] in self.ids, link

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        if tag not in VOID:
            self.open.append(tag)
        for name, value in attrs:
            assert not name.startswith("on"), name
            if name == "id":
                self.ids.append(value or "")
            elif name in ("href", "src", "xlink:href", "action", "data", "poster", "srcset"):
                self.links.append(value or "")
            elif name in ("aria-labelledby", "aria-describedby"):
                self.links += [f"#{one}" for one in (value or "").split()]
            assert "url(" not in (value or "") or "url(#" in (value or ""), value

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, tag

    def handle_data(self, data: str) -> None:
        self.text += data


def written(invoke: Invoke, job: JobId, path: Path) -> str:
    result = invoke("report", job, "--html", path)
    assert result.exit_code == 0, result.output
    assert result.stdout == ""
    return path.read_text(encoding="utf-8")


def test_a_report_is_one_page_that_loads_nothing(
    invoke: Invoke, verified: Audited, disputed: Audited, aborted: Audited, tmp_path: Path
) -> None:
    for one in (verified, disputed, aborted):
        text = written(invoke, one.job, tmp_path / "report.html")
        page = Page(text)
        assert page.tags.isdisjoint({"script", "link", "img", "iframe", "object", "embed", "form", "base"})
        assert "@import" not in text
        assert not re.search(r"https?://(?!www\.w3\.org/)", text)
        assert "default-src 'none'" in html.unescape(text)
        assert written(invoke, one.job, tmp_path / "again.html") == text
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_a_report_tells_of_shares_audit_settlement_anomalies_and_durations(
    invoke: Invoke, disputed: Audited, tmp_path: Path
) -> None:
    text = written(invoke, disputed.job, tmp_path / "report.html")
    words = re.sub(r"\s+", " ", Page(text).text)
    for expected in (
        "churn completed", "3 rounds done", "media_partner", "+0.047417", "71.8%", "50.0%", "0.420", "31.0%",
        "0.001300", "computed them from the posted losses", "recorded other shares", "+0.066000",
        "disputed", "20 of 100 held-out rows", "losses of opened rows, computed anew, are others",
        "Failed the free-rider test: bank", "split gain (gameable)", "WRONG_ROUND", "round 2, attempt 1", "alignment",
    ):  # fmt: skip
        assert expected in words, expected
    for title in ("Contributions over rounds", "Final shares by party", "Anomalies over time", "How long each stage"):
        assert text.count(f"{title}") >= 2, title  # for a page and for a telephone
    found = json.loads(invoke("report", disputed.job, "--json").stdout)
    assert found["contribution"]["running"] == {"rounds": [1, 2, 3], "shares_e6": [list(one) for one in RUNNING]}
    assert [(one["share_e6"], one["recorded_e6"]) for one in found["contribution"]["shares"]] == list(
        zip(SHARES, (sum(SHARES), 0, 0), strict=True)
    )
    assert found["audit"]["outcome"] == "disputed"
    assert [(one["what"], one["round"], one["attempt"]) for one in found["spans"]] == [
        ("acceptance", 0, 0), ("alignment", 0, 0), ("preparation", 0, 0), ("round", 1, 0), ("round", 2, 0),
        ("round", 2, 1), ("round", 3, 0),
        ("evaluation", 0, 0),
    ]  # fmt: skip
    assert [one["rejected"] for one in found["spans"]] == [0, 0, 0, 0, 0, 0, 1, 0]  # of the round that it claimed
    assert found["notes"] == []


def test_who_ended_a_job_and_why_is_in_its_timeline(invoke: Invoke, aborted: Audited) -> None:
    found = json.loads(invoke("anomalies", aborted.job, "--json").stdout)
    (ended,) = [one for one in found["anomalies"] if one["category"] == "claim"]
    assert (ended["what"], ended["party"], ended["detail"]) == ("aborted", "media_partner", "claimed by media_partner")
    assert ended["reason"] == "<script>alert(1)</script> & no $x_1$ table"
    assert found["parties"] == {name: {} for name in NAMES}
    assert "claimed by media_partner" in invoke("anomalies", aborted.job).stdout


def test_a_report_of_true_shares_says_nothing_of_others(invoke: Invoke, verified: Audited) -> None:
    found = json.loads(invoke("report", verified.job, "--json").stdout)["contribution"]
    assert found["computed"]
    assert [(one["share_e6"], one["recorded_e6"]) for one in found["shares"]] == [(one, None) for one in SHARES]


def test_a_report_of_a_job_that_was_aborted_tells_what_there_is(
    invoke: Invoke, aborted: Audited, tmp_path: Path
) -> None:
    text = written(invoke, aborted.job, tmp_path / "report.html")
    words = Page(text).text
    assert "<script>alert(1)</script> & no $x_1$ table (by media_partner)" in words
    assert "<script" not in text
    assert "the job ended before its model was evaluated" in words
    assert "This job has no audit" in words
    assert "no budget to settle" in words


def test_a_report_of_a_running_job_tells_what_is_under_way(invoke: Invoke, net: Net, tmp_path: Path) -> None:
    running = trained(net, audited=True)
    running.contribute()
    words = re.sub(r"\s+", " ", Page(written(invoke, running.job, tmp_path / "report.html")).text)
    assert "under way" in words
    assert "Last step: labels committed" in words
    assert "1,000 points are to be shared" in words


def test_what_a_report_cannot_do_is_one_line(
    invoke: Invoke, aborted: Audited, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert_one_line(invoke("report", aborted.job), 2, "--html FILE", "--json")
    assert_one_line(invoke("report", aborted.job, "--html", tmp_path), 2, "name a file")
    assert_one_line(invoke("report", aborted.job, "--html", tmp_path / "no" / "file.html"), 2, "name a file")
    monkeypatch.setattr("fedchain.node.reporting.page.find_spec", lambda name: None)
    assert_one_line(invoke("report", aborted.job, "--html", tmp_path / "x.html"), 2, "fedchain[report]")
    assert list(tmp_path.iterdir()) == []
