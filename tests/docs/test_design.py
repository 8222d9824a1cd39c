"""The layout in docs/design.md is the one that is there."""

from __future__ import annotations

import re

from tests.docs.pages import REPOSITORY, page

PACKAGE = REPOSITORY / "webhook"


def _modules() -> set[str]:
    """What lies in the package, its core and its edge."""
    entries = [entry for folder in (PACKAGE, PACKAGE / "core", PACKAGE / "edge") for entry in folder.iterdir()]
    return {entry.stem for entry in entries if entry.suffix == ".py" or (entry / "__init__.py").exists()} - {"__init__"}


def _drawn() -> set[str]:
    picture = re.search(r"```\nwebhook/\n(.*?)^playbooks/", page("design.md"), re.MULTILINE | re.DOTALL)
    assert picture
    # A module's line begins with two spaces and its name; in core and edge several share a line of four.
    lines = [line for line in picture[1].splitlines() if line.strip()]
    names = [re.split(r"\s{2,}", line.strip())[0] if line.startswith("    ") else line.split()[0] for line in lines]
    return {name.strip("/") for group in names for name in group.split()}


def test_every_module_is_in_the_picture() -> None:
    missing = sorted(_modules() - _drawn())
    assert not missing, (
        f"docs/design.md, 'Layout', misses {', '.join(missing)}: add each to the line that it belongs to"
    )


def test_the_picture_shows_nothing_that_is_not_there() -> None:
    gone = sorted(_drawn() - _modules())
    assert not gone, f"docs/design.md, 'Layout', shows {', '.join(gone)}, which are not there: take them out"
