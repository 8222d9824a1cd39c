"""What is proven from matchers alone, and that nothing is claimed that is not so."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook.core.implication import contradiction, takes_all
from webhook.core.matcher import Matcher, MatchType, all_match, parse_matchers


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ('job="web"', 'job="web",env="prod"'),
        ('job=~"web|api"', 'job="api"'),
        ('job=~"(web|api)"', 'job=~"api"'),
        ('job=~"(?:web|api|db)"', 'job=~"web|db"'),
        ('job=~"web.*"', 'job=~"web1|web2"'),
        ('job=~"web.*"', 'job=~"web.*",env="prod"'),
        ('job!="db"', 'job="web"'),
        ('job!="db"', 'job=~"web.+"'),
        ('job!~"db|cache"', 'job=~"web.+"'),
        ('job=~".*"', 'env="prod"'),
        ('job=~".+"', 'job!=""'),
        ('job=~".+"', 'job=~"web.+"'),
        ('job!=""', 'job=~".+"'),
        ('job=~"a\\\\.b|c"', 'job="a.b"'),
        ("", 'job="web"'),
        ('job="web"', 'job=~"web|api",job!="api"'),
    ],
)
def test_one_takes_all_that_the_other_takes(first: str, second: str) -> None:
    assert takes_all(parse_matchers(first), parse_matchers(second))


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ('job="web",env="prod"', 'job="web"'),
        ('job="api"', 'job=~"web|api"'),
        ('job=~".+"', 'env="prod"'),
        ('job!="db"', 'env="prod",job=~".*"'),
        ('job=~"web.*"', 'job=~"we.*"'),
        ('job=~"a.b"', 'job=~"a.+b"'),
        ('job="a.b"', 'job=~"a.b"'),
        ('job="web"', ""),
    ],
)
def test_what_is_not_so_or_not_proven_is_not_claimed(first: str, second: str) -> None:
    assert not takes_all(parse_matchers(first), parse_matchers(second))


def test_matchers_that_nothing_passes_name_the_label() -> None:
    assert contradiction(parse_matchers('env="prod",job="web",job="api"')) == "job"
    assert contradiction(parse_matchers('job=~"web|api",job!~"a.*|w.*"')) == "job"
    assert contradiction(parse_matchers('job="web",job=~"w.*",env!="prod"')) is None
    assert contradiction(()) is None


VALUES = ("", "a", "b", "ab", "a.b", "a|b", "aXb")
EXPRESSIONS = (
    "a",
    "a|b",
    "(a|b)",
    "(?:a|ab)",
    "a|",
    "",
    ".*",
    ".+",
    "a.*",
    "a.b",
    "a\\.b",
    "a\\|b",
    "[ab]",
    "a?",
    "(a|b)b",
)
matchers = st.one_of(
    st.builds(
        Matcher, st.sampled_from("xy"), st.sampled_from([MatchType.EQUAL, MatchType.NOT_EQUAL]), st.sampled_from(VALUES)
    ),
    st.builds(
        Matcher,
        st.sampled_from("xy"),
        st.sampled_from([MatchType.REGEX, MatchType.NOT_REGEX]),
        st.sampled_from(EXPRESSIONS),
    ),
)
several = st.lists(matchers, max_size=3)
EVERY = [dict(zip("xy", pair, strict=True)) for pair in product(VALUES, repeat=2)]


@given(first=several, second=several)
def test_what_is_claimed_holds_for_every_alert(first: list[Matcher], second: list[Matcher]) -> None:
    if takes_all(first, second):
        assert all(all_match(first, labels) for labels in EVERY if all_match(second, labels))
    if contradiction(second) is not None:
        assert not any(all_match(second, labels) for labels in EVERY)
