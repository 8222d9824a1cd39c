"""What is kept of the configuration: all of it, once it is on the record, or what was kept before."""

from pathlib import Path

import pytest

from webhook.core.evidence import Policy
from webhook.core.rulebook import Rulebook
from webhook.core.target import Inventory
from webhook.edge.configfile import Config, read_config
from webhook.errors import Unavailable
from webhook.wiring.kept import keeping, recall_config, stamp


@pytest.fixture
def config(tmp_path: Path) -> Config:
    (tmp_path / "playbooks").mkdir()
    (tmp_path / "inventory.yml").write_text("all: {hosts: {web1: {}}}\n")
    (tmp_path / "playbooks/mark.yml").write_text("- hosts: all\n  tasks: []\n")
    (tmp_path / "rules.yml").write_text("rules: [{name: mark, match: ['a=\"b\"'], playbook: mark.yml}]\n")
    (tmp_path / "alertmend.yml").write_text("inventory: inventory.yml\nrule_files: [rules.yml]\n")
    return read_config(tmp_path / "alertmend.yml")


def book(config: Config) -> Rulebook:
    return Rulebook(rules=config.rules, policy=Policy(), inventory=Inventory(hosts=frozenset(), groups={}))


def test_where_nothing_can_be_kept_nothing_goes_on_the_record(tmp_path: Path, config: Config) -> None:
    record: list[str] = []
    with (
        pytest.raises(Unavailable, match="the storage path is not available: no such file or directory"),
        keeping(tmp_path / "nowhere", config, book(config)),
    ):
        record.append("reload")
    assert record == []


def test_what_the_record_does_not_take_is_not_kept_and_leaves_nothing_behind(tmp_path: Path, config: Config) -> None:
    storage = tmp_path / "data"
    storage.mkdir(mode=0o700)
    with keeping(storage, config, book(config)):
        assert stamp(storage) is None
    before = stamp(storage)
    with pytest.raises(Unavailable), keeping(storage, config, book(config)):
        raise Unavailable("the audit database")
    assert stamp(storage) == before
    assert recall_config(storage, config.file) is not None
    assert len(list(storage.iterdir())) == 1
