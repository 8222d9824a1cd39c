"""docs/tutorial.md, typed line by line as it stands there; only ports and folders are others."""

from __future__ import annotations

from tests.docs.pages import REPOSITORY
from tests.journey.harness import until
from tests.journey.stranger import Stranger, stranger

__all__ = ["stranger"]

PAGE = REPOSITORY / "docs/tutorial.md"
#: While the rule observes.
REFUSED = ("alertmend test site/tests/page.yml", "alertmend explain alertname=PageDown")


def test_a_stranger_gets_through_the_tutorial(stranger: Stranger) -> None:
    stranger.refused = REFUSED
    for block in stranger.read(PAGE):
        if "mode: auto" in block.text:
            stranger.refused = ()
        if "rm /tmp/alertmend-page/index.html" in block.text:
            until(lambda: stranger.outcomes() == ["fixed"], "the page is back")
    # The second notification was of the same firing
    assert stranger.outcomes() == ["fixed"]
    assert "looking around" in stranger.run("alertmend pauses").stdout
