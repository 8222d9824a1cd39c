"""Rule tests: what is expected, how it differs, and what they have tried."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tests.flow.scene import Scene, rule
from webhook.core.escalation import AlertmanagerStep, Chain
from webhook.core.guard import GUARDS, NAMES
from webhook.core.rule import GiveUp, Guards, Mode, RateLimit, Step
from webhook.core.rulebook import Rulebook
from webhook.errors import Problem
from webhook.located import parse
from webhook.rehearsal.coverage import report
from webhook.rehearsal.reader import read_tests
from webhook.rehearsal.ruletest import Coverage, RuleTest, play

MINUTE = timedelta(minutes=1)
COOL = rule(guards=Guards(cooldown=10 * MINUTE, rate_limit=RateLimit(count=3, per=60 * MINUTE)))
DOWN = "labels: {alertname: Down, instance: web1}"
TWICE = f"[{{at: 0m, {DOWN}}}, {{at: 5m, status: resolved, {DOWN}}}, {{at: 6m, {DOWN}}}]"


def rulebook(**settings: object) -> Rulebook:
    return Scene(**{"rules": (COOL,), **settings}).rulebook()  # type: ignore[arg-type]


def read(written: str, rules: Rulebook | None = None) -> tuple[tuple[RuleTest, ...], list[str]]:
    problems: list[Problem] = []
    node = parse(written.encode(), file=Path("t.yml"), problems=problems)
    return read_tests(node, rules or rulebook()), [str(problem) for problem in problems]


def differences(expect: str, *, alerts: str = TWICE, more: str = "", rules: Rulebook | None = None) -> list[str]:
    """Each as `field: found`."""
    written = f"- name: it\n  alerts: {alerts}\n  expect: [{expect}]\n{more}"
    (test,), problems = read(written, rules)
    assert problems == []
    return [f"{one.field}: {one.found}" for one in play(test, rules or rulebook()).differences]


# ---------------------------------------------------------------------------------------------------------------------
# What is expected


@pytest.mark.parametrize(
    "expect",
    [
        "{at: 0m, decision: run, rule: restart-web, target: web1}",
        "{at: 6m, decision: hold, guard: cooldown}",
        "{at: 6m, guard: cooldown, reason: free in 4m}",
        "{at: 8m, decision: hold}",
        "{at: 10m, decision: run}",
        "{at: 0m, outcome: unproved}",
        "{at: 60m, decision: none, target: web2}",
    ],
)
def test_what_is_as_expected_is_no_difference(expect: str) -> None:
    assert differences(expect) == []


@pytest.mark.parametrize(
    ("expect", "found"),
    [
        ("{at: 0m, decision: hold, guard: cooldown}", ["decision: run", "guard: none"]),
        ("{at: 6m, decision: run}", ["decision: hold"]),
        ("{at: 6m, guard: rate_limit}", ["guard: cooldown"]),
        ("{at: 6m, decision: hold, reason: free in 5m}", ["reason: last run ended 6m ago; free in 4m"]),
        ("{at: 6m, decision: hold, target: web2}", ["target: web1"]),
        ("{at: 0m, outcome: fixed}", ["outcome: unproved"]),
        ("{at: 0m, escalated: alertmanager}", ["escalated: nothing"]),
        ("{at: 6m, decision: none}", ["decision: hold"]),
    ],
)
def test_a_difference_is_told_field_by_field(expect: str, found: list[str]) -> None:
    assert differences(expect) == found


def test_what_is_true_of_another_host_does_not_count() -> None:
    alerts = (
        "[{at: 0m, labels: {alertname: Down, instance: web2}}, {at: 5m, labels: {alertname: Down, instance: nobody}}]"
    )
    assert differences("{at: 5m, decision: run}", alerts=alerts) == ["decision: refuse"]
    assert differences("{at: 6m, decision: run, target: web2}", alerts=alerts) == []


def test_an_older_word_does_not_pass_for_one_on_an_alert_that_no_rule_took() -> None:
    alerts = f"[{{at: 0m, {DOWN}}}, {{at: 5m, {DOWN.replace('Down', 'Dwon')}}}]"
    assert differences("{at: 5m, decision: run}", alerts=alerts) == ["decision: nothing"]
    assert differences("{at: 5m, decision: none}", alerts=alerts) == []
    assert differences("{at: 4m, decision: run}", alerts=alerts) == []


def test_nothing_was_decided_when_no_rule_takes_the_alert() -> None:
    alerts = "[{at: 0m, labels: {alertname: Other}}]"
    assert differences("{at: 1h, decision: none}", alerts=alerts) == []
    assert differences("{at: 1h, decision: run}", alerts=alerts) == ["decision: nothing"]


def test_alerts_at_the_same_time_come_in_one_notification() -> None:
    hosts = ", ".join(f"{{at: 0m, labels: {{alertname: Down, instance: {host}}}}}" for host in ("web1", "web2"))
    (test,), _ = read(f"- name: it\n  alerts: [{hosts}]\n  expect: [{{at: 0m, decision: run}}]\n")
    assert [len(delivery.alerts) for delivery in test.scenario.deliveries] == [2]


def test_a_firing_keeps_its_start_until_it_resolves() -> None:
    (test,), _ = read(
        f"- name: it\n  alerts: {TWICE.replace('{at: 5m', '{at: 2m, ' + DOWN + '}, {at: 5m')}\n  expect: []\n"
    )
    starts = [(delivery.alerts[0].starts_at - test.scenario.start) / MINUTE for delivery in test.scenario.deliveries]
    assert starts == [0, 0, 0, 6]


def test_a_time_of_the_week_is_given_by_the_start() -> None:
    (test,), problems = read(
        "- {name: it, start: '2026-01-30T17:00:00+01:00', alerts: [], expect: [{at: 0s, decision: none}]}"
    )
    assert problems == [] and test.scenario.start.isoformat() == "2026-01-30T16:00:00+00:00"


def test_all_that_can_happen_can_be_written() -> None:
    chain = Chain(name="oncall", steps=(AlertmanagerStep(),))
    asked = replace(
        rule(mode=Mode.APPROVE, guards=Guards(), give_up=GiveUp(escalate="oncall")),
        steps=(Step(playbook="restart.yml"),),
    )
    rules = rulebook(rules=(asked,), chains={"oncall": chain})
    more = """  playbooks: {restart.yml: [{outcome: failed, takes: 30s}]}
  approvals: [{at: 20m, by: alice, approve: true}]
  pauses: [{at: 0m, for: 10m, match: ['instance=web1']}]
"""
    expect = (
        "{at: 0m, guard: pause}, {at: 10m, guard: approval}, {at: 21m, outcome: failed}, {at: 21m, escalated: oncall}"
    )
    assert differences(expect, alerts=f"[{{at: 0m, {DOWN}}}]", more=more, rules=rules) == []


# ---------------------------------------------------------------------------------------------------------------------
# Mistakes


NONE, RUN = "name: a, alerts: []", "expect: [{at: 0m, decision: run}]"


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ("name: a", "the key 'alerts' is missing"),
        (f"{NONE}, expect: []", "a test that expects nothing can not fail"),
        (f"name: a, alerts: [{{at: 0m}}], {RUN}", "the key 'labels' is missing"),
        (f"name: a, alerts: [{{at: 5, labels: {{}}}}], {RUN}", "the unit is missing"),
        (f"name: a, alerts: [{{at: 0m, labels: {{port: 80}}}}], {RUN}", "write it in quotes: '80'"),
        (f"{NONE}, expect: [{{at: 0m}}]", "give what is expected"),
        (f"{NONE}, expect: [{{at: 0m, decision: run, outcome: fixed}}]", "give what is expected"),
        (f"{NONE}, expect: [{{at: 0m, decision: runs}}]", "'runs' is not known here; did you mean 'run'?"),
        (f"{NONE}, expect: [{{at: 0m, guard: cooldwon}}]", "did you mean 'cooldown'?"),
        (f"{NONE}, expect: [{{at: 0m, decision: run, rule: restart-wbe}}]", "did you mean 'restart-web'?"),
        (f"{NONE}, expect: [{{at: 0m, decision: run, target: web9}}]", "'web9' is not known here"),
        (f"{NONE}, expect: [{{at: 292y, decision: run}}]", "a test lasts 366d at the most"),
        (f"{NONE}, {RUN}, playbooks: {{rstart.yml: {{}}}}", "did you mean 'restart.yml'?"),
        (f"{NONE}, {RUN}, probes: [{{at: 0m}}]", "the key 'healthy' is missing"),
        (f"{NONE}, {RUN}, start: 2026-01-30", "which YAML reads as a date"),
        (f"{NONE}, {RUN}, start: '2026-01-30'", "a time with its zone is needed"),
        (f"{NONE}, {RUN}, start: '9999-12-31T23:59:59Z'", "a time with its zone is needed"),
        (f"{NONE}, {RUN}, alert: []", "did you mean 'alerts'?"),
    ],
)
def test_a_mistake_is_told_with_its_place(written: str, words: str) -> None:
    _, problems = read(f"[{{{written}}}]")
    assert any(words in problem for problem in problems), problems
    assert all(problem.startswith("t.yml:1:") for problem in problems)


def test_a_file_without_a_test_is_no_file_of_tests() -> None:
    assert read("[]")[1] == ["t.yml:1:1: give at least one test"]


def test_every_guard_has_the_name_by_which_it_is_expected() -> None:
    (test,), _ = read(f"- name: it\n  alerts: {TWICE}\n  expect: [{{at: 1h, decision: run}}]\n")
    seen = {guard for _, guard, _ in play(test, rulebook()).coverage} - {"decision"}
    assert seen == set(NAMES) and len(GUARDS) == len(NAMES)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["name", "at", "alerts", "labels", "expect", "decision", "playbooks"]), inner
            )
        ),
    )
)
def test_nothing_that_is_yaml_breaks_the_reader(value: object) -> None:
    read(yaml.safe_dump(value))


# ---------------------------------------------------------------------------------------------------------------------
# Coverage


def test_what_was_tried_is_told_for_each_rule_and_guard() -> None:
    (test,), _ = read(f"- name: it\n  alerts: {TWICE}\n  expect: [{{at: 6m, guard: cooldown}}]\n")
    rules = rulebook(rules=(COOL, rule("other", match='alertname="Other"', mode=Mode.OBSERVE)))
    lines = [line.split() for line in report([(rules, play(test, rules).coverage)]) if line]
    assert lines[1] == ["restart-web", "run", "1,", "hold", "1", "cooldown", "1", "rate_limit"]
    assert lines[2] == ["other", "nothing", "-", "mode"]
    assert lines[3][:4] == ["coverage:", "2", "of", "5:"]
    assert list(report([(rulebook(rules=()), Coverage())])) == []
