"""Rules on the record: what was decided by them is decided by them again."""

from dataclasses import replace
from datetime import timedelta
from zoneinfo import ZoneInfo

import pytest

from webhook.core.evidence import Policy
from webhook.core.matcher import parse_matcher
from webhook.core.probe import Probe, TcpProbe
from webhook.core.rule import Breaker, GiveUp, Guards, Limits, MaxTargets, Mode, RateLimit, Rule, Step
from webhook.core.schedule import Minutes, NamedInterval, Span, TimeInterval
from webhook.edge.revision import read_rules, revision_of, write_rules

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


def test_the_revision_is_the_same_for_the_same_rules_and_another_for_others() -> None:
    revision = revision_of(write_rules([RULE], POLICY))
    assert revision == revision_of(write_rules([RULE], POLICY))
    assert revision != revision_of(write_rules([RULE, RULE], POLICY))
    assert revision != revision_of(write_rules([RULE], Policy()))


def test_a_time_zone_that_is_not_known_here_is_said() -> None:
    document = dict(write_rules([RULE], POLICY))
    [interval] = document["time_intervals"]
    document["time_intervals"] = [{**interval, "parts": [{**interval["parts"][0], "location": "Mars/Base"}]}]
    with pytest.raises(ValueError, match="'Mars/Base' is not known here"):
        read_rules(document)
