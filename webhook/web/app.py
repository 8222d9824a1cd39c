"""The web application: a list of routes and a map of errors."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from webhook.errors import WebhookError
from webhook.people import People
from webhook.ports import Follower
from webhook.web.answers import Endpoint, endpoint, error_answer
from webhook.web.api import Checkpointed, Counted, Listed, One, Verified
from webhook.web.auth import Authenticator
from webhook.web.explain import Explained
from webhook.web.export import Exported, Streamed
from webhook.web.harmless import Harmless
from webhook.web.health import Alive, Health, Ready, Started, Watched
from webhook.web.live import Events, Output, RunAccount, Shown
from webhook.web.metrics import Metrics, Refused
from webhook.web.openapi import Described
from webhook.web.pages.routes import page_routes
from webhook.web.people import Pauses, Resume, Said, TakeOver
from webhook.web.receiver import Put, Receiver
from webhook.web.reload import Reloaded
from webhook.web.reload import TakeOver as TakeConfigurationOver
from webhook.web.rules import Alerts, Rules

if TYPE_CHECKING:
    from webhook.edge.ledger import SqlLedger
    from webhook.wiring.desk import Desk

RECEIVER_PATH = "/api/v1/alertmanager"


def make_app(
    *,
    authenticator: Authenticator,
    put: Put,
    ledger: SqlLedger,
    follower: Follower,
    max_body_bytes: Callable[[], int],
    desk: Callable[[], Desk],
    watched: Watched,
    take_over: TakeConfigurationOver,
    is_ending: Callable[[], bool] = lambda: False,
) -> Starlette:
    """The application over its dependencies; what would go on for ever ends when `is_ending`."""
    account = RunAccount(ledger=ledger, follower=follower, is_ending=is_ending)
    refused = Refused(add=lambda counts: ledger.add(counts))
    receiver = endpoint(
        Receiver(authenticator=authenticator, put=put, max_body_bytes=max_body_bytes, refused=refused.count)
    )
    ones: dict[str, Endpoint] = {
        kind: One(kind=kind, ledger=ledger, authenticator=authenticator) for kind in ("incidents", "audit")
    }
    # A run that goes has more to say than its record.
    ones["runs"] = Shown(authenticator=authenticator, account=account)
    app = Starlette(
        routes=[
            # Both spellings are served: a redirect would turn Alertmanager's POST into a GET and lose it.
            Route(RECEIVER_PATH, receiver, methods=["POST"]),
            Route(f"{RECEIVER_PATH}/", receiver, methods=["POST"]),
            *_health(watched, authenticator),
            Route("/-/reload", endpoint(Reloaded(authenticator=authenticator, take_over=take_over)), methods=["POST"]),
            Route("/metrics", endpoint(Metrics(authenticator=authenticator, gauges=watched.gauges))),
            Route("/api/v1/audit/verify", endpoint(Verified(ledger=ledger, authenticator=authenticator))),
            Route("/api/v1/audit/checkpoints", endpoint(Checkpointed(ledger=ledger, authenticator=authenticator))),
            Route("/api/v1/audit/export", endpoint(Exported(ledger=ledger, authenticator=authenticator))),
            Route("/api/v1/runs/{id}/events", endpoint(Events(authenticator=authenticator, account=account))),
            Route("/api/v1/runs/{id}/output.txt", endpoint(Output(authenticator=authenticator, account=account))),
            Route("/openapi.json", endpoint(Described(authenticator=authenticator))),
            *_people(desk, authenticator),
            *(route for kind, one in ones.items() for route in _listing(kind, one, ledger, authenticator)),
            *page_routes(authenticator=authenticator, ledger=ledger, account=account, desk=desk, is_ending=is_ending),
        ],
        middleware=[Middleware(Harmless)],
        exception_handlers={WebhookError: error_answer, 404: _no_route, 405: _no_method},
    )
    app.router.redirect_slashes = False
    app.state.refused = refused
    return app


def _health(watched: Watched, authenticator: Authenticator) -> list[Route]:
    alive = endpoint(Alive(stalled_seconds=watched.stalled_seconds))
    ready = endpoint(Ready(checks=watched.checks))
    return [
        *(Route(path, alive) for path in ("/healthz", "/-/healthy")),
        *(Route(path, ready) for path in ("/readyz", "/-/ready")),
        Route("/startupz", endpoint(Started(checks=watched.checks))),
        Route("/health", endpoint(Health(authenticator=authenticator, checks=watched.checks))),
    ]


def _listing(kind: str, one: Endpoint, ledger: SqlLedger, authenticator: Authenticator) -> list[Route]:
    shared: dict[str, Any] = {"kind": kind, "ledger": ledger, "authenticator": authenticator}
    answers: dict[str, Endpoint] = {
        "": Listed(**shared),
        ".csv": Streamed(format="csv", **shared),
        ".jsonl": Streamed(format="jsonl", **shared),
        "/facets": Counted(**shared),
        "/{id}": one,
    }
    return [Route(f"/api/v1/{kind}{rest}", endpoint(answer)) for rest, answer in answers.items()]


def _people(desk: Callable[[], Desk], authenticator: Authenticator) -> list[Route]:
    def people() -> People:
        return desk().people

    allowed: dict[str, Any] = {"people": people, "authenticator": authenticator}
    seen: dict[str, Any] = {"desk": desk, "authenticator": authenticator}
    said = [
        Route(f"/api/v1/runs/{{id}}/{verb}", endpoint(Said(verb=verb, **allowed)), methods=["POST"])
        for verb in ("approve", "reject", "cancel")
    ]
    return [
        *said,
        Route("/api/v1/incidents/{id}/take-over", endpoint(TakeOver(**allowed)), methods=["POST"]),
        Route("/api/v1/pauses", endpoint(Pauses(**allowed)), methods=["GET", "POST"]),
        Route("/api/v1/pauses/{id}", endpoint(Resume(**allowed)), methods=["DELETE"]),
        Route("/api/v1/rules", endpoint(Rules(**seen))),
        Route("/api/v1/rules/{name}", endpoint(Rules(**seen))),
        Route("/api/v1/alerts", endpoint(Alerts(**seen))),
        Route("/api/v1/explain", endpoint(Explained(**seen)), methods=["POST"]),
    ]


async def _no_route(request: Request, _: Exception) -> Response:
    hint = f"Alertmanager's webhook_config must post to {RECEIVER_PATH}"
    return JSONResponse({"error": f"there is nothing at {request.url.path}; {hint}"}, status_code=404)


async def _no_method(request: Request, error: Exception) -> Response:
    headers = getattr(error, "headers", None)
    words = f"{request.method} is not allowed at {request.url.path}"
    return JSONResponse({"error": words}, status_code=405, headers=headers)
