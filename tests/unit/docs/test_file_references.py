"""docs/reference/job.md and node.md say what the pydantic models say, key by key."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import pytest
from pydantic import BaseModel, Field

from fedchain.data.schema import COLUMN_TYPES
from fedchain.errors import ConfigError
from fedchain.federation.spec import JobSpec
from fedchain.model.link import OBJECTIVES
from fedchain.node.config import NodeConfig, load_config
from fedchain.training.boosting.metrics import METRICS
from fedchain.training.boosting.params import BoostingParams, Mode
from tests.unit.docs.markdown import ROOT, code_blocks, section, table
from tests.unit.docs.models import Key, sections

REFERENCE = ROOT / "docs" / "reference"
MODELS: dict[str, type[BaseModel]] = {"job.md": JobSpec, "node.md": NodeConfig}
SECTIONS = [(page, title, keys) for page, model in MODELS.items() for title, keys in sections(model)]

EXCLUDED_BY_OTHERS = {"cached", "classes", "max_leaves"}
"""Keys that cannot stand in an example beside all others."""


INSTEAD_OF_A_PATH = ["query", "url_file", "url_env"]
"""Keys of node.toml that cannot stand in an example beside `path`."""


def text_of(page: str) -> str:
    return (REFERENCE / page).read_text(encoding="utf-8")


def after(line: str) -> str:
    """The job reference from a line on."""
    _, found, rest = text_of("job.md").partition(line)
    assert found, line
    return line + rest


@pytest.mark.parametrize(("page", "title", "keys"), SECTIONS, ids=[f"{page} {title}" for page, title, _ in SECTIONS])
def test_every_key_has_a_row_with_its_type_default_and_bounds(page: str, title: str, keys: list[Key]) -> None:
    rows = {row[0]: row for row in table(section(text_of(page), title))}

    assert list(rows) == [f"`{key.name}`" for key in keys]
    for key in keys:
        _, type_text, default, bounds, meaning = rows[f"`{key.name}`"]
        assert (type_text, default) == (key.type, key.default), key.name
        assert bounds == key.bounds or not key.bounds, key.name
        assert meaning, key.name


def test_the_walk_finds_keys_types_defaults_and_bounds() -> None:
    class Inner(BaseModel):
        share: Annotated[float, Field(gt=0, lt=1)] = 0.5
        names: Annotated[tuple[str, ...], Field(max_length=3)] = ()

    class Within(BaseModel):
        inner: Annotated[tuple[Inner, ...], Field(max_length=2)] = ()

    class Outer(BaseModel):
        count: Annotated[int, Field(ge=1, le=8)]
        folder: Path | None = None
        inner: Inner = Inner()
        within: Within = Within()
        items: tuple[Inner, ...] = ()

    inner = [Key("share", "number", "`0.5`", "above 0 below 1"), Key("names", "list of text", "`[]`", "up to 3 items")]
    assert list(sections(Outer)) == [
        ("Top level", [Key("count", "integer", "required", "from 1 to 8"), Key("folder", "path", "none", "")]),
        ("`[inner]`", inner),
        ("`[within]`", []),
        ("`[[within.inner]]`", inner),
        ("`[[items]]`", inner),
    ]


def test_the_complete_job_example_is_a_job_and_leaves_no_key_out() -> None:
    example = code_blocks(text_of("job.md"), "toml")[-1]
    spec = JobSpec.from_toml_text(example)

    assert spec.names == ("operator", "media_partner", "bank_partner")
    for title, keys in sections(JobSpec):
        for key in keys:
            mark = "# " if key.name in EXCLUDED_BY_OTHERS else ""
            assert f"\n{mark}{key.name} = " in f"\n{example}", f"{title} {key.name}"


@pytest.mark.parametrize("key", sorted(EXCLUDED_BY_OTHERS))
def test_a_key_that_the_job_example_leaves_behind_a_mark_cannot_stand_there(key: str) -> None:
    example = code_blocks(text_of("job.md"), "toml")[-1]

    with pytest.raises(ConfigError, match=key):
        JobSpec.from_toml_text(example.replace(f"\n# {key} = ", f"\n{key} = "))


def test_metrics_and_objectives_are_those_of_the_code() -> None:
    listed = {
        row[0].strip("`"): tuple(re.findall(r"`(\w+)`", row[1])) for row in table(after("| objective | metrics |"))
    }
    described = [row[0].strip("`") for row in table(after("| objective | label column | prediction |"))]

    assert listed == METRICS
    assert tuple(described) == OBJECTIVES


def test_the_row_minima_without_a_key_are_as_documented() -> None:
    rows = {row[0].strip("`"): row[4] for row in table(section(text_of("job.md"), "`[algorithm]`"))}

    for key, value in (("min_leaf_rows", "least_leaf_rows"), ("min_bin_rows", "least_bin_rows")):
        assert f"without it {getattr(BoostingParams(), value)}, in `standard` none" in rows[key]
        assert getattr(BoostingParams(mode=Mode.STANDARD), value) == 0


def test_the_complete_node_example_is_a_node_and_leaves_no_key_out(tmp_path: Path) -> None:
    example = code_blocks(text_of("node.md"), "toml")[-1]
    (tmp_path / "node.toml").write_text(example, encoding="utf-8")

    assert load_config(tmp_path / "node.toml").name == "media_partner"
    for title, keys in sections(NodeConfig):
        for key in keys:
            mark = "# " if key.name in INSTEAD_OF_A_PATH else ""
            assert f"\n{mark}{key.name} = " in f"\n{example}", f"{title} {key.name}"


def test_the_keys_that_the_node_example_leaves_behind_marks_stand_there_instead_of_the_path(tmp_path: Path) -> None:
    example = code_blocks(text_of("node.md"), "toml")[-1]
    query = example.replace("\npath = ", "\n# path = ").replace("\n# query = ", "\nquery = ")
    for key in ("url_file", "url_env"):
        (tmp_path / "node.toml").write_text(query.replace(f"\n# {key} = ", f"\n{key} = "), encoding="utf-8")
        assert getattr(load_config(tmp_path / "node.toml").data, key) is not None
    for key in INSTEAD_OF_A_PATH:
        (tmp_path / "node.toml").write_text(example.replace(f"\n# {key} = ", f"\n{key} = "), encoding="utf-8")
        with pytest.raises(ConfigError, match=r"\[data\]"):
            load_config(tmp_path / "node.toml")


@pytest.mark.parametrize("block", code_blocks((ROOT / "docs" / "how-to" / "data.md").read_text("utf-8"), "toml"))
def test_every_data_section_of_the_guide_is_one(tmp_path: Path, block: str) -> None:
    example = code_blocks(text_of("node.md"), "toml")[-1]
    before, _, rest = example.partition("[data]")
    (tmp_path / "node.toml").write_text(f"{before}{block}\n{rest[rest.index('[serve]') :]}", encoding="utf-8")
    assert block.startswith("[data]")
    assert load_config(tmp_path / "node.toml").data.columns


def test_types_of_declared_columns_are_as_documented() -> None:
    guide = (ROOT / "docs" / "how-to" / "data.md").read_text(encoding="utf-8")
    rows = table(section(guide, "Declare what the table looks like"))
    assert tuple(row[0].strip("`") for row in rows) == COLUMN_TYPES


def test_the_job_in_the_readme_is_a_job() -> None:
    example = code_blocks((ROOT / "README.md").read_text(encoding="utf-8"), "toml")[0]

    assert JobSpec.from_toml_text(example).names == ("operator", "partner")


def test_the_number_of_parties_is_as_documented() -> None:
    field = JobSpec.model_fields["parties"]
    low, high = (getattr(limit, name) for limit, name in zip(field.metadata, ("min_length", "max_length"), strict=True))

    assert f"{low} to {high} items" in section(text_of("job.md"), "`[[parties]]`")
