"""`grpc.health.v1`: what Kubernetes, Envoy and grpc_health_probe ask."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from webhook.checking import Checker, Checks, Unwell
from webhook.web.grpc import serve_grpc

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
UNKNOWN = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN


class Redis:
    """Well, until it is broken."""

    is_away = False

    def ask(self) -> str:
        if self.is_away:
            raise Unwell("connection refused")
        return "well"


@pytest.fixture
def redis() -> Redis:
    return Redis()


@pytest.fixture
def health(redis: Redis) -> Iterator[Any]:
    """A client of a server whose readiness needs Redis, and which has a check that always fails besides."""

    def fail() -> str:
        raise Unwell("broken")

    checks = Checks(checkers={"redis": Checker(ask=redis.ask), "other": Checker(ask=fail)}, needed=("redis",))
    server, port = serve_grpc("127.0.0.1:0", lambda: checks)
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield health_pb2_grpc.HealthStub(channel)
    server.stop(0).wait()


def ask(health: Any, service: str = "") -> int:
    return int(health.Check(health_pb2.HealthCheckRequest(service=service), timeout=60).status)


def test_the_service_without_a_name_is_readiness(health: Any, redis: Redis) -> None:
    assert ask(health) == SERVING
    redis.is_away = True
    assert ask(health) == NOT_SERVING


def test_each_check_is_a_service_of_its_name(health: Any) -> None:
    assert (ask(health, "redis"), ask(health, "other")) == (SERVING, NOT_SERVING)


def test_a_check_that_is_not_there_is_not_found(health: Any) -> None:
    with pytest.raises(grpc.RpcError) as raised:
        ask(health, "nothing")
    assert raised.value.code() is grpc.StatusCode.NOT_FOUND  # type: ignore[attr-defined]


def test_all_of_them_can_be_listed(health: Any) -> None:
    listed = health.List(health_pb2.HealthListRequest(), timeout=60).statuses
    assert {name: answer.status for name, answer in listed.items()} == {
        "": SERVING,
        "redis": SERVING,
        "other": NOT_SERVING,
    }


def test_whoever_watches_hears_each_change_once(health: Any, redis: Redis) -> None:
    watched = health.Watch(health_pb2.HealthCheckRequest(service=""), timeout=60)
    assert next(watched).status == SERVING
    redis.is_away = True
    assert next(watched).status == NOT_SERVING
    redis.is_away = False
    assert next(watched).status == SERVING
    watched.cancel()


def test_whoever_watches_what_is_not_there_hears_that(health: Any) -> None:
    watched = health.Watch(health_pb2.HealthCheckRequest(service="nothing"), timeout=60)
    assert next(watched).status == UNKNOWN
    watched.cancel()
