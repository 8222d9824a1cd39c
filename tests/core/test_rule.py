"""Placeholders are replaced once and never evaluated, and a stranger's words are marked."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook.core.matcher import parse_matcher
from webhook.core.placeholder import Untrusted, filled, missing_names, placeholders
from webhook.core.probe import CommandProbe, HttpProbe, Probe, TcpProbe, filled_probe
from webhook.core.rule import Mode, Rule, Step, first_match

LABELS = {"port": "8080", "job": "web", "evil": "$target $labels.job {{ x }}"}
ANNOTATIONS = {"unit": "nginx.service"}
WORDS: dict[str, Any] = {"labels": LABELS, "annotations": ANNOTATIONS}


def fill(value: object) -> Any:
    return filled(value, target="web1", **WORDS)


@pytest.mark.parametrize(
    ("written", "found"),
    [
        ("$target", "web1"),
        ("http://$target:$labels.port/healthz", "http://web1:8080/healthz"),
        ("$annotations.unit", "nginx.service"),
        ("$labels.job$labels.port", "web8080"),
        ("$labels.port.x", "8080.x"),
        ("$target.example.com", "web1.example.com"),
        # Not placeholders
        ("$targets", "$targets"),
        ("$labels", "$labels"),
        ("$labels.", "$labels."),
        ("$labels.1", "$labels.1"),
        ("$label.job", "$label.job"),
        ("$Target", "$Target"),
        ("{{ labels.job }}", "{{ labels.job }}"),
        ("${labels.job}", "${labels.job}"),
        ("5 $", "5 $"),
        ("", ""),
    ],
)
def test_a_placeholder_is_replaced_by_what_the_alert_says(written: str, found: str) -> None:
    assert fill(written) == found


def test_what_was_put_in_is_not_looked_at_again() -> None:
    assert fill("<$labels.evil>") == "<$target $labels.job {{ x }}>"


@given(st.text(), st.text())
def test_any_text_goes_in_as_it_is(before: str, value: str) -> None:
    before = before.replace("$", "")
    found = filled(f"{before}$labels.x", target="web1", labels={"x": value}, annotations={})
    assert found == before + value
    assert isinstance(found, Untrusted)


def test_only_what_a_stranger_has_said_is_marked() -> None:
    is_marked = {
        "$labels.port": True,
        "a$annotations.unit": True,
        "$target:$labels.port": True,
        "$target": False,
        "plain": False,
    }
    assert {written: isinstance(fill(written), Untrusted) for written in is_marked} == is_marked


def test_values_are_filled_wherever_they_stand_and_keys_nowhere() -> None:
    value = {"$target": [1, None, True, {"deep": "$labels.job"}], "tuple": ("$target",), "number": 2.5}
    assert fill(value) == {"$target": [1, None, True, {"deep": "web"}], "tuple": ["web1"], "number": 2.5}


def test_what_the_alert_lacks_is_named_as_it_is_written_in_order_and_once() -> None:
    value = ["$labels.zone", {"a": "$annotations.port $labels.zone"}, "$labels.port", "$target"]
    assert missing_names(value, **WORDS) == ("$labels.zone", "$annotations.port")
    assert placeholders(value) == ("$labels.zone", "$annotations.port", "$labels.port", "$target")


def test_an_empty_label_is_there() -> None:
    assert missing_names("$labels.x", labels={"x": ""}, annotations={}) == ()
    assert filled("<$labels.x>", target="web1", labels={"x": ""}, annotations={}) == "<>"


def test_whoever_does_not_ask_what_is_missing_is_told() -> None:
    with pytest.raises(KeyError, match="zone"):
        fill("$labels.zone")


def test_a_probe_is_filled_but_its_pattern_and_its_numbers_are_the_authors() -> None:
    http = HttpProbe(url="http://$target:$labels.port/", status=(200, 204), body_regex="^$target$")
    probe = Probe(kind=http, timeout=timedelta(seconds=3))
    found = filled_probe(probe, target="web1", **WORDS)
    assert found.kind == HttpProbe(url="http://web1:8080/", status=(200, 204), body_regex="^$target$")
    assert found.timeout == timedelta(seconds=3)
    tcp = filled_probe(Probe(kind=TcpProbe(address="$target:22")), target="web1", **WORDS)
    assert tcp.kind == TcpProbe(address="web1:22")
    command = filled_probe(Probe(kind=CommandProbe(argv=("ping", "--", "$target"))), target="web1", **WORDS)
    assert command.kind == CommandProbe(argv=("ping", "--", "web1"))


def test_the_first_rule_of_which_every_matcher_holds_takes_the_alert() -> None:
    def rule(name: str, *match: str) -> Rule:
        matchers = tuple(parse_matcher(written) for written in match)
        return Rule(name=name, match=matchers, steps=(Step(playbook="x.yml"),))

    rules = (rule("both", 'job="web"', 'port="1"'), rule("web", 'job="web"'), rule("any", 'job=~".+"'))
    assert [found and found.name for found in (first_match(rules, labels) for labels in (LABELS, {"job": "db"}))] == [
        "web",
        "any",
    ]
    assert first_match(rules, {}) is None
    assert first_match((), LABELS) is None


@pytest.mark.parametrize("of_rule", Mode)
@pytest.mark.parametrize("ceiling", Mode)
def test_the_more_careful_of_two_modes_counts(of_rule: Mode, ceiling: Mode) -> None:
    order = list(Mode)
    assert of_rule.lower_of(ceiling) is min(of_rule, ceiling, key=order.index)
