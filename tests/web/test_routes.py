"""Every route there is: it works for whom it is meant, denies everyone else, and rejects what it cannot use."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import bcrypt
import httpx
import pytest
from starlette.routing import Route

from tests.flow.scene import Scene, alert, rule
from tests.flow.test_ways_out import CHAIN
from tests.flow.twin import Alertmanager
from tests.web.conftest import Client, application
from tests.web.test_pages import Both
from webhook.core.access import Provider
from webhook.core.matcher import parse_matcher
from webhook.core.rule import GiveUp, Mode
from webhook.core.run import Word
from webhook.edge.ledger import SqlLedger, open_engine
from webhook.edge.migration import migrate
from webhook.edge.webconfig import Role, WebConfig
from webhook.web.pages.forms import COOKIE
from webhook.world import PlaybookEnd, PlaybookJob, PlaybookResult

TOKEN = "t" * 43
SAID = {"comment": "because"}
NOTIFICATION = {"version": "4", "receiver": "a", "groupKey": "{}", "alerts": []}
#: The values of what stands in braces in a path; see `site`.
IDS: dict[str, str] = {}


@dataclass(frozen=True, kw_only=True)
class Case:
    """How one route is asked."""

    #: None: everyone may.
    who: Role | None = Role.VIEWER
    path: str = ""
    works: int = 200
    ask: Mapping[str, Any] = field(default_factory=dict)
    #: What it cannot use: a path, or a body, and what it answers then.
    wrong_path: str = ""
    wrong: Mapping[str, Any] = field(default_factory=dict)
    rejects: int = 400


def form(**fields: str) -> dict[str, Any]:
    return {"data": {"token": TOKEN, **fields}}


def page(path: str = "", **more: Any) -> Case:
    return Case(path=path, **more)


def listing(kind: str) -> dict[str, Case]:
    base = f"GET /api/v1/{kind}"
    paths = (base, f"{base}.csv", f"{base}.jsonl", f"{base}/facets")
    wrong = {"params": {"nonsense": "1"}}
    return {
        **{path: Case(wrong=wrong) for path in paths},
        f"{base}/{{id}}": Case(path=f"/api/v1/{kind}/{{{kind}}}", wrong_path=f"/api/v1/{kind}/nope", rejects=404),
    }


def said(prefix: str, ask: Mapping[str, Any], wrong: Mapping[str, Any], works: int) -> dict[str, Case]:
    shared: dict[str, Any] = {"who": Role.OPERATOR, "ask": ask, "wrong": wrong, "works": works}
    return {
        **{
            f"POST {prefix}/runs/{{id}}/{verb}": Case(path=f"{prefix}/runs/{{waits}}/{verb}", **shared)
            for verb in ("approve", "reject", "cancel")
        },
        f"POST {prefix}/incidents/{{id}}/take-over": Case(path=f"{prefix}/incidents/{{called}}/take-over", **shared),
    }


UNKNOWN = {"params": {"nonsense": "1"}}
DELIVERY = Case(who=Role.RECEIVER, ask={"json": NOTIFICATION}, wrong={"content": b"{"}, works=202)
OPEN = Case(who=None)
CASES: dict[str, Case] = {
    "POST /api/v1/alertmanager": DELIVERY,
    "POST /api/v1/alertmanager/": DELIVERY,
    **{f"GET {path}": OPEN for path in ("/healthz", "/-/healthy", "/readyz", "/-/ready", "/startupz")},
    "GET /health": Case(),
    "GET /metrics": Case(),
    "POST /-/reload": Case(who=Role.OPERATOR),
    "GET /openapi.json": Case(),
    **listing("incidents"),
    **listing("runs"),
    **listing("audit"),
    "GET /api/v1/audit/verify": Case(),
    "GET /api/v1/audit/checkpoints": Case(),
    "GET /api/v1/audit/export": Case(wrong=UNKNOWN),
    "GET /api/v1/runs/{id}/events": Case(
        path="/api/v1/runs/{runs}/events", wrong_path="/api/v1/runs/nope/events", rejects=404
    ),
    "GET /api/v1/runs/{id}/output.txt": Case(
        path="/api/v1/runs/{runs}/output.txt", wrong_path="/api/v1/runs/nope/output.txt", rejects=404
    ),
    **said("/api/v1", {"json": SAID}, {"json": {"comment": ""}}, 200),
    "GET /api/v1/pauses": Case(),
    "POST /api/v1/pauses": Case(
        who=Role.OPERATOR, ask={"json": {**SAID, "for": "1h"}}, works=201, wrong={"json": {**SAID, "for": "ever"}}
    ),
    "DELETE /api/v1/pauses/{id}": Case(
        who=Role.OPERATOR, path="/api/v1/pauses/{pause}", wrong_path="/api/v1/pauses/nope", rejects=404
    ),
    "GET /api/v1/rules": Case(),
    "GET /api/v1/rules/{name}": Case(path="/api/v1/rules/ask", wrong_path="/api/v1/rules/nope", rejects=404),
    "GET /api/v1/alerts": Case(),
    "POST /api/v1/explain": Case(ask={"json": {"labels": {"alertname": "Down"}}}, wrong={"json": {"labels": 7}}),
    "GET /static/{name}": Case(who=None, path="/static/style.css", wrong_path="/static/nope", rejects=404),
    "GET /login": OPEN,
    "POST /login": Case(
        who=None,
        ask=form(user="operator", password="operator"),
        works=303,
        wrong=form(user="a", password="b"),
        rejects=401,
    ),
    # The provider is away; what it says when it is there has tests of its own.
    "GET /login/oidc": Case(who=None, works=503),
    "GET /login/oidc/callback": Case(who=None, works=401),
    "POST /logout": Case(who=None, ask=form(), works=303, wrong={"data": {"token": "x"}}, rejects=403),
    "GET /": page(),
    "GET /incidents": page(wrong=UNKNOWN),
    "GET /incidents/{id}": page("/incidents/{incidents}", wrong_path="/incidents/nope", rejects=404),
    "GET /incidents/{id}.md": page("/incidents/{incidents}.md", wrong_path="/incidents/nope.md", rejects=404),
    "GET /runs": page(wrong=UNKNOWN),
    "GET /runs/{id}": page("/runs/{runs}", wrong_path="/runs/nope", rejects=404),
    "GET /approvals": page(),
    "GET /rules": page(),
    "GET /rules/{name}": page("/rules/ask", wrong_path="/rules/nope", rejects=404),
    "GET /audit": page(wrong=UNKNOWN),
    "GET /audit/verify": page(),
    "GET /audit/{id}": page("/audit/{audit}", wrong_path="/audit/nope", rejects=404),
    "GET /explain": page(),
    "POST /explain": page(ask=form(asked="alertname=Down"), wrong=form(asked="Down")),
    "GET /pauses": page(),
    **said("", form(**SAID), form(comment=" "), 303),
    "POST /pauses": Case(
        who=Role.OPERATOR,
        ask=form(**SAID, matchers="a=b", **{"for": "1h"}),
        works=303,
        wrong=form(**SAID, matchers="a=b"),
    ),
    "POST /pauses/{id}/resume": Case(
        who=Role.OPERATOR, path="/pauses/{pause}/resume", ask=form(**SAID), works=303, wrong=form(comment="")
    ),
}


def fails_on_web3(job: PlaybookJob) -> PlaybookResult:
    is_bad = job.target == "web3"
    return PlaybookResult(
        end=PlaybookEnd.FAILED if is_bad else PlaybookEnd.OK, reason="done", return_code=2 if is_bad else 0
    )


@dataclass
class Site:
    """A whole alertmend with a run that helped, one that waits, an incident with people called, and a pause."""

    client: Client
    scene: Scene

    def ask(self, name: str, case: Case, headers: Mapping[str, str], *, is_wrong: bool = False) -> httpx.Response:
        method, _, pattern = name.partition(" ")
        path = (case.wrong_path if is_wrong else "") or case.path or pattern
        ask = {**(case.wrong if is_wrong and case.wrong else case.ask)}
        return self.client.request(
            method, path.format(**IDS), headers={"Cookie": f"{COOKIE}={TOKEN}", **headers}, **ask
        )


@pytest.fixture(scope="module")
def users() -> WebConfig:
    hashed = {
        name: bcrypt.hashpw(name.encode(), bcrypt.gensalt(4)).decode() for name in ("operator", "viewer", "nobody")
    }
    roles = {Role.OPERATOR: frozenset({"operator"}), Role.VIEWER: frozenset({"viewer"})}
    provider = Provider(
        issuer="http://127.0.0.1:1", client_id="a", redirect_url="http://alertmend/login/oidc/callback", roles=roles
    )
    return WebConfig(users=hashed, roles=roles, oidc=provider)


@pytest.fixture(scope="module")
def build(users: WebConfig, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], Site]]:
    engines = []
    folder = tmp_path_factory.mktemp("routes")
    (folder / "am-token").write_text("secret")

    def site() -> Site:
        engines.append(open_engine(f"sqlite:///{folder / f'{len(engines)}.db'}"))
        migrate(engines[-1])
        ledger = SqlLedger(engine=engines[-1])
        config = replace(users, receiver_tokens_files=(folder / "am-token",))
        scene = Scene(
            rules=(
                rule(name="ask", match="alertname=Slow", mode=Mode.APPROVE),
                rule(give_up=GiveUp(escalate="oncall")),
            ),
            ledger=Both(sql=ledger),
            chains={"oncall": CHAIN},
            alertmanagers=Alertmanager(unable={"http://am1": "busy"}),
        )
        scene.playbooks.does = fails_on_web3
        prepare(scene)
        return Site(client=Client(application(ledger, web_config=config, scene=scene)), scene=scene)

    yield site
    for engine in engines:
        engine.dispose()


def prepare(scene: Scene) -> None:
    scene.delivers(alert())
    scene.delivers(alert("web3"))
    for _ in range(4):
        scene.work()
        scene.keep_up()
    scene.delivers(alert("web2", name="Slow"))
    word = Word(by="someone", at=scene.clock.now, comment="a test")
    until = scene.clock.now + timedelta(hours=1)
    pause = scene.people.pause((parse_matcher("job=none"),), until=until, word=word, cancel_running=False)
    [called] = [one.id for one in scene.incidents if one.target == "web3"]
    IDS.update(
        incidents=called,
        called=called,
        runs=scene.runs[0].id,
        waits=scene.runs[-1].id,
        pause=pause.id,
        audit="1",
    )


@pytest.fixture(scope="module")
def site(build: Callable[[], Site]) -> Site:
    """One that is only looked at."""
    return build()


def named(who: str) -> dict[str, str]:
    if who == "token":
        return {"Authorization": "Bearer secret"}
    if who == "stranger":
        return {"Authorization": "Bearer wrong"}
    return {"Authorization": "Basic " + base64.b64encode(f"{who}:{who}".encode()).decode()} if who else {}


#: Who has which role.
HOLDERS = {
    "operator": set(Role),
    "viewer": {Role.VIEWER},
    "token": {Role.RECEIVER},
    "nobody": set(),
}
CHANGES = sorted(name for name, case in CASES.items() if case.who is Role.OPERATOR and name != "POST /-/reload")


def test_every_route_has_a_case_and_every_case_a_route(site: Site) -> None:
    served = {
        f"{method} {route.path}"
        for route in site.client.app.routes
        if isinstance(route, Route)
        for method in (route.methods or {"GET"}) - {"HEAD"}
    }
    assert served == CASES.keys()


@pytest.mark.parametrize("name", CASES)
def test_it_denies(site: Site, name: str) -> None:
    case = CASES[name]
    for who in ("", "stranger"):
        answer = site.ask(name, case, named(who))
        assert answer.status_code == (case.works if case.who is None else 401), who
    for who, roles in HOLDERS.items():
        if case.who is not None and case.who not in roles:
            answer = site.ask(name, case, named(who))
            assert answer.status_code == 403, who
            assert "role" in answer.text


@pytest.mark.parametrize("name", [name for name in CASES if name not in CHANGES])
def test_it_works(site: Site, name: str) -> None:
    case = CASES[name]
    for who, roles in HOLDERS.items():
        if case.who is None or case.who in roles:
            assert site.ask(name, case, named(who)).status_code == case.works, who


@pytest.mark.parametrize("name", CHANGES)
def test_it_changes_something_under_a_name(build: Callable[[], Site], name: str) -> None:
    site = build()
    assert site.ask(name, CASES[name], named("operator")).status_code == CASES[name].works
    if "resume" not in name and "DELETE" not in name:
        assert ("operator", "because") in [
            (event.actor, event.body.get("comment")) for event in site.scene.ledger.events
        ]
    # Who says it again changes nothing more; only a pause may be made again, and an approval is one for each person.
    again = site.ask(name, CASES[name], named("operator")).status_code
    is_repeated = name.endswith(("/approve", "/pauses"))
    assert again in ({CASES[name].works} if is_repeated else {404, 409})


@pytest.mark.parametrize("name", CASES)
def test_it_rejects(site: Site, name: str) -> None:
    case = CASES[name]
    path = (case.path or name.partition(" ")[2]).format(**IDS)
    assert site.client.request("PUT", path, headers=named("operator")).status_code == 405
    if case.wrong or case.wrong_path:
        answer = site.ask(name, case, named("operator"), is_wrong=True)
        assert answer.status_code == case.rejects, answer.text[:300]


@pytest.mark.parametrize("name", [name for name in CASES if name.startswith(("POST", "DELETE"))])
def test_it_rejects_what_a_page_of_another_site_had_a_browser_send(site: Site, name: str) -> None:
    for origin in ("http://evil.example", "null"):
        answer = site.ask(name, CASES[name], {**named("operator"), "Origin": origin})
        assert answer.status_code == 403


@pytest.mark.parametrize("name", CASES)
def test_no_browser_may_guess_what_it_is_or_show_it_within_a_page_of_others(site: Site, name: str) -> None:
    answer = site.ask(name, CASES[name], named("viewer"))
    assert answer.headers["x-content-type-options"] == "nosniff"
    if answer.headers.get("content-type", "").startswith("text/html"):
        policy = answer.headers["content-security-policy"]
        assert "frame-ancestors 'none'" in policy and "default-src 'none'" in policy and "unsafe" not in policy
        assert answer.headers["referrer-policy"] == "same-origin"
        assert answer.headers["cache-control"] == "no-store"
