"""Rules on the record: what was decided by them is decided by them again."""

import os
import shutil
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from webhook.core.evidence import Policy
from webhook.core.matcher import parse_matcher
from webhook.core.probe import Probe, TcpProbe
from webhook.core.rule import Breaker, GiveUp, Guards, Limits, MaxTargets, Mode, RateLimit, Rule, Step
from webhook.core.schedule import Minutes, NamedInterval, Span, TimeInterval
from webhook.edge.revision import read_rules, write_rules
from webhook.wiring.current import load

RULE = Rule(
    name="restart",
    match=(parse_matcher('job=~"web|api"'),),
    mode=Mode.APPROVE,
    steps=(Step(playbook="a.yml", vars={"port": "$labels.port"}), Step(playbook="b.yml", mode=Mode.APPROVE)),
    probe=Probe(kind=TcpProbe(address="$target:80")),
    guards=Guards(
        rate_limit=RateLimit(count=3, per=timedelta(hours=6)),
        max_targets=MaxTargets(share=0.3),
        breaker=Breaker(failures=3, window=timedelta(hours=1), open_for=timedelta(hours=2)),
        mute_time_intervals=("freeze",),
    ),
    give_up=GiveUp(playbook="page.yml", escalate="oncall"),
)
FREEZE = NamedInterval(
    name="freeze",
    intervals=(
        TimeInterval(times=(Minutes(960, 1440),), weekdays=(Span(5, 5),), location=ZoneInfo("Europe/Paris")),
        TimeInterval(months=(Span(12, 12),)),
    ),
)
POLICY = Policy(limits=Limits(rate_limit=None), time_intervals={"freeze": FREEZE})


def test_rules_and_policy_come_back_as_they_were_without_their_probes() -> None:
    rules, policy = read_rules(write_rules([RULE], POLICY))
    assert rules == [replace(RULE, probe=None)]
    assert policy == POLICY


def test_a_time_zone_that_is_not_known_here_is_said() -> None:
    document = dict(write_rules([RULE], POLICY))
    [interval] = document["time_intervals"]
    document["time_intervals"] = [{**interval, "parts": [{**interval["parts"][0], "location": "Mars/Base"}]}]
    with pytest.raises(ValueError, match="'Mars/Base' is not known here"):
        read_rules(document)


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A rule whose playbook imports another one and uses a role."""
    for name, text in {
        "alertmend.yml": "inventory: inventory.yml\nrule_files: [rules.yml]\n",
        "inventory.yml": "all: {hosts: {web1: {}}}\n",
        "rules.yml": "rules: [{name: mark, match: ['a=\"b\"'], playbook: mark.yml, probe: {tcp: {address: 'a:80'}}}]\n",
        "playbooks/mark.yml": "- import_playbook: more.yml\n- {hosts: all, roles: [restart]}\n",
        "playbooks/more.yml": "- {hosts: all, tasks: [{include_tasks: steps.yml}]}\n",
        "playbooks/steps.yml": "- ansible.builtin.debug:\n",
        "playbooks/unused.yml": "- {hosts: all}\n",
        "playbooks/roles/restart/tasks/main.yml": "- ansible.builtin.debug:\n",
        "playbooks/roles/restart/templates/unit.j2": "[Unit]\n",
        "playbooks/roles/restart/.git": "gitdir: elsewhere\n",
    }.items():
        (tmp_path / "site" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "site" / name).write_text(text)
    return tmp_path / "site"


def revision(site: Path) -> str:
    return load(site / "alertmend.yml")[1].revision


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("alertmend.yml", "inventory: inventory.yml\nrule_files: [rules.yml]\nlimits: {concurrency: 2}\n"),
        ("inventory.yml", "all: {hosts: {web1: {}, web2: {}}}\n"),
        (
            "rules.yml",
            "rules: [{name: mark, match: ['a=\"b\"'], playbook: mark.yml, probe: {tcp: {address: 'a:81'}}}]\n",
        ),
        ("playbooks/mark.yml", "- {hosts: all, roles: [restart]}\n"),
        ("playbooks/more.yml", "- {hosts: all}\n"),
        ("playbooks/steps.yml", "- ansible.builtin.ping:\n"),
        ("playbooks/roles/restart/templates/unit.j2", "[Unit]\nDescription=x\n"),
    ],
)
def test_whatever_is_decided_or_acted_by_changes_the_revision(site: Path, file: str, text: str) -> None:
    before = revision(site)
    (site / file).write_text(text)
    assert revision(site) != before


def test_the_same_files_have_the_same_revision_wherever_they_lie_and_whatever_else_there_is(site: Path) -> None:
    before = revision(site)
    elsewhere = Path(shutil.copytree(site, site.parent / "another machine"))
    for name in ("unused.yml", "roles/restart/.git", "README.md"):
        (elsewhere / "playbooks" / name).write_text("changed: true\n")
    os.utime(elsewhere / "rules.yml", (0, 0))
    assert revision(elsewhere) == before
