"""docs/reference/contracts.md and the glossary agree with the numbers and names in the code."""

from __future__ import annotations

import re

from fedchain.chain.artifacts import CONTRACT_NAMES
from fedchain.crypto.merkle import CHUNK_BYTES, payload_digest
from fedchain.training.boosting.params import BoostingParams, Mode
from fedchain.types import INLINE_LIMIT, REQUEST_BASE, SCHEMA_VERSION, Kind, Phase, Reason
from tests.unit.docs.markdown import ROOT, section, table

TEXT = (ROOT / "docs" / "reference" / "contracts.md").read_text(encoding="utf-8")
PROTOCOL = (ROOT / "docs" / "explanation" / "protocol.md").read_text(encoding="utf-8")
PRIVACY = (ROOT / "docs" / "explanation" / "privacy.md").read_text(encoding="utf-8")


def test_the_contracts_are_those_that_are_deployed() -> None:
    assert {row[0].strip("`") for row in table(TEXT)} == set(CONTRACT_NAMES)


def test_phases_have_the_numbers_of_the_code() -> None:
    rows = table(section(TEXT, "Phases"))

    assert [(int(row[0]), row[1].upper()) for row in rows] == [(phase.value, phase.name) for phase in Phase]


def test_reason_codes_have_the_numbers_of_the_code() -> None:
    rows = table(section(TEXT, "Reason codes"))

    faults = [row for row in table(section(TEXT, "Faults")) if row[0].isdigit()]
    found = [(int(row[0]), row[1].strip("`")) for row in (*rows, *faults)]
    assert found == [(reason.value, reason.name) for reason in Reason]


def test_kinds_have_the_numbers_of_the_code_and_known_phases() -> None:
    rows = table(section(TEXT, "Kinds"))

    assert [(int(row[0]), row[1].strip("`").upper()) for row in rows] == [(kind.value, kind.name) for kind in Kind]
    for row in rows:
        assert all(phase.upper() in Phase.__members__ for phase in row[2].split(", ")), row


def test_kinds_belong_to_the_phases_and_roles_of_the_contract() -> None:
    source = (ROOT / "contracts" / "src" / "Kinds.sol").read_text(encoding="utf-8")
    rows = {row[1].strip("`").upper(): row for row in table(section(TEXT, "Kinds"))}
    ranges = {
        "Aligning": range(Kind.PUBLIC_KEY, Kind.BLINDED_IDS + 1),
        "Training": range(Kind.GRADIENTS, Kind.LEAF_WEIGHTS + 1),
        "Evaluating": range(Kind.SHARD_DIGEST, Kind.AUDIT + 1),
        "Completed": range(Kind.PREDICT_REQUEST, Kind.PREDICT_ANSWER + 1),
    }
    for phase, kinds in ranges.items():
        assert {name for name, row in rows.items() if phase in row[2].split(", ")} == {Kind(one).name for one in kinds}
    for condition in (
        "Phase.Aligning) return kind <= BLINDED_IDS;",
        "Phase.Training) return kind >= GRADIENTS && kind <= LEAF_WEIGHTS;",
        "Phase.Evaluating) return kind >= SHARD_DIGEST && kind <= AUDIT;",
        "Phase.Completed) return kind == PREDICT_REQUEST || kind == PREDICT_ANSWER;",
    ):
        assert condition in source, "the contract's rule changed: mend this test and contracts.md"
    active_only = source.partition("bool activeOnly =")[2].partition(";")[0]
    for name, row in rows.items():
        assert row[3].startswith("active party") == (f"kind == {name}" in active_only), row
    assert rows["HISTOGRAM"][3] == "passive parties"
    assert "if (kind == HISTOGRAM) return !isActive;" in source


def test_sizes_and_the_example_digest_are_right() -> None:
    text = section(TEXT, "Payload digest and inline limit")

    assert f"{CHUNK_BYTES} bytes" in text
    assert f"1 to {INLINE_LIMIT} bytes" in text
    assert payload_digest(b"abc").hex() in text
    assert str(REQUEST_BASE) in section(TEXT, "Kinds")
    assert f"schema version is not {SCHEMA_VERSION}" in TEXT


def test_every_kind_is_in_the_message_table_and_in_the_privacy_table() -> None:
    kinds = {kind.name.lower() for kind in Kind}

    assert {row[2].strip("`") for row in table(section(PROTOCOL, "Messages"))} == kinds
    revealed = {row[0].strip("`") for row in table(section(PRIVACY, "What each message reveals"))}
    assert revealed == kinds | {"spec"}


def test_every_mode_has_its_column_of_what_it_reveals_and_its_row_in_the_protocol() -> None:
    modes = {mode.value for mode in Mode}
    header = next(line for line in section(PRIVACY, "What each mode reveals").splitlines() if line.startswith("|"))
    plan = section(PROTOCOL, "Flow 2: training (rounds 1, 2, …)")

    assert set(re.findall(r"`(\w+)`", header)) == modes
    assert {row[0].strip("`") for row in table(plan)} == modes
    assert f"`{BoostingParams().mode.value}` (default)" in header


def test_the_private_defaults_are_those_of_the_code() -> None:
    text, defaults = section(PRIVACY, "Private by default"), BoostingParams()

    assert f'`mode = "{defaults.mode.value}"`, `top_levels = {defaults.top_levels}`' in text
    assert f"0 or ≥ {defaults.least_bin_rows} rows" in text
    assert defaults.least_bin_rows == defaults.least_leaf_rows
    assert f"no more than {defaults.bins} value bins" in text


def test_the_glossary_has_every_mode() -> None:
    glossary = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")

    for mode in Mode:
        assert f"| {mode.value} mode |" in glossary
