"""The pages in a real browser: from a firing alert to its timeline, live and without JavaScript, for everyone.

Screenshots of every page are left in `.screenshots/`, to be looked at.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.journey.harness import Alertmend, Processes, firing, http, notification, until

SCREENSHOTS = Path(__file__).parents[2] / ".screenshots"
SIZES = {"desktop": (1280, 900), "phone": (390, 844)}
#: As others of our journeys: the machine may be busy.
PATIENCE_MS = 60_000
RULES = """
- name: ask-first
  match: ['alertname="Slow"']
  mode: approve
  playbook: mark.yml
- name: mark
  match: ['alertname="Down"']
  playbook: STEPS.yml
"""
STEPS = """\
- hosts: all
  gather_facts: false
  tasks:
    - name: First
      ansible.builtin.debug: {msg: the first word}
    - name: Wait for a word
      ansible.builtin.wait_for: {path: FOLDER/go, timeout: 90, sleep: 1}
    - name: Last
      ansible.builtin.debug: {msg: the last word}
"""
HOSTILE = "<img src=x onerror=document.title='owned'>"


@dataclass
class Eyes:
    """Someone who looks at an alertmend."""

    alertmend: Alertmend
    browser: Browser

    def page(self, *, size: str = "desktop", dark: bool = False, scripts: bool = True) -> Page:
        width, height = SIZES[size]
        context = self.browser.new_context(
            base_url=self.alertmend.url,
            viewport={"width": width, "height": height},
            color_scheme="dark" if dark else "light",
            java_script_enabled=scripts,
        )
        context.set_default_timeout(PATIENCE_MS)
        return context.new_page()

    def deliver(self, target: str, *, name: str = "Down", **labels: str) -> None:
        found = firing(target)
        found["labels"] = {**found["labels"], "alertname": name, **labels}
        found["fingerprint"] = f"{name}-{target}"
        http.post(self.alertmend.receiver, json=notification(found)).raise_for_status()

    def only(self, kind: str, **filters: str) -> str:
        """The id of the one that there is."""
        [found] = until(lambda: self.alertmend.items(kind, **filters), f"there are {kind} with {filters}")
        return str(found["id"])


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        yield found
        found.close()


@pytest.fixture(scope="module")
def eyes(tmp_path_factory: pytest.TempPathFactory, browser: Browser) -> Iterator[Eyes]:
    """An alertmend with a run that waits for a word, and one that waits for people."""
    processes = Processes(tmp_path_factory.mktemp("browser"))
    try:
        alertmend = Alertmend(processes, rule=RULES.replace("STEPS", "steps"))
        alertmend.write("playbooks/steps.yml", STEPS.replace("FOLDER", str(alertmend.folder)))
        alertmend.start()
        yield Eyes(alertmend, browser)
    finally:
        processes.end()


def test_an_alert_is_followed_from_firing_to_the_end_of_its_run_without_a_reload(eyes: Eyes) -> None:
    page = eyes.page()
    page.goto("/")
    expect(page.get_by_text("No incident is open.")).to_be_visible()
    eyes.deliver("web1", evil=HOSTILE)
    # It comes by itself
    page.get_by_role("region", name="Open incidents").get_by_role("link").first.click()
    expect(page.get_by_text("Step 1 started: steps.yml")).to_be_visible(timeout=PATIENCE_MS)
    page.get_by_role("link", name=re.compile("^Run [0-9a-f]{8}$")).first.click()
    output = page.locator("pre.output")
    expect(output).to_contain_text("the first word", timeout=PATIENCE_MS)
    expect(output).not_to_contain_text("the last word")
    expect(page.get_by_role("list").get_by_text("First")).to_be_visible(timeout=PATIENCE_MS)
    (eyes.alertmend.folder / "go").touch()
    expect(output).to_contain_text("the last word", timeout=PATIENCE_MS)
    expect(page.locator("dl.facts .tag").first).to_have_text("unproved", timeout=PATIENCE_MS)
    page.get_by_role("link", name=eyes.only("incidents", rule="mark")[-8:]).click()
    expect(page.get_by_text("Run ended: unproved")).to_be_visible()
    assert "owned" not in page.title()


def test_an_approval_is_given_on_the_page(eyes: Eyes) -> None:
    eyes.deliver("web2", name="Slow")
    run = eyes.only("runs", rule="ask-first", target="web2")
    page = eyes.page(size="phone")
    page.goto("/approvals")
    card = page.get_by_role("article", name="mark.yml on web2")
    # What check mode says comes by itself
    expect(card).to_contain_text("would", timeout=PATIENCE_MS)
    expect(page.get_by_text("1 run waits")).to_be_visible()
    card.get_by_label("Comment").fill("it is quiet now")
    card.get_by_role("button", name="Approve").click()
    page.wait_for_url(f"**/runs/{run}")
    expect(page.get_by_text("by anonymous")).to_be_visible()
    until(lambda: eyes.alertmend.marks == ["web2"], "it has run")


def test_a_pause_is_made_and_ended_without_javascript(eyes: Eyes) -> None:
    page = eyes.page(scripts=False)
    page.goto("/pauses")
    page.get_by_role("textbox", name="Matchers").fill('instance=~"web3.*"')
    page.get_by_label("For how long").fill("2h")
    page.get_by_label("Comment").fill("maintenance of web3")
    page.get_by_role("button", name="Pause").click()
    eyes.deliver("web3", name="Slow")
    incident = eyes.only("incidents", target="web3")
    page.goto(f"/incidents/{incident}")
    expect(page.get_by_text("Decided: hold (pause)")).to_be_visible()
    expect(page.get_by_label("What keeps alertmend from acting")).to_contain_text("maintenance of web3")
    page.goto("/pauses")
    page.get_by_role("article").get_by_label("Comment").fill("done")
    page.get_by_role("button", name="End it now").click()
    expect(page.get_by_text("Nothing is paused.")).to_be_visible()
    assert eyes.alertmend.items("audit", event="resume")[0]["body"]["comment"] == "done"


def test_what_would_be_decided_is_explained_without_javascript(eyes: Eyes) -> None:
    page = eyes.page(scripts=False)
    page.goto("/explain")
    page.get_by_label("Labels as name=value").fill("alertname=Down\ninstance=nobody")
    page.get_by_role("button", name="Explain").click()
    expect(page.get_by_role("heading", name="Down: refuse (target)")).to_be_visible()


def test_axe_finds_nothing_on_any_page_in_any_light(eyes: Eyes) -> None:
    SCREENSHOTS.mkdir(exist_ok=True)
    problems = []
    for size, dark in (("desktop", False), ("phone", True)):
        page = eyes.page(size=size, dark=dark)
        for name, path in every_page(eyes).items():
            page.goto(path)
            page.evaluate("document.querySelectorAll('details').forEach(found => { found.open = true; })")
            page.screenshot(path=SCREENSHOTS / f"{name}-{size}{'-dark' if dark else ''}.png", full_page=True)
            problems += [
                f"{path} ({size}): {found['id']}: {found['nodes'][0]['html'][:120]}" for found in violations(page)
            ]
    assert problems == []


def test_a_phone_never_has_to_scroll_sideways(eyes: Eyes) -> None:
    page = eyes.page(size="phone")
    for path in every_page(eyes).values():
        page.goto(path)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), path


def test_the_keyboard_reaches_the_content_first(eyes: Eyes) -> None:
    page = eyes.page()
    page.goto("/")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"


def violations(page: Page) -> list[dict[str, object]]:
    options = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}
    found: list[dict[str, object]] = Axe().run(page, options=options).response["violations"]
    return found


def every_page(eyes: Eyes) -> dict[str, str]:
    incident, run = eyes.alertmend.items("incidents")[0]["id"], eyes.alertmend.items("runs")[0]["id"]
    names = ("incidents", "runs", "approvals", "rules", "audit", "explain", "pauses")
    ones = {"incident": f"/incidents/{incident}", "run": f"/runs/{run}", "rule": "/rules/mark", "entry": "/audit/4"}
    return {"overview": "/", **{name: f"/{name}" for name in names}, **ones, "chain": "/audit/verify"}
