"""The API says of itself what it does: everywhere else in these tests, each answer is held against this."""

from __future__ import annotations

import pytest
from openapi_spec_validator import validate

from tests.docs.pages import page, rows
from tests.docs.test_routes import SERVED
from tests.web.conftest import Client
from webhook.core.search import NAMES
from webhook.web.openapi import describe, operations

DESCRIBED = {f"{operation.method.upper()} {operation.path}": operation for operation in operations()}
#: Other spellings of what is described, and pages.
BESIDES = ("/-/", "/api/v1/alertmanager/")


def test_the_description_is_valid() -> None:
    validate(describe())


@pytest.mark.parametrize("route", [route for route in SERVED if "/api/" in route or "z" in route.split("/")[-1]])
def test_every_route_of_the_api_is_described(route: str) -> None:
    assert route in DESCRIBED or any(part in route for part in BESIDES)


def test_nothing_is_described_that_is_not_served() -> None:
    assert set(DESCRIBED) <= set(SERVED)


@pytest.mark.parametrize("route", DESCRIBED)
def test_who_may_is_what_the_documentation_says(route: str) -> None:
    [who] = [cells[1] for cells in rows(page("http.md")) if cells[0].strip("`") == route]
    assert DESCRIBED[route].who in who


@pytest.mark.parametrize("kind", NAMES)
def test_every_filter_that_is_described_can_be_asked(kind: str, client: Client) -> None:
    examples = {"label": "job=web", "since": "2h", "until": "1h"}
    for parameter in DESCRIBED[f"GET /api/v1/{kind}/facets"].query:
        name = parameter["name"]
        asked = {name: examples.get(name, "web")}
        assert client.get(f"/api/v1/{kind}", params=asked).status_code == 200, name


def test_it_is_served(client: Client) -> None:
    assert client.get("/openapi.json").json()["paths"].keys() == describe()["paths"].keys()
