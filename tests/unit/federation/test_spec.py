"""Job files: every key is known or an error, every value is in range or an error, one form on chain."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedchain.errors import ConfigError
from fedchain.federation import JobSpec
from fedchain.federation.spec import MAX_SPEC_BYTES

JOB = """
schema = 1
name = "churn"
seed = 7

[algorithm]
trees = 5
learning_rate = 0.25

[alignment]
min_rows = 10

[holdout]
fraction = 0.3

[policy]
deadline_seconds = 60

[[parties]]
name = "bank"
role = "passive"
categorical = ["region"]

[[parties]]
name = "operator"
role = "active"
id = "customer"
label = "churn"
positive = "yes"
features = ["tenure", "plan"]
"""

names = st.text("abcxyz0189_-", min_size=1, max_size=12)
columns = st.lists(st.text(st.characters(codec="utf-8"), min_size=1, max_size=8), max_size=4, unique=True)


@st.composite
def specs(draw: st.DrawFn) -> JobSpec:
    roster = draw(st.lists(names, min_size=2, max_size=8, unique=True))
    active = draw(st.integers(0, len(roster) - 1))
    parties: list[dict[str, Any]] = [
        {"name": name, "role": "passive", "id": "the id", "features": draw(columns.map(lambda c: [f"f{x}" for x in c]))}
        for name in roster
    ]
    parties[active] |= {"role": "active", "label": "the label", "positive": draw(st.none() | st.text(max_size=5))}
    document = {
        "schema": 1,
        "name": draw(names),
        "seed": draw(st.integers(0, 2**63 - 1)),
        "algorithm": {
            "trees": draw(st.integers(1, 2000)),
            "learning_rate": draw(st.floats(0, 1, exclude_min=True)),
            "l2": draw(st.floats(0, 1e6)),
        },
        "holdout": {"fraction": draw(st.floats(0, 1, exclude_min=True, exclude_max=True))},
        "policy": {"deadline_seconds": draw(st.floats(0, 604800, exclude_min=True))},
        "inference": {"quota": draw(st.integers(1, 2**40)), "partial": draw(st.booleans())},
        "contribution": {"audit": draw(st.booleans()), "alpha": draw(st.floats(0.01, 1, exclude_max=True))},
        "parties": parties,
    }
    return JobSpec._validate(document, "test")


def problem(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        JobSpec.from_toml_text(text, "job.toml")
    message = str(caught.value)
    assert message.startswith("job.toml: ")
    assert "\n" not in message
    return message


@settings(max_examples=60, deadline=None)
@given(specs())
def test_canonical_bytes_give_back_the_same_spec(spec: JobSpec) -> None:
    raw = spec.to_bytes()
    again = JobSpec.from_bytes(raw)
    assert again == spec
    assert again.to_bytes() == raw


def test_a_job_file_says_what_it_says() -> None:
    spec = JobSpec.from_toml_text(JOB)
    assert spec.names == ("operator", "bank"), "the active party is first, wherever it stands in the file"
    assert spec.active.label == "churn"
    assert (spec.algorithm.trees, spec.max_rounds, spec.algorithm.learning_rate) == (5, 5, 0.25)
    assert (spec.algorithm.depth, spec.algorithm.bins, spec.seed) == (5, 32, 7)
    assert spec.party("bank").categorical == ("region",)
    assert spec.party("bank").id == "id"
    with pytest.raises(ConfigError, match="no party 'shop'; it names operator, bank"):
        spec.party("shop")


def test_a_job_names_the_model_that_it_continues() -> None:
    spec = JobSpec.from_toml_text(JOB.replace("[policy]", f"[warm_start]\nmodel = '{'0a' * 32}'\n[policy]"))
    assert spec.warm_start.model == "0a" * 32
    assert JobSpec.from_bytes(spec.to_bytes()) == spec
    assert JobSpec.from_toml_text(JOB).warm_start.model is None


def test_defaults_written_out_make_no_difference_on_chain() -> None:
    explicit = JOB.replace("trees = 5", 'trees = 5\ndepth = 5\nmode = "layered"\ntop_levels = 2').replace(
        'role = "passive"', 'role = "passive"\nid = "id"'
    )
    assert JobSpec.from_toml_text(explicit).to_bytes() == JobSpec.from_toml_text(JOB).to_bytes()


@pytest.mark.parametrize(
    ("after", "key"),
    [
        ("seed = 7", "sed"),
        ("trees = 5", "algorithm.sed"),
        ("min_rows = 10", "alignment.sed"),
        ("fraction = 0.3", "holdout.sed"),
        ("deadline_seconds = 60", "policy.sed"),
        ('id = "customer"', "parties.1.sed"),
        ('categorical = ["region"]', "parties.0.sed"),
    ],
)
def test_an_unknown_key_anywhere_is_an_error_that_names_it(after: str, key: str) -> None:
    assert f"unknown key '{key}'" in problem(JOB.replace(after, f"{after}\nsed = 1", 1))


def test_an_unknown_section_is_an_error_that_names_it() -> None:
    assert "unknown key 'privacy'" in problem(JOB + "\n[privacy]\nmode = 'layered'\n")
    assert "unknown key 'schema_version'" in problem(JOB.replace("schema = 1", "schema = 1\nschema_version = 1"))


def test_a_typo_is_reported_with_where_to_look() -> None:
    message = problem(JOB.replace("trees = 5", "tres = 5"))
    assert message == "job.toml: unknown key 'algorithm.tres'; see docs/reference/job.md for the keys there are"
    assert "(and 1 more)" in problem(JOB.replace("trees = 5", "tres = 5\ntreees = 6"))


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ("schema = 1", "schema = 2", "schema"),
        ('name = "churn"', 'name = "Churn"', "name"),
        ('name = "churn"', 'name = ""', "name"),
        ('name = "churn"', f'name = "{"x" * 65}"', "name"),
        ('name = "churn"', r'name = "churn\n"', "name"),
        ('name = "churn"', "", "name"),
        ("seed = 7", "seed = -1", "seed"),
        ("seed = 7", "seed = 9223372036854775808", "seed"),
        ("seed = 7", "seed = 0.5", "seed"),
        ("trees = 5", "trees = 0", "algorithm.trees"),
        ("trees = 5", "trees = 2001", "algorithm.trees"),
        ("trees = 5", "trees = 'many'", "algorithm.trees"),
        ("trees = 5", "depth = 9", "algorithm.depth"),
        ("trees = 5", "depth = 0", "algorithm.depth"),
        ("trees = 5", "bins = 1", "algorithm.bins"),
        ("trees = 5", "bins = 128", "algorithm.bins"),
        ("trees = 5", "l2 = -0.1", "algorithm.l2"),
        ("trees = 5", "l2 = inf", "algorithm.l2"),
        ("trees = 5", "gamma = nan", "algorithm.gamma"),
        ("trees = 5", "min_child_weight = -1", "algorithm.min_child_weight"),
        ("trees = 5", "name = 'linear'", "algorithm.name"),
        ("trees = 5", "mode = 'fast'", "algorithm.mode"),
        ("trees = 5", "top_levels = 0", "algorithm.top_levels"),
        ("trees = 5", "top_levels = 8", "algorithm.top_levels"),
        ("trees = 5", "l1 = -0.1", "algorithm.l1"),
        ("trees = 5", "min_leaf_rows = -1", "algorithm.min_leaf_rows"),
        ("trees = 5", "min_bin_rows = 1.5", "algorithm.min_bin_rows"),
        ("trees = 5", "objective = 'ranking'", "algorithm.objective"),
        ("trees = 5", "objective = 'multiclass'\nclasses = 1", "algorithm.classes"),
        ("trees = 5", "objective = 'multiclass'\nclasses = 33", "algorithm.classes"),
        ("trees = 5", "tweedie_variance_power = 2.0", "algorithm.tweedie_variance_power"),
        ("trees = 5", "max_delta_step = 0.0", "algorithm.max_delta_step"),
        ("trees = 5", "row_sample = 0.0", "algorithm.row_sample"),
        ("trees = 5", "column_sample = 1.1", "algorithm.column_sample"),
        ("trees = 5", "goss_top = 1.0\ngoss_other = 0.1", "algorithm.goss_top"),
        ("trees = 5", "scale_pos_weight = 0.0", "algorithm.scale_pos_weight"),
        ("learning_rate = 0.25", "learning_rate = 0", "algorithm.learning_rate"),
        ("learning_rate = 0.25", "learning_rate = 1.5", "algorithm.learning_rate"),
        ("learning_rate = 0.25", "learning_rate = nan", "algorithm.learning_rate"),
        ("min_rows = 10", "min_rows = 1", "alignment.min_rows"),
        ("min_rows = 10", "protocol = 'plain'", "alignment.protocol"),
        ("fraction = 0.3", "fraction = 0", "holdout.fraction"),
        ("fraction = 0.3", "fraction = 1", "holdout.fraction"),
        ("fraction = 0.3", "seed = 4294967296", "holdout.seed"),
        ("[policy]", f"[warm_start]\nmodel = '{'a' * 63}'\n[policy]", "warm_start.model"),
        ("[policy]", f"[warm_start]\nmodel = '{'a' * 65}'\n[policy]", "warm_start.model"),
        ("[policy]", f"[warm_start]\nmodel = '{'A' * 64}'\n[policy]", "warm_start.model"),
        ("[policy]", f"[warm_start]\nmodel = '0x{'a' * 62}'\n[policy]", "warm_start.model"),
        ("[policy]", f'[warm_start]\nmodel = "{"a" * 64}\\n"\n[policy]', "warm_start.model"),
        ("[policy]", "[warm_start]\nmodel = 7\n[policy]", "warm_start.model"),
        ("deadline_seconds = 60", "deadline_seconds = 0", "policy.deadline_seconds"),
        ("deadline_seconds = 60", "deadline_seconds = inf", "policy.deadline_seconds"),
        ("deadline_seconds = 60", "max_payload_bytes = 1023", "policy.max_payload_bytes"),
        ("deadline_seconds = 60", "max_statistic_e6 = -1", "policy.max_statistic_e6"),
        ('name = "bank"', 'name = "Bank"', "parties.0.name"),
        ('name = "bank"', 'name = "../bank"', "parties.0.name"),
        ('role = "passive"', 'role = "observer"', "parties.0.role"),
        ('role = "passive"\n', "", "parties.0.role"),
        ('positive = "yes"', "positive = 1", "parties.1.positive"),
        ('features = ["tenure", "plan"]', 'features = "tenure"', "parties.1.features"),
        ('features = ["tenure", "plan"]', 'features = [""]', "parties.1.features.0"),
    ],
)
def test_a_bad_value_is_an_error_that_names_its_key(old: str, new: str, key: str) -> None:
    assert old in JOB
    assert f"key '{key}'" in problem(JOB.replace(old, new, 1))


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('label = "churn"\n', "", "active party 'operator' needs label"),
        ('role = "passive"', 'role = "passive"\nlabel = "y"', "passive party 'bank' has no label"),
        ('role = "passive"', 'role = "passive"\npositive = "y"', "passive party 'bank' has no label"),
        ('role = "passive"', 'role = "active"\nlabel = "y"', "exactly one party"),
        ('role = "active"', 'role = "passive"', "has no label"),
        ('name = "bank"', 'name = "operator"', "two parties have the same name"),
        ('["tenure", "plan"]', '["tenure", "customer"]', "column 'customer' cannot be a feature"),
        ('["tenure", "plan"]', '["churn"]', "column 'churn' cannot be a feature"),
    ],
)
def test_parties_that_do_not_fit_together_are_an_error(old: str, new: str, says: str) -> None:
    assert old in JOB
    assert says in problem(JOB.replace(old, new, 1))


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("trees = 5", "mode = 'standard'\nmin_leaf_rows = 20", "mode 'standard' has no row minima"),
        ("trees = 5", "mode = 'standard'\nmin_bin_rows = 1", "mode 'standard' has no row minima"),
        ("trees = 5", "objective = 'multiclass'", "classes = K goes with objective 'multiclass'"),
        ("trees = 5", "classes = 3", "classes = K goes with objective 'multiclass'"),
        ("trees = 5", "goss_top = 0.2", "goss_top and goss_other go together"),
        ("trees = 5", "goss_other = 0.2", "goss_top and goss_other go together"),
        ("trees = 5", "goss_top = 0.6\ngoss_other = 0.5", "at most 1 together"),
        ("trees = 5", "goss_top = 0.2\ngoss_other = 0.1\nrow_sample = 0.5", "exclude each other"),
        ("trees = 5", "objective = 'poisson'", "positive goes with objective 'binary' alone"),
        ("[policy]", "[stopping]\nrule = 'never'\n[policy]", "key 'stopping.rule'"),
        ("[policy]", "[stopping]\npatience = 0\n[policy]", "key 'stopping.patience'"),
        ("[policy]", "[stopping]\nmin_delta = -1.0\n[policy]", "key 'stopping.min_delta'"),
        ("[policy]", "[stopping]\nmetric = 'rmse'\n[policy]", "stopping.metric: metric 'rmse' does not fit"),
        ("[policy]", "[stopping]\nrule = 'early'\nvalidation_fraction = 0.7\n[policy]", "leave no row to train on"),
        ('role = "passive"', 'role = "passive"\nweight = "w"', "passive party 'bank' has no label"),
        ('["tenure", "plan"]', '["tenure"]\nweight = "tenure"', "column 'tenure' cannot be a feature"),
    ],
)
def test_settings_that_do_not_fit_together_are_an_error(old: str, new: str, says: str) -> None:
    assert old in JOB
    assert says in problem(JOB.replace(old, new, 1))


def test_row_minima_default_to_twenty_except_in_standard_mode() -> None:
    minima = {}
    for mode in ("layered", "mix", "standard"):
        params = JobSpec.from_toml_text(JOB.replace("trees = 5", f"mode = '{mode}'")).algorithm
        minima[mode] = (params.least_bin_rows, params.least_leaf_rows)
    assert minima == {"layered": (20, 20), "mix": (20, 20), "standard": (0, 0)}
    params = JobSpec.from_toml_text(JOB.replace("trees = 5", "min_leaf_rows = 0\nmin_bin_rows = 7")).algorithm
    assert (params.least_bin_rows, params.least_leaf_rows) == (7, 0)


def test_labels_are_read_as_the_objective_needs_them() -> None:
    text = JOB.replace('positive = "yes"\n', "")
    found = {}
    for objective in ("binary", "multiclass", "squared_error", "poisson", "tweedie"):
        classes = "\nclasses = 3" if objective == "multiclass" else ""
        spec = JobSpec.from_toml_text(text.replace("trees = 5", f"objective = '{objective}'{classes}"))
        found[objective] = (spec.label_type, spec.algorithm.outputs)
    assert found == {
        "binary": ("binary", 1),
        "multiclass": ("classes", 3),
        "squared_error": ("number", 1),
        "poisson": ("count", 1),
        "tweedie": ("number", 1),
    }


def test_a_roster_of_one_or_of_nine_is_an_error() -> None:
    assert "key 'parties'" in problem(JOB[: JOB.index('[[parties]]\nname = "bank"')] + JOB[JOB.rindex("[[parties]]") :])
    more = "".join(f'\n[[parties]]\nname = "p{number}"\nrole = "passive"\n' for number in range(7))
    assert "key 'parties'" in problem(JOB + more)
    assert len(JobSpec.from_toml_text(JOB + more.replace('name = "p6"', 'name = "p6"').rsplit("[[", 1)[0]).names) == 8


def test_numbers_and_truth_values_are_not_taken_for_each_other() -> None:
    for bad in ("trees = true", "trees = '5'", "learning_rate = true", "learning_rate = '0.1'"):
        key = bad.split()[0]
        old = "trees = 5" if key == "trees" else "learning_rate = 0.25"
        assert f"key 'algorithm.{key}'" in problem(JOB.replace(old, bad))


def test_text_that_is_no_toml_is_an_error_with_its_place() -> None:
    assert "not valid TOML" in problem("schema = ")
    assert "line 2" in problem("schema = 1\nname 'churn'")


def test_files_are_named_in_errors(tmp_path: Path) -> None:
    path = tmp_path / "job.toml"
    with pytest.raises(ConfigError, match=r"job\.toml: no such job file"):
        JobSpec.from_toml(path)
    path.write_bytes(b"name = '\xff'")
    with pytest.raises(ConfigError, match=r"job\.toml: cannot be read"):
        JobSpec.from_toml(path)
    with pytest.raises(ConfigError, match="cannot be read"):
        JobSpec.from_toml(tmp_path)
    path.write_text(JOB, encoding="utf-8")
    assert JobSpec.from_toml(path) == JobSpec.from_toml_text(JOB)


@pytest.mark.parametrize(
    "change",
    [
        lambda raw: raw + b"\n",
        lambda raw: json.dumps(json.loads(raw)).encode(),
        lambda raw: json.dumps(json.loads(raw), separators=(",", ":"), sort_keys=False)[::-1].encode(),
        lambda raw: raw.replace(b'"seed":7', b'"seed":7.0'),
        lambda raw: raw.replace(b'"seed":7', b'"seed":7,"seed":7'),
        lambda raw: raw.replace(b'"seed":7,', b""),
        lambda raw: raw.replace(b'"seed":7', b'"seed":true'),
        lambda raw: raw.replace(b'"seed":7', b'"seed":NaN'),
        lambda raw: raw.replace(b'"seed":7', b'"sed":7'),
        lambda raw: raw.replace(b'"churn"', b'"chur\\u006e"'),
        lambda raw: b"",
        lambda raw: b"null",
        lambda raw: b"[]",
        lambda raw: b"\xff\xff",
        lambda raw: b"{" + b" " * MAX_SPEC_BYTES,
        lambda raw: b"[" * 60_000,
        lambda raw: b'{"a":' * 10_000,
        lambda raw: b"9" * 60_000,
    ],
)
def test_specs_from_the_chain_are_canonical_or_refused(change: Any) -> None:
    raw = JobSpec.from_toml_text(JOB).to_bytes()
    assert change(raw) != raw
    with pytest.raises(ConfigError, match="job spec"):
        JobSpec.from_bytes(change(raw))


@given(st.binary(max_size=200))
def test_any_bytes_from_the_chain_are_a_typed_error(raw: bytes) -> None:
    with pytest.raises(ConfigError, match="job spec"):
        JobSpec.from_bytes(raw)


def test_the_shipped_job_files_are_valid() -> None:
    files = sorted((Path(__file__).resolve().parents[3] / "nodes").rglob("job.toml"))
    assert files
    for path in files:
        spec = JobSpec.from_toml(path)
        assert JobSpec.from_bytes(spec.to_bytes()) == spec


def test_the_contracts_deadlines_follow_from_the_waits_unless_they_are_named() -> None:
    policy = JobSpec.from_toml_text(JOB).policy
    assert (policy.phase_limit, policy.round_limit) == (4 * 60, 12 * 60)
    brief = JobSpec.from_toml_text(JOB.replace("deadline_seconds = 60", "deadline_seconds = 0.5")).policy
    assert (brief.phase_limit, brief.round_limit) == (60, 60)
    named = JOB.replace("[policy]", "[policy]\nphase_seconds = 7\nround_seconds = 8\nmax_uplinks_per_round = 9")
    policy = JobSpec.from_toml_text(named).policy
    assert (policy.phase_limit, policy.round_limit, policy.max_uplinks_per_round) == (7, 8, 9)


@pytest.mark.parametrize(
    ("line", "key"),
    [
        ("phase_seconds = 0", "policy.phase_seconds"),
        ("round_seconds = 31622401", "policy.round_seconds"),
        ("max_uplinks_per_round = 65536", "policy.max_uplinks_per_round"),
        ("max_uplinks_per_round = 0", "policy.max_uplinks_per_round"),
        ("ends_on_suspension = 1", "policy.ends_on_suspension"),
    ],
)
def test_a_policy_that_the_contract_would_refuse_is_refused(line: str, key: str) -> None:
    with pytest.raises(ConfigError, match=key):
        JobSpec.from_toml_text(JOB.replace("[policy]", f"[policy]\n{line}"))


def test_the_terms_of_inference_have_defaults_and_bounds() -> None:
    terms = JobSpec.from_toml_text(JOB).inference
    assert (terms.quota, terms.window_seconds, terms.deadline_ms) == (100_000, 86_400, 2_000)
    assert (terms.on_silence, terms.partial, terms.explanations) == ("refuse", False, False)
    text = (
        'quota = 7\nwindow_seconds = 60\ndeadline_ms = 1\non_silence = "default"\npartial = true\nexplanations = true'
    )
    terms = JobSpec.from_toml_text(JOB.replace("[policy]", f"[inference]\n{text}\n[policy]")).inference
    assert terms.model_dump() == {
        "quota": 7,
        "window_seconds": 60,
        "deadline_ms": 1,
        "on_silence": "default",
        "partial": True,
        "explanations": True,
    }


@pytest.mark.parametrize(
    "line",
    [
        "quota = 0",
        f"quota = {2**40 + 1}",
        "quota = 1.5",
        "window_seconds = 59",
        "window_seconds = 31622401",
        "deadline_ms = 0",
        "deadline_ms = 600001",
        'on_silence = "guess"',
        "partial = 1",
        'explanations = "yes"',
        "more = 1",
    ],
)
def test_terms_of_inference_out_of_bounds_are_refused(line: str) -> None:
    with pytest.raises(ConfigError, match=f"inference.{line.split(' ')[0]}"):
        JobSpec.from_toml_text(JOB.replace("[policy]", f"[inference]\n{line}\n[policy]"))


PARTS = """[[alignment.parts]]
name = "phone"
rules = ["phone"]
country_code = "44"
national_digits = [10, 9, 10]
[[alignment.parts]]
name = "name"
rules = ["casefold", "nfkc"]
"""
COMPOSITE = JOB.replace("[holdout]", PARTS + "[holdout]").replace('id = "customer"', 'id = { phone = "msisdn" }')


def test_parts_of_an_id_are_kept_in_canonical_form() -> None:
    spec = JobSpec.from_toml_text(COMPOSITE)
    phone, name = spec.alignment.parts
    assert (phone.rules, phone.national_digits) == (("trim", "phone"), (9, 10))
    assert name.rules == ("trim", "nfkc", "casefold")
    assert JobSpec.from_bytes(spec.to_bytes()) == spec
    shuffled = JobSpec.from_toml_text(COMPOSITE.replace('"casefold", "nfkc"', '"nfkc", "trim", "casefold"'))
    assert shuffled.to_bytes() == spec.to_bytes()
    with pytest.raises(ConfigError, match="canonical"):
        JobSpec.from_bytes(spec.to_bytes().replace(b'["trim","nfkc","casefold"]', b'["nfkc","casefold"]'))


def test_columns_of_the_parts_are_the_nodes_then_the_jobs_then_of_the_parts_own_name() -> None:
    spec = JobSpec.from_toml_text(COMPOSITE)
    assert spec.id_columns("operator") == ("msisdn", "name")
    assert spec.id_columns("operator", {"phone": "tel", "name": "who", "id": "x"}) == ("tel", "who")
    assert spec.id_columns("bank") == ("phone", "name")
    plain = JobSpec.from_toml_text(JOB)
    assert plain.id_columns("operator") == ("customer",)
    assert plain.id_columns("operator", {"id": "number"}) == ("number",)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('id = { phone = "msisdn" }', 'id = "msisdn"', "name a column for each"),
        ('id = { phone = "msisdn" }', 'id = { mail = "m" }', "no part 'mail'"),
        ('id = { phone = "msisdn" }', 'id = { phone = "tenure" }', "cannot be a feature"),
        ('name = "name"', 'name = "phone"', "same name"),
        ('rules = ["phone"]', 'rules = ["phone", "nfc"]', "says all"),
        ('rules = ["phone"]', 'rules = ["digits"]', "go with"),
        ('"casefold", "nfkc"', '"nfc", "nfkc"', "exclude"),
        ('"casefold", "nfkc"', '"soundex"', "rules"),
        ('country_code = "44"', 'country_code = "044"', "country_code"),
        ("min_rows = 10", 'min_rows = 10\nduplicates = "last"', "duplicates"),
    ],
)
def test_parts_that_do_not_fit_are_refused(old: str, new: str, words: str) -> None:
    assert words in problem(COMPOSITE.replace(old, new))


CACHED = JOB.replace("min_rows = 10", 'min_rows = 10\ncached = "operator"')


def test_a_job_may_name_the_party_whose_set_is_cached() -> None:
    spec = JobSpec.from_toml_text(CACHED)
    assert spec.alignment.cached == "operator"
    assert JobSpec.from_bytes(spec.to_bytes()) == spec
    assert problem(CACHED.replace('cached = "operator"', 'cached = "nobody"')) == (
        "job.toml: key 'top level': alignment.cached is 'nobody', which is no party of the job: bank, operator"
    )
    third = '\n[[parties]]\nname = "shop"\nrole = "passive"\n'
    assert "alignment.cached goes with two parties, the job has 3; remove it" in problem(CACHED + third)


def test_a_job_without_a_cached_set_has_the_bytes_that_it_had_before_there_were_any() -> None:
    """Else finished jobs could not be read any more, and two releases would not agree on a digest."""
    spec = JobSpec.from_toml_text(JOB)
    assert b'"cached"' not in spec.to_bytes()
    assert b'"cached":"operator"' in JobSpec.from_toml_text(CACHED).to_bytes()
    assert set(json.loads(spec.to_bytes())["alignment"]) == {
        "protocol", "min_rows", "duplicates", "parts", "pad_to", "proven_blinding"
    }  # fmt: skip
