"""Links in the documentation lead somewhere, and every page is in the index."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs.pages import FILES, REPOSITORY, anchors, links, page


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(REPOSITORY)))
def test_every_link_leads_somewhere(file: Path) -> None:
    for link in links(file):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        found = (file.parent / path).resolve() if path else file
        assert found.exists(), f"{file.relative_to(REPOSITORY)} links to {link}, which is not there"
        if anchor:
            assert anchor in anchors(found), f"{file.relative_to(REPOSITORY)} links to {link}: no such heading"


def test_every_page_is_in_the_index() -> None:
    missing = sorted(_pages() - {"index", *page("index.md").split()})
    assert not missing, f"add to the toctree in docs/index.md: {', '.join(missing)}"


def test_every_page_is_in_the_readme() -> None:
    named = {link.partition("#")[0] for link in links(REPOSITORY / "README.md")}
    missing = sorted(name for name in _pages() - {"index"} if "/" not in name and f"docs/{name}.md" not in named)
    assert not missing, f"add a row to the table under 'Documentation' in README.md for {', '.join(missing)}"


def _pages() -> set[str]:
    docs = REPOSITORY / "docs"
    return {str(file.relative_to(docs).with_suffix("")) for file in FILES if file.is_relative_to(docs)}
