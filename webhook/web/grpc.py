"""`grpc.health.v1`, for those who ask in gRPC: the service without a name is readiness, each check one of its name."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from webhook.checking import Checks

# Read when grpc is imported. Its fork handlers block a fork for ever now and then; its own log has a format of its own.
os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "0"
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

#: So often it is looked whether something has changed for those who watch.
WATCH_SECONDS: Final = 1.0
#: Each of those who watch takes one; whoever finds none left is refused.
_MOST_AT_ONCE: Final = 32


def serve_grpc(address: str, checks: Callable[[], Checks]) -> tuple[Any, int]:
    """A server that runs, and its port.

    Raises:
        RuntimeError: it cannot listen there.
    """
    import grpc
    from grpc_health.v1 import health_pb2_grpc

    server = grpc.server(ThreadPoolExecutor(_MOST_AT_ONCE, "grpc"), maximum_concurrent_rpcs=_MOST_AT_ONCE)
    health_pb2_grpc.add_HealthServicer_to_server(_Health(checks), server)
    port: int = server.add_insecure_port(address)
    server.start()
    return server, port


class _Health:
    """Answers as the protocol has it: a check that is not known is an error to `Check`, and a status to `Watch`."""

    def __init__(self, checks: Callable[[], Checks]) -> None:
        self._checks = checks

    def Check(self, request: Any, context: Any) -> Any:
        """How it is now."""
        import grpc
        from grpc_health.v1 import health_pb2

        status = self._status(request.service)
        if status is None:
            context.abort(grpc.StatusCode.NOT_FOUND, f"there is no check {request.service[:80]!r}")
        return health_pb2.HealthCheckResponse(status=status)

    def List(self, _: Any, __: Any) -> Any:
        """How each is now; newer versions of the protocol ask it."""
        from grpc_health.v1 import health_pb2

        names = ("", *self._checks().checkers)
        answers = {name: health_pb2.HealthCheckResponse(status=self._status(name)) for name in names}
        return health_pb2.HealthListResponse(statuses=answers)

    def Watch(self, request: Any, context: Any) -> Iterator[Any]:
        """How it is now, and again whenever that changes."""
        from grpc_health.v1 import health_pb2

        told = None
        while context.is_active():
            status = self._status(request.service)
            if status is None:
                status = health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
            if status != told:
                told = status
                yield health_pb2.HealthCheckResponse(status=status)
            time.sleep(WATCH_SECONDS)

    def _status(self, service: str) -> Any:
        from grpc_health.v1 import health_pb2

        checks = self._checks()
        names: Sequence[str] = [service] if service else checks.needed
        if not checks.checkers.keys() >= set(names):
            return None
        is_well = all(checked.ok for checked in checks.ask(names))
        response = health_pb2.HealthCheckResponse
        return response.SERVING if is_well else response.NOT_SERVING
