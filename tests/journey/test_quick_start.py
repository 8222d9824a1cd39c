"""docs/quick_start.md, typed line by line as it stands there; only ports are others, and the cooldown is shorter."""

from __future__ import annotations

from tests.docs.pages import REPOSITORY, blocks
from tests.journey.harness import until
from tests.journey.stranger import Stranger, stranger

__all__ = ["stranger"]

PAGE = REPOSITORY / "docs/quick_start.md"
#: A rule that observes would not act.
REFUSED = ("alertmend explain alertname=ToyDown host=toy --config.file=site", "alertmend explain alertname=TargetDown")


def test_a_stranger_gets_through_the_quick_start(stranger: Stranger) -> None:
    stranger.refused = REFUSED
    for block in stranger.read(PAGE):
        if "firing.json" in block.text:
            until(lambda: stranger.outcomes() == ["fixed"], "the toy is mended")
        if "amtool alert add" in block.text:
            until(lambda: stranger.outcomes() == ["fixed", "fixed"], "the toy is mended again")


def test_the_chinese_page_says_to_do_the_same() -> None:
    def shown(page: str) -> list[tuple[str, str]]:
        return [(kind, one.text) for kind in ("console", "yaml") for one in blocks(kind) if one.file.name == page]

    assert shown("quick_start_zh.md") == shown("quick_start.md") != []
