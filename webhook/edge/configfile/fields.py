"""What the readers of the configuration share: keys that are known, modes, rates, matchers."""

from __future__ import annotations

from collections.abc import Collection

from webhook.core.matcher import Matcher, MatcherError, parse_matcher
from webhook.core.rule import Mode, RateLimit
from webhook.located import Node, choice, mapping, otherwise, rate, text

#: Named by the interface and not built yet: refused with these words rather than accepted and ignored.
LATER = "is not supported by this version of alertmend"

_MAX_RATE_COUNT = 10_000


def known(
    node: Node | None, known: Collection[str], *, later: Collection[str] = (), required: Collection[str] = ()
) -> dict[str, Node]:
    fields = mapping(node, known=set(known) | set(later), required=required)
    for name in [name for name in fields if name in later]:
        fields.pop(name).report(LATER)
    return fields


def read_mode(node: Node | None) -> Mode:
    return otherwise(choice(node, Mode), Mode.AUTO)


def read_rate(node: Node | None) -> RateLimit | None:
    found = rate(node)
    if node is None or found is None:
        return None
    count, per = found
    if count > _MAX_RATE_COUNT:
        node.report(f"at most {_MAX_RATE_COUNT} can be counted")
        return None
    return RateLimit(count=count, per=per)


def read_matcher(node: Node | None) -> Matcher | None:
    written = text(node)
    if node is None or written is None:
        return None
    try:
        return parse_matcher(written)
    except MatcherError as error:
        node.report(f"{written!r}, at character {error.position + 1}: {error}")
        return None
