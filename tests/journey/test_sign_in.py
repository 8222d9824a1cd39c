"""People sign in to a running alertmend over TLS with a real browser, act under their names, and sign out."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import bcrypt
import httpx
import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.edge.provider import CLIENT, SECRET, IdentityProvider, serving
from tests.journey.harness import Alertmend, Processes, firing, notification, until
from tests.journey.test_browser import PATIENCE_MS, SCREENSHOTS, SIZES, violations

RULES = """
- name: ask-first
  match: ['alertname="Down"']
  mode: approve
  playbook: mark.yml
"""
SELF_SIGNED = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=127.0.0.1"]
WEB = """\
tls_server_config: {{cert_file: cert.pem, key_file: key.pem}}
basic_auth_users: {{oncall: '{hash}', wallboard: '{hash}'}}
roles: {{viewer: [wallboard], operator: [oncall]}}
receiver_tokens_files: [am-token]
oidc:
  issuer: {issuer}
  client_id: {client}
  client_secret_file: oidc-secret
  redirect_url: {url}/login/oidc/callback
  roles: {{operator: [sre]}}
"""


@dataclass
class Guarded:
    """An alertmend that lets in whom it knows, and a browser in front of it."""

    alertmend: Alertmend
    idp: IdentityProvider
    browser: Browser

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.alertmend.port}"

    def page(self, *, size: str = "desktop", scripts: bool = True) -> Page:
        width, height = SIZES[size]
        context = self.browser.new_context(
            base_url=self.url,
            viewport={"width": width, "height": height},
            java_script_enabled=scripts,
            ignore_https_errors=True,
        )
        context.set_default_timeout(PATIENCE_MS)
        return context.new_page()

    def deliver(self, target: str) -> None:
        headers = {"Authorization": "Bearer t0ken"}
        body = notification(firing(target))
        with httpx.Client(verify=False, base_url=self.url, headers=headers) as client:
            assert client.post("/api/v1/alertmanager", json=body).status_code == 202
            # What delivers can do nothing else.
            assert client.get("/api/v1/runs").status_code == 403

    def items(self, path: str, **query: str) -> list[dict[str, Any]]:
        with httpx.Client(verify=False, base_url=self.url, auth=("wallboard", "pw")) as client:
            return list(client.get(f"/api/v1/{path}", params=query).raise_for_status().json()["items"])

    def is_ready(self) -> bool:
        with suppress(httpx.HTTPError), httpx.Client(verify=False, base_url=self.url) as client:
            return client.get("/readyz", timeout=2).status_code == 200
        return False


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    processes = Processes(tmp_path_factory.mktemp("sign-in"))
    # As everywhere here: the machine may be busy.
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright, serving(IdentityProvider()) as idp:
        alertmend = Alertmend(processes, rule=RULES)
        alertmend.options = [f"--web.config.file={alertmend.folder / 'web.yml'}"]
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        found = Guarded(alertmend, idp, browser)
        idp.redirect_url = f"{found.url}/login/oidc/callback"
        write(found)
        try:
            alertmend.begin()
            until(found.is_ready, "alertmend is ready")
            yield found
        finally:
            browser.close()
            processes.end()


def write(found: Guarded) -> None:
    site = found.alertmend
    hashed = bcrypt.hashpw(b"pw", bcrypt.gensalt(6)).decode()
    site.write("web.yml", WEB.format(hash=hashed, issuer=found.idp.url, client=CLIENT, url=found.url))
    site.write("am-token", "t0ken")
    site.write("oidc-secret", SECRET)
    folder = site.folder
    files = ["-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem")]
    subprocess.run([*SELF_SIGNED, *files], check=True, capture_output=True)


def sign_in(page: Page, name: str) -> None:
    page.get_by_label("User").fill(name)
    page.get_by_label("Password").fill("pw")
    page.get_by_role("button", name="Sign in").click()


def test_an_operator_signs_in_approves_under_their_name_and_signs_out(guarded: Guarded) -> None:
    guarded.deliver("web1")
    until(lambda: guarded.items("runs", state="awaiting_approval"), "a run waits")
    page = guarded.page()
    page.goto("/approvals")
    expect(page).to_have_title("Sign in · alertmend")
    sign_in(page, "oncall")
    expect(page).to_have_title("Approvals · alertmend")
    card = page.get_by_role("article", name="mark.yml on web1")
    card.get_by_label("Comment").fill("it is quiet now")
    # The page goes on changing by itself, and what was typed stays.
    page.get_by_role("heading", name="Approvals").click()
    page.evaluate("document.querySelector('[data-live] > *').dataset.old = 'yes'")
    expect(page.locator("[data-old]")).to_have_count(0)
    expect(card.get_by_label("Comment")).to_have_value("it is quiet now")
    card.get_by_role("button", name="Approve").click()
    expect(page.locator("dd", has_text="by oncall").first).to_be_visible()
    [entry] = guarded.items("audit", event="approval", actor="oncall")
    assert entry["body"]["comment"] == "it is quiet now"
    page.get_by_role("button", name="Log out").click()
    expect(page).to_have_title("Sign in · alertmend")
    page.goto("/approvals")
    expect(page).to_have_title("Sign in · alertmend")


def test_someone_whom_the_provider_names_pauses_without_javascript(guarded: Guarded) -> None:
    page = guarded.page(size="phone", scripts=False)
    page.goto("/pauses")
    page.get_by_role("link", name="Sign in with 127.0.0.1").click()
    expect(page).to_have_title("Pauses · alertmend")
    page.get_by_label("Everything").check()
    page.get_by_label("For how long").fill("1h")
    page.get_by_label("Comment").fill("a drill")
    page.get_by_role("button", name="Pause").click()
    expect(page.get_by_text("By oidc:ada")).to_be_visible()
    page.get_by_role("article").get_by_label("Comment").fill("over")
    page.get_by_role("button", name="End it now").click()
    expect(page.get_by_text("Nothing is paused.")).to_be_visible()
    assert [entry["actor"] for entry in guarded.items("audit", q="drill")] == ["oidc:ada"]


def test_who_may_only_look_finds_nothing_to_act_with(guarded: Guarded) -> None:
    guarded.deliver("web2")
    until(lambda: guarded.items("runs", state="awaiting_approval", target="web2"), "a run waits")
    page = guarded.page(scripts=False)
    page.goto("/approvals")
    sign_in(page, "wallboard")
    card = page.get_by_role("article", name="mark.yml on web2")
    expect(card.get_by_text("An operator may approve or reject it.")).to_be_visible()
    expect(page.get_by_role("button", name="Approve")).to_have_count(0)


def test_a_wrong_password_is_said_by_the_form_and_axe_finds_nothing_on_it(guarded: Guarded) -> None:
    SCREENSHOTS.mkdir(exist_ok=True)
    for size in SIZES:
        page = guarded.page(size=size)
        page.goto("/runs")
        assert violations(page) == []
        page.get_by_label("User").fill("oncall")
        page.get_by_label("Password").fill("wrong")
        page.keyboard.press("Enter")
        expect(page.get_by_role("alert")).to_have_text("the user or the password is wrong")
        assert violations(page) == []
        page.screenshot(path=SCREENSHOTS / f"login-{size}.png", full_page=True)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
