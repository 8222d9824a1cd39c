"""docs/http.md has a row for every route, status and filter, and promises none that is not there."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Iterator
from unittest.mock import Mock

import pytest
from starlette.routing import BaseRoute, Mount, Route

from tests.docs.pages import page, row_names, rows, sections
from webhook.core.search import COMMON, NAMES
from webhook.web.answers import STATUS
from webhook.web.app import make_app

PAGE = page("http.md")


def _routes(routes: Iterable[BaseRoute], prefix: str = "") -> Iterator[str]:
    for route in routes:
        if isinstance(route, Mount):
            yield from _routes(route.routes, prefix + route.path)
        elif isinstance(route, Route):
            path = re.sub(r"\{(\w+):\w+\}", r"{\1}", prefix + route.path)
            yield from (f"{method} {path}" for method in sorted((route.methods or {"GET"}) - {"HEAD"}))


def _served() -> list[str]:
    # Nothing is asked of what the application is made of, whatever that is by now; only its routes are read.
    made_of = {name: Mock() for name in inspect.signature(make_app).parameters}
    return list(_routes(make_app(**made_of).routes))


SERVED = _served()


@pytest.mark.parametrize("route", SERVED)
def test_every_route_has_a_row(route: str) -> None:
    assert route in row_names(PAGE), f"docs/http.md, first table, misses\n| `{route}` | who | what it does |"


def test_no_row_is_about_a_route_that_is_not_there() -> None:
    unknown = [name for name in row_names(PAGE) if re.match(r"[A-Z]+ /", name) and name not in SERVED]
    assert not unknown, f"docs/http.md has rows for routes that are not served: {', '.join(unknown)}"


@pytest.mark.parametrize("status", sorted({202, 404, 405, 500, *(status for _, status in STATUS)}))
def test_every_status_is_explained(status: int) -> None:
    found = [cells[0] for cells in rows(sections(PAGE)["What a status means"])]
    assert str(status) in found, f"docs/http.md, 'What a status means', misses\n| {status} | here | Alertmanager |"


@pytest.mark.parametrize("listing", NAMES)
def test_every_filter_of_a_listing_is_named(listing: str) -> None:
    found = {cells[0].strip("`"): cells[1] for cells in rows(sections(PAGE)["Listings"])}
    missing = [name for name in NAMES[listing] if f"`{name}`" not in found.get(listing, "")]
    missing += [name for name in COMMON if name not in found]
    assert not missing, f"docs/http.md, 'Listings', row `{listing}`, misses the filters {', '.join(missing)}"
