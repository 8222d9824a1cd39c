"""What follows from matchers without any alert: that one list takes all that another takes, or that nothing passes.

Only what is proven is claimed. Values with a line break in them are left out: `.*` is meant to take everything.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from webhook.core.matcher import Matcher, MatchType, all_match

#: What `.*` and `.+` do not take, line breaks aside.
_REFUSED_BY = {".*": frozenset[str](), ".+": frozenset({""})}
_GROUP = re.compile(r"\((?:\?:)?([^()]*)\)")
#: Alternatives of a regular expression that stand for themselves: no sign in them but behind a backslash.
_LITERAL = re.compile(r"(?:[^\\.+*?()|\[\]{}^$]|\\[^A-Za-z0-9])*")


def takes_all(first: Sequence[Matcher], second: Sequence[Matcher]) -> bool:
    """Whether every alert that passes all of `second` passes all of `first`; False, too, where it is not proven."""
    return all(_follows(matcher, second) for matcher in first)


def contradiction(matchers: Sequence[Matcher]) -> str | None:
    """The label of which no value passes; None where that is not proven of any."""
    names = dict.fromkeys(matcher.name for matcher in matchers)
    return next((name for name in names if _passing(_on(name, matchers)) == frozenset()), None)


def _follows(wanted: Matcher, given: Sequence[Matcher]) -> bool:
    own = _on(wanted.name, given)
    if wanted in own:
        return True
    passing = _passing(own)
    if passing is not None:
        return all(wanted.matches({wanted.name: value}) for value in passing)
    refused = _refused(wanted)
    return refused is not None and not any(all_match(own, {wanted.name: value}) for value in refused)


def _on(name: str, matchers: Sequence[Matcher]) -> list[Matcher]:
    return [matcher for matcher in matchers if matcher.name == name]


def _passing(own: Sequence[Matcher]) -> frozenset[str] | None:
    """The values that pass all matchers of one label; None when they cannot be listed."""
    listed = [values for matcher in own if (values := _taken(matcher)) is not None]
    if not listed:
        return None
    return frozenset(value for value in listed[0] if all_match(own, {own[0].name: value}))


def _taken(matcher: Matcher) -> frozenset[str] | None:
    if matcher.type is MatchType.EQUAL:
        return frozenset({matcher.value})
    return _listed(matcher.value) if matcher.type is MatchType.REGEX else None


def _refused(matcher: Matcher) -> frozenset[str] | None:
    """The values that do not pass; None when they cannot be listed."""
    if matcher.type is MatchType.NOT_EQUAL:
        return frozenset({matcher.value})
    if matcher.type is MatchType.NOT_REGEX:
        return _listed(matcher.value)
    return _REFUSED_BY.get(matcher.value) if matcher.type is MatchType.REGEX else None


def _listed(expression: str) -> frozenset[str] | None:
    """The values that a regular expression takes when it is a list of them, like `web|api`."""
    group = _GROUP.fullmatch(expression)
    alternatives = (group[1] if group else expression).split("|")
    if not all(_LITERAL.fullmatch(one) for one in alternatives):
        return None
    return frozenset(re.sub(r"\\(.)", r"\1", one) for one in alternatives)
