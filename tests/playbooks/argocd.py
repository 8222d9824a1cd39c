"""The API of Argo CD with one application, as far as playbooks use it.

No Argo CD runs here. What it takes is held against what its own description says of a sync; it refuses with the answers
that a real one has.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

from tests.playbooks.json_api import Access, Answer, Request, json_api

APPLICATION = "/api/v1/applications/web"
#: applicationApplicationSyncRequest, as much of it as is used here; all else is refused, so that nothing goes unseen.
_SYNC = Draft202012Validator(
    {
        "type": "object",
        "properties": {
            "revision": {"type": "string"},
            "prune": {"type": "boolean"},
            "strategy": {
                "type": "object",
                "properties": {"hook": {"type": "object", "additionalProperties": False}},
                "additionalProperties": False,
            },
        },
        "additionalProperties": False,
    }
)


@dataclass(kw_only=True)
class ArgoCD:
    """One application `web`, which its repository is ahead of."""

    sync: str = "OutOfSync"
    health: str = "Degraded"
    revision: str = "aaa"
    #: What a sync makes of it.
    becomes: str = "Healthy"
    phase: str = "Succeeded"
    #: Looks until a sync is over; None: none is under way.
    left: int | None = None
    asked: list[dict[str, Any]] = field(default_factory=list)
    access: Access = field(init=False)

    @property
    def variables(self) -> dict[str, object]:
        return {**asdict(self.access), "application": "web"}

    def answer(self, request: Request) -> Answer:
        if not request.has_token:
            return _refusal(401, 16, "invalid session: token signature is invalid")
        if not request.path.startswith(APPLICATION):
            # It does not tell whether there is such a one.
            return _refusal(403, 7, "permission denied")
        if request.method == "POST":
            return self._begin(request)
        self._work()
        return 200, self._application()

    def _begin(self, request: Request) -> Answer:
        if request.media_type != "application/json" or list(_SYNC.iter_errors(request.body)):
            return _refusal(400, 3, "proto: syntax error")
        if self.left is not None:
            return _refusal(400, 9, "another operation is already in progress")
        self.asked.append(request.body)
        self.left = 1
        return 200, self._application()

    def _work(self) -> None:
        if self.left is None:
            return
        self.left -= 1
        if self.left < 0:
            self.left = None
            if self.phase == "Succeeded":
                self.sync, self.health = "Synced", self.becomes
                self.revision = self.asked[-1].get("revision") or "bbb"

    def _application(self) -> dict[str, Any]:
        spec = {"project": "default", "source": {"repoURL": "https://git.example/web"}, "destination": {"name": "shop"}}
        status: dict[str, Any] = {
            "sync": {"status": self.sync, "revision": self.revision},
            "health": {"status": self.health},
        }
        if self.asked:
            over = {"phase": self.phase, "message": "one or more objects failed to apply"}
            status["operationState"] = {"phase": "Running"} if self.left is not None else over
        operation = {} if self.left is None else {"operation": {"sync": {"revision": "", "prune": False}}}
        return {"metadata": {"name": "web", "namespace": "argocd"}, "spec": spec, "status": status, **operation}


@contextmanager
def argocd(folder: Path) -> Iterator[ArgoCD]:
    """It is there until its context is left."""
    made = ArgoCD()
    with json_api(folder, made.answer) as made.access:
        yield made


def _refusal(status: int, code: int, message: str) -> Answer:
    return status, {"error": message, "code": code, "message": message}
