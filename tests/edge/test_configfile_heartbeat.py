"""The section `heartbeat` of alertmend.yml."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from webhook.core.escalation import AlertmanagerStep, WebhookStep
from webhook.core.heartbeat import Heartbeat
from webhook.edge.configfile import Config, read_config
from webhook.errors import ConfigError


def read(folder: Path, section: str, *, top: str = "alertmanagers: [{url: 'http://am'}]\n") -> Config:
    (folder / "playbooks").mkdir()
    (folder / "inventory.yml").write_text("all: {hosts: {web1: {}}}\n")
    (folder / "playbooks/mark.yml").write_text("- hosts: all\n  tasks: []\n")
    (folder / "rules.yml").write_text("rules: [{name: mark, match: ['a=\"b\"'], playbook: mark.yml}]\n")
    file = folder / "alertmend.yml"
    file.write_text(f"inventory: inventory.yml\nrule_files: [rules.yml]\n{top}heartbeat: {section}\n")
    return read_config(file)


def test_it_says_how_often_and_to_whom(tmp_path: Path) -> None:
    section = "{interval: 30s, alertmanager: {labels: {severity: none}}, webhook: {url: 'http://dead.example'}}"
    assert read(tmp_path, section).heartbeat == Heartbeat(
        interval=timedelta(seconds=30),
        alertmanager=AlertmanagerStep(labels={"severity": "none"}),
        webhook=WebhookStep(url="http://dead.example"),
    )


@pytest.mark.parametrize(
    ("section", "top", "words"),
    [
        ("{interval: 30s}", "", "say who gets it: alertmanager, webhook, or both"),
        ("{alertmanager: {}}", "", "there is no Alertmanager to send it to: name one under alertmanagers"),
        ("{webhook: {url: 'ftp://x'}}", "", "a URL that starts with http:// or https:// is needed"),
        ("{webhook: {url: 'http://x'}, intervall: 3m}", "", "did you mean 'interval'"),
    ],
)
def test_what_is_wrong_is_told(tmp_path: Path, section: str, top: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        read(tmp_path, section, top=top)
