"""A browser signs in, looks and acts, and signs out: with a password, and through a provider that is really asked."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import bcrypt
import httpx
import pytest
from starlette.applications import Starlette

from tests.edge.provider import CLIENT, SECRET, IdentityProvider, serving
from tests.flow.scene import Scene
from tests.web.conftest import application
from webhook.core.access import Provider
from webhook.edge.ledger import SqlLedger
from webhook.edge.webconfig import Role, WebConfig

HTML = {"Accept": "text/html,application/xhtml+xml"}


@dataclass
class Browser:
    """Keeps cookies, fills in forms that it was shown, and says where it comes from; it follows no redirect."""

    app: Starlette
    origin: str = "http://alertmend"

    def __post_init__(self) -> None:
        self.cookies = httpx.Cookies()

    def get(self, path: str) -> httpx.Response:
        return self._ask("GET", path)

    def send(self, path: str, shown: httpx.Response, **fields: str) -> httpx.Response:
        """A form, with what the page had hidden in it."""
        hidden = re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', shown.text)
        return self._ask(
            "POST",
            path,
            data={**{name: unescape(value) for name, value in hidden}, **fields},
            headers={"Origin": self.origin},
        )

    def sign_in(self, user: str, password: str, path: str = "/login") -> httpx.Response:
        return self.send("/login", self.get(path), user=user, password=password)

    def _ask(self, method: str, path: str, *, headers: dict[str, str] | None = None, **settings: Any) -> httpx.Response:
        async def ask() -> httpx.Response:
            transport = httpx.ASGITransport(app=self.app, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url=self.origin, cookies=self.cookies) as client:
                answer = await client.request(method, path, headers={**HTML, **(headers or {})}, **settings)
                self.cookies = client.cookies
                return answer

        return asyncio.run(ask())


@pytest.fixture(scope="module")
def users() -> WebConfig:
    hashed = {name: bcrypt.hashpw(name.encode(), bcrypt.gensalt(4)).decode() for name in ("alice", "bob", "nobody")}
    return WebConfig(users=hashed, roles={Role.OPERATOR: frozenset({"alice"}), Role.VIEWER: frozenset({"bob"})})


@pytest.fixture
def browser_of(ledger: SqlLedger, scene: Scene) -> Callable[..., Browser]:
    """A browser before an application with a web.config.file."""
    return lambda config, **more: Browser(application(ledger, web_config=config, scene=scene), **more)


@pytest.fixture
def browser(browser_of: Callable[..., Browser], users: WebConfig) -> Browser:
    return browser_of(users)


def test_who_is_not_known_is_led_to_the_form_and_then_to_where_they_wanted(browser: Browser) -> None:
    sent = browser.get("/audit?event=decision&q=a%26b")
    assert sent.status_code == 303
    form = sent.headers["location"]
    assert form == "/login?next=%2Faudit%3Fevent%3Ddecision%26q%3Da%2526b"
    answer = browser.sign_in("alice", "alice", form)
    assert (answer.status_code, answer.headers["location"]) == (303, "/audit?event=decision&q=a%26b")
    page = browser.get(answer.headers["location"])
    assert page.status_code == 200
    assert "Log out" in page.text


def test_what_is_no_browser_is_told_that_it_has_no_credentials(browser: Browser) -> None:
    for path in ("/", "/api/v1/runs"):
        answer = browser._ask("GET", path, headers={"Accept": "*/*"})
        assert answer.status_code == 401


def test_a_wrong_password_leaves_the_form_with_the_name_and_words(browser: Browser) -> None:
    answer = browser.sign_in("alice", "hunter2")
    assert answer.status_code == 401
    assert "the user or the password is wrong" in answer.text
    assert 'value="alice"' in answer.text and "hunter2" not in answer.text
    assert browser.get("/").status_code == 303


def test_a_name_is_shown_again_and_not_obeyed(browser: Browser) -> None:
    answer = browser.sign_in('"><script>alert(1)</script>', "x")
    assert "<script>" not in answer.text


@pytest.mark.parametrize(
    "onward", ["https://evil.example", "//evil.example", "/\\evil.example", "/%0d%0aa:b", "javascript:alert(1)", "a"]
)
def test_nobody_is_led_to_another_site(browser: Browser, onward: str) -> None:
    form = browser.get(f"/login?next={onward}")
    answer = browser.send("/login", form, user="alice", password="alice")
    assert answer.headers["location"] == "/"
    answer = browser.send("/login", form, user="alice", password="alice", next=onward)
    assert answer.headers["location"] in ("/", "/%0d%0aa:b")


def test_a_form_that_is_not_ours_signs_nobody_in(browser: Browser) -> None:
    form = browser.get("/login")
    assert browser.send("/login", form, user="alice", password="alice", token="x" * 43).status_code == 403
    browser.origin, ours = "http://evil.example", browser.origin
    answer = browser._ask("POST", f"{ours}/login", data={"user": "alice", "password": "alice"})
    assert answer.status_code == 403


def test_who_acts_on_a_page_is_on_the_record_by_name(browser: Browser, scene: Scene) -> None:
    browser.sign_in("alice", "alice")
    form = browser.get("/pauses")
    answer = browser.send("/pauses", form, everything="yes", comment="stop", **{"for": "1h"})
    assert answer.status_code == 303, answer.text
    [pause] = scene.people.pauses()
    assert (pause.said.by, pause.said.comment) == ("alice", "stop")


def test_who_may_only_look_is_told_which_role_it_takes(browser: Browser, scene: Scene) -> None:
    browser.sign_in("bob", "bob")
    form = browser.get("/pauses")
    assert form.status_code == 200 and "New pause" not in form.text
    answer = browser.send("/pauses", browser.get("/explain"), everything="yes", comment="stop", **{"for": "1h"})
    assert answer.status_code == 403
    assert "takes the role operator" in answer.text
    assert scene.people.pauses() == ()


def test_who_has_no_role_can_sign_in_as_someone_else(browser: Browser) -> None:
    browser.sign_in("nobody", "nobody")
    answer = browser.get("/")
    assert answer.status_code == 403
    assert '<a href="/login">Sign in as someone else</a>' in answer.text


def test_a_session_reads_the_api_and_changes_nothing_through_it(browser: Browser) -> None:
    browser.sign_in("alice", "alice")
    assert browser.get("/api/v1/pauses").status_code == 200
    asked = {"comment": "x", "for": "1h"}
    answer = browser._ask("POST", "/api/v1/pauses", json=asked, headers={"Origin": browser.origin})
    assert answer.status_code == 403
    assert "changes nothing through the API" in answer.text


def test_who_logged_out_is_out_whatever_cookie_they_kept(browser: Browser) -> None:
    browser.sign_in("alice", "alice")
    kept = httpx.Cookies(browser.cookies)
    answer = browser.send("/logout", browser.get("/"))
    assert (answer.status_code, answer.headers["location"]) == (303, "/login")
    assert browser.get("/").status_code == 303
    browser.cookies = kept
    assert browser.get("/").status_code == 303


def test_over_tls_every_cookie_is_bound_to_this_host(browser_of: Callable[..., Browser], users: WebConfig) -> None:
    browser = browser_of(users, origin="https://alertmend")
    browser.sign_in("alice", "alice")
    assert {name.partition("-")[0] for name in browser.cookies} == {"__Host"}
    assert browser.get("/").status_code == 200


def test_without_a_web_config_file_there_is_nothing_to_sign_in_to(browser_of: Callable[..., Browser]) -> None:
    browser = browser_of(None)
    assert browser.get("/login").headers["location"] == "/"
    assert browser.get("/").status_code == 200
    assert "Log out" not in browser.get("/").text


# ---------------------------------------------------------------------------------------------------------------------
# OpenID Connect


@pytest.fixture
def idp() -> Iterator[IdentityProvider]:
    with serving(IdentityProvider()) as provider:
        yield provider


@pytest.fixture
def oidc(idp: IdentityProvider, users: WebConfig, tmp_path: Path) -> WebConfig:
    (tmp_path / "secret").write_text(SECRET)
    provider = Provider(
        issuer=idp.url,
        client_id=CLIENT,
        client_secret_file=str(tmp_path / "secret"),
        redirect_url=idp.redirect_url,
        roles={Role.VIEWER: frozenset({"staff"}), Role.OPERATOR: frozenset({"sre"})},
    )
    return replace(users, oidc=provider)


def came_back(browser: Browser, path: str = "/login/oidc") -> httpx.Response:
    """Off to the provider, signed in there, and back."""
    leaving = browser.get(path)
    assert leaving.status_code == 303, leaving.text
    back = httpx.get(leaving.headers["location"], follow_redirects=False).headers["location"]
    return browser.get(urlsplit(back)._replace(scheme="", netloc="").geturl())


def test_whom_the_provider_names_acts_under_that_name(
    browser_of: Callable[..., Browser], oidc: WebConfig, scene: Scene
) -> None:
    browser = browser_of(oidc)
    form = browser.get(browser.get("/pauses").headers["location"])
    [link] = re.findall(r'href="(/login/oidc[^"]*)">Sign in with 127.0.0.1<', form.text)
    answer = came_back(browser, link)
    assert (answer.status_code, answer.headers["location"]) == (303, "/pauses")
    answer = browser.send("/pauses", browser.get("/pauses"), everything="yes", comment="stop", **{"for": "1h"})
    assert answer.status_code == 303
    assert [pause.said.by for pause in scene.people.pauses()] == ["oidc:ada"]


def test_what_is_sent_to_the_provider_holds_no_secret_and_is_new_each_time(
    browser_of: Callable[..., Browser], oidc: WebConfig
) -> None:
    browser = browser_of(oidc)
    asked = [parse_qs(urlsplit(browser.get("/login/oidc").headers["location"]).query) for _ in range(2)]
    for name in ("state", "nonce", "code_challenge"):
        assert asked[0][name] != asked[1][name]
    assert asked[0]["code_challenge_method"] == ["S256"]
    assert SECRET not in str(asked)


def test_groups_say_what_someone_may(
    browser_of: Callable[..., Browser], oidc: WebConfig, idp: IdentityProvider
) -> None:
    browser = browser_of(oidc)
    idp.person["groups"] = ["staff"]
    came_back(browser)
    assert "New pause" not in browser.get("/pauses").text
    idp.person["groups"] = []
    came_back(browser)
    assert browser.get("/pauses").status_code == 403


def test_a_provider_that_changed_its_keys_still_signs_people_in(
    browser_of: Callable[..., Browser], oidc: WebConfig, idp: IdentityProvider
) -> None:
    browser = browser_of(oidc)
    assert came_back(browser).status_code == 303
    idp.rotate()
    assert came_back(browser_of(oidc)).status_code == 303
    assert came_back(browser).status_code == 303


def test_an_answer_that_this_browser_did_not_ask_for_signs_nobody_in(
    browser_of: Callable[..., Browser], oidc: WebConfig
) -> None:
    attacker, victim = browser_of(oidc), browser_of(oidc)
    victim.app = attacker.app
    leaving = attacker.get("/login/oidc").headers["location"]
    back = httpx.get(leaving, follow_redirects=False).headers["location"]
    path = urlsplit(back)._replace(scheme="", netloc="").geturl()
    # A victim who is led to the attacker's answer would act under the attacker's name.
    answer = victim.get(path)
    assert answer.status_code == 401
    assert "began in another browser" in answer.text
    victim.get("/login/oidc")
    assert victim.get(path).status_code == 401
    assert victim.get("/").status_code == 303


def test_an_answer_counts_once(browser_of: Callable[..., Browser], oidc: WebConfig) -> None:
    browser = browser_of(oidc)
    leaving = browser.get("/login/oidc").headers["location"]
    back = httpx.get(leaving, follow_redirects=False).headers["location"]
    path = urlsplit(back)._replace(scheme="", netloc="").geturl()
    assert browser.get(path).status_code == 303
    assert browser.get(path).status_code == 401


def test_a_refusal_is_said_on_a_page_with_a_way_back(
    browser_of: Callable[..., Browser], oidc: WebConfig, idp: IdentityProvider
) -> None:
    idp.refusal = {"error": "access_denied", "error_description": "<script>alert(1)</script>"}
    answer = came_back(browser_of(oidc))
    assert answer.status_code == 401
    assert "the identity provider refused" in answer.text and "<script>" not in answer.text
    assert 'href="/login"' in answer.text


def test_a_provider_that_is_away_is_said_and_passwords_still_work(
    browser_of: Callable[..., Browser], oidc: WebConfig
) -> None:
    assert oidc.oidc is not None
    browser = browser_of(replace(oidc, oidc=replace(oidc.oidc, issuer="http://127.0.0.1:1")))
    answer = browser.get("/login/oidc")
    assert answer.status_code == 503
    assert "the identity provider is not available" in answer.text
    assert browser.sign_in("alice", "alice").status_code == 303


def test_without_a_provider_there_is_nowhere_to_go(browser: Browser) -> None:
    assert browser.get("/login/oidc").status_code == 404
    assert "Sign in with" not in browser.get("/login").text
