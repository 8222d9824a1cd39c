"""`alertmend explain`: which rule takes an alert, what each guard says; without a server, and nothing is done."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Result

Alertmend = Callable[..., Result]


@pytest.fixture
def explain(alertmend: Alertmend, site: Path) -> Alertmend:
    return lambda *words: alertmend("explain", *words, f"--config.file={site}/alertmend.yml")


def test_what_would_run_is_a_0_with_every_guards_answer(explain: Alertmend) -> None:
    found = explain("alertname=Down", "instance=web1:9100", "port=80")
    assert found.status == 0
    assert "rule restart-web: matches" in found.out
    assert "target: web1\n" in found.out
    assert found.out.count("\n  pass ") > 10
    assert found.out.endswith("decision: run: restart.yml on web1; every guard passes\n")


@pytest.mark.parametrize(
    ("labels", "guard", "words"),
    [
        (["instance=web3", "port=80"], "target", "did you mean"),
        (["instance=all", "port=80"], "target", "names many hosts"),
        (["instance=web1"], "labels", "$labels.port"),
        (["port=80"], "target", 'has no label "instance"'),
    ],
)
def test_what_would_be_refused_is_a_1_with_the_reason(
    explain: Alertmend, labels: list[str], guard: str, words: str
) -> None:
    found = explain("alertname=Down", *labels)
    assert found.status == 1
    assert f"decision: refuse ({guard})" in found.out
    assert words in found.out


def test_an_alert_that_no_rule_takes_is_told_which_matchers_failed(explain: Alertmend) -> None:
    found = explain("alertname=Up")
    assert found.status == 1
    assert 'rule restart-web: does not match: alertname="Down"' in found.out
    assert "no rule takes this alert: nothing would be done" in found.out


def test_the_same_as_json(explain: Alertmend) -> None:
    found = json.loads(explain("alertname=Down", "instance=web1", "port=80", "--output=json").out)
    assert (found["rule"], found["target"], found["decision"], found["guard"]) == ("restart-web", "web1", "run", None)
    assert {"guard", "verdict", "reason"} <= found["checks"][0].keys()
    missed = json.loads(explain("alertname=Up", "--output=json").out)
    assert (missed["rule"], missed["decision"]) == (None, None)


def test_a_value_may_hold_an_equals_sign_and_any_character(explain: Alertmend) -> None:
    found = explain("alertname=Down", "instance=web1", "port=a=b\x1b[2J{{ x }}")
    assert found.status == 0
    assert "\x1b" not in found.out


def test_a_broken_configuration_is_a_2_with_its_problems(explain: Alertmend, site: Path) -> None:
    (site / "rules/web.yml").write_text("rules: []\nruls: 1\n")
    found = explain("alertname=Down")
    assert (found.status, found.out) == (2, "")
    assert f"{site}/rules/web.yml:2:1" in found.err
