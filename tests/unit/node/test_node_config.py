"""node.toml: every mistake is one line that names file, key and remedy; a new node's files are private."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from fedchain.chain import Account
from fedchain.data.schema import Schema
from fedchain.data.source import TableSource
from fedchain.data.sql import Query
from fedchain.errors import ConfigError
from fedchain.exchange import Identity, Retention
from fedchain.node.config import MAX_SOCKET_PATH, load_config
from fedchain.node.init import init_node

MINIMAL = """
name = "alpha"
[chain]
rpc = "http://127.0.0.1:8545"
deployment = "../deployment.json"
[data]
path = "table.csv"
"""


QUERY = MINIMAL.replace('path = "table.csv"', 'query = "SELECT * FROM mine"\nurl_file = "database-url"')
URL = "postgresql://alice:s3cret@db.example/crm"


def written(folder: Path, text: str) -> Path:
    path = folder / "node.toml"
    path.write_text(text)
    return path


@pytest.fixture(autouse=True)
def quick_keystores(monkeypatch: pytest.MonkeyPatch) -> None:
    """Weak key stretching: a full one takes a second per keystore."""
    save = Account.save_keystore
    monkeypatch.setattr(Account, "save_keystore", lambda self, path, phrase: save(self, path, phrase, iterations=2))


def test_relative_paths_count_from_the_files_folder(tmp_path: Path) -> None:
    config = load_config(written(tmp_path, MINIMAL))
    assert config.data.path == tmp_path / "table.csv"
    assert config.chain.deployment == tmp_path / ".." / "deployment.json"
    assert config.keys.keystore == tmp_path / "keystore.json"
    assert config.state.folder == tmp_path / "state"
    assert config.serve.control_socket is None
    assert config.jobs.accept == "all"


@pytest.mark.parametrize(("text", "seconds"), [('"job"', 0.0), ('"forever"', None), ("30", 30 * 86_400.0)])
def test_payloads_are_kept_as_long_as_the_file_says(tmp_path: Path, text: str, seconds: float | None) -> None:
    config = load_config(written(tmp_path, MINIMAL + f"[state]\nkeep_payloads = {text}\n"))
    assert Retention.of(config.state.keep_payloads).seconds == seconds
    assert config.state.folder == tmp_path / "state"


def test_payloads_of_an_ended_job_go_unless_the_file_says_otherwise(tmp_path: Path) -> None:
    assert load_config(written(tmp_path, MINIMAL)).state.keep_payloads == "job"


def test_absolute_paths_stay(tmp_path: Path) -> None:
    config = load_config(written(tmp_path, MINIMAL.replace("table.csv", "/srv/table.csv")))
    assert config.data.path == Path("/srv/table.csv")


@pytest.mark.parametrize(
    ("change", "key"),
    [
        (("[data]", '[data]\nfolder = "x"'), "data.folder"),
        (('rpc = "http://127.0.0.1:8545"', ""), "chain.rpc"),
        (('name = "alpha"', 'name = "Alpha Inc"'), "'name'"),
        (("[data]", "[serve]\nport = 70000\n[data]"), "serve.port"),
        (("[data]", '[jobs]\naccept = "some"\n[data]'), "jobs.accept"),
        (("[data]", '[serve]\nendpoint = ""\n[data]'), "serve.endpoint"),
        (("[data]", '[state]\nkeep_payloads = "always"\n[data]'), "state.keep_payloads"),
        (("[data]", "[state]\nkeep_payloads = 0\n[data]"), "state.keep_payloads"),
        (("[data]", "[jobs]\nthreads = 0\n[data]"), "jobs.threads"),
        (('path = "table.csv"', ""), "[data]: give either path"),
        (("[data]", '[data]\nquery = "SELECT 1"\nurl_file = "u"'), "[data]: give either path"),
        (("[data]", '[data]\nurl_env = "U"'), "[data]: url_env goes with query"),
        (('path = "table.csv"', 'query = "SELECT 1"'), "either url_file or url_env"),
        (('path = "table.csv"', 'query = "SELECT 1"\nurl_file = "u"\nurl_env = "U"'), "either url_file or url_env"),
        (('path = "table.csv"', 'query = ""\nurl_file = "u"'), "data.query"),
        (("[data]", '[data]\ncolumns = { age = "number" }'), "data.columns.age"),
        (("[data]", '[data]\ncolumns = { age = "numeric" }'), "[data]: columns declares no id column"),
    ],
)
def test_a_mistake_is_one_line_that_names_file_and_key(tmp_path: Path, change: tuple[str, str], key: str) -> None:
    path = written(tmp_path, MINIMAL.replace(*change))
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    assert str(path) in str(caught.value)
    assert key in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_database_s_url_does_not_belong_into_the_file(tmp_path: Path) -> None:
    path = written(tmp_path, MINIMAL.replace("[data]", f'[data]\nurl = "{URL}"'))
    with pytest.raises(ConfigError, match=r"unknown key 'data\.url'") as caught:
        load_config(path)
    assert "s3cret" not in str(caught.value)


def test_a_file_with_declared_columns_is_a_source_with_a_schema(tmp_path: Path) -> None:
    assert load_config(written(tmp_path, MINIMAL)).table == TableSource(tmp_path / "table.csv")
    config = load_config(written(tmp_path, MINIMAL + '[data.columns]\nid = "id"\nage = "numeric"\n'))
    assert config.table == TableSource(tmp_path / "table.csv", Schema({"id": "id", "age": "numeric"}))


def test_a_query_s_url_comes_from_a_file_that_only_its_owner_may_read(tmp_path: Path) -> None:
    config = load_config(written(tmp_path, QUERY))
    with pytest.raises(ConfigError, match=r"\[data\] url_file .*database-url: cannot be read"):
        _ = config.table
    secret = tmp_path / "database-url"
    secret.write_text(f"{URL}\n")
    secret.chmod(0o640)
    with pytest.raises(ConfigError, match="chmod 600") as caught:
        _ = config.table
    assert "s3cret" not in str(caught.value)
    secret.chmod(0o600)
    assert config.table.origin == Query(URL, "SELECT * FROM mine", tmp_path)
    assert "s3cret" not in repr(config) + repr(config.table)
    secret.write_text(f"{URL}\n{URL}\n")
    with pytest.raises(ConfigError, match="more than one line") as caught:
        _ = config.table
    assert "s3cret" not in str(caught.value)


def test_a_query_s_url_may_come_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = load_config(written(tmp_path, QUERY.replace('url_file = "database-url"', 'url_env = "CRM_URL"')))
    monkeypatch.delenv("CRM_URL", raising=False)
    with pytest.raises(ConfigError, match=r"\[data\] url_env: the environment variable CRM_URL is not set"):
        _ = config.table
    monkeypatch.setenv("CRM_URL", URL)
    assert config.table.origin == Query(URL, "SELECT * FROM mine", tmp_path)


@pytest.mark.parametrize("content", [b"name = ", b"\xff\xfe\x00", None])
def test_an_unreadable_file_is_a_config_error(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "node.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"node\.toml"):
        load_config(path)


def test_a_list_of_job_names_is_the_jobs_that_are_taken(tmp_path: Path) -> None:
    config = load_config(written(tmp_path, MINIMAL + '[jobs]\naccept = ["churn"]\n'))
    assert config.jobs.takes("churn")
    assert not config.jobs.takes("fraud")


def test_a_passphrase_that_others_may_read_is_refused(tmp_path: Path) -> None:
    config = load_config(written(tmp_path, MINIMAL))
    config.keys.passphrase_file.write_text("secret words\n")
    config.keys.passphrase_file.chmod(0o640)
    with pytest.raises(ConfigError, match="chmod 600") as caught:
        config.passphrase()
    assert "secret words" not in str(caught.value)
    config.keys.passphrase_file.chmod(0o600)
    assert config.passphrase() == "secret words"


@pytest.mark.parametrize("text", ["", "\n", None])
def test_a_missing_or_empty_passphrase_is_refused(tmp_path: Path, text: str | None) -> None:
    config = load_config(written(tmp_path, MINIMAL))
    if text is not None:
        config.keys.passphrase_file.write_text(text)
        config.keys.passphrase_file.chmod(0o600)
    with pytest.raises(ConfigError, match="passphrase_file"):
        config.passphrase()


def test_a_socket_path_that_is_too_long_is_refused_with_a_remedy(tmp_path: Path) -> None:
    config = load_config(written(tmp_path, MINIMAL + f'[serve]\ncontrol_socket = "{"s" * MAX_SOCKET_PATH}"\n'))
    with pytest.raises(ConfigError, match=r"control_socket.*shorter"):
        _ = config.control_socket


def test_a_new_node_has_a_private_key_file_and_a_readable_config(tmp_path: Path) -> None:
    folder = tmp_path / "alpha"
    config = init_node(folder, "alpha", tmp_path / "deployment.json", "http://127.0.0.1:8545", tmp_path / "table.csv")
    assert config == load_config(folder / "node.toml")
    assert config.data.path is not None
    assert config.data.path.resolve() == tmp_path / "table.csv"
    assert config.chain.deployment.resolve() == tmp_path / "deployment.json"
    for file in ("keystore.json", "passphrase", "certificate.pem", "certificate.key"):
        assert stat.S_IMODE((folder / file).stat().st_mode) == 0o600
    assert Account.from_keystore(config.keys.keystore, config.passphrase()).address.startswith("0x")
    assert Identity.load(config.keys.certificate, config.keys.certificate_key).name == "alpha"
    assert str(tmp_path) not in (folder / "node.toml").read_text()


def test_two_new_nodes_have_different_keys_and_passphrases(tmp_path: Path) -> None:
    configs = [init_node(tmp_path / name, name, Path("d"), "http://127.0.0.1:1", Path("t")) for name in ("a", "b")]
    assert configs[0].passphrase() != configs[1].passphrase()
    accounts = [Account.from_keystore(config.keys.keystore, config.passphrase()) for config in configs]
    assert accounts[0].address != accounts[1].address


def test_a_node_is_never_overwritten(tmp_path: Path) -> None:
    init_node(tmp_path, "alpha", Path("d"), "http://127.0.0.1:1", Path("t"))
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(ConfigError, match="exists already"):
        init_node(tmp_path, "beta", Path("d"), "http://127.0.0.1:1", Path("t"))
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_name_that_cannot_be_registered_leaves_no_node_behind(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="'name'"):
        init_node(tmp_path / "n", 'a"b', Path("d"), "http://127.0.0.1:1", Path("t"))
    assert list((tmp_path / "n").iterdir()) == []
