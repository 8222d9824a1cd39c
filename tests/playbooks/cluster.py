"""The API of a Kubernetes cluster with a Deployment and Istio's VirtualService, as far as playbooks use it.

No cluster runs here. What it takes and gives is held against Kubernetes' own schemas, and for the VirtualService
against what Istio's definition of it says; it refuses with the answers that a real one has.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import kubernetes_validate
from jsonschema import Draft202012Validator

from tests.playbooks.json_api import Access, Answer, Request, json_api

DEPLOYMENTS = "/apis/apps/v1/namespaces/shop/deployments"
AUTOSCALERS = "/apis/autoscaling/v2/namespaces/shop/horizontalpodautoscalers"
VIRTUAL_SERVICES = "/apis/networking.istio.io/v1/namespaces/shop/virtualservices"
_REASONS = {401: "Unauthorized", 404: "NotFound", 405: "MethodNotAllowed", 415: "UnsupportedMediaType", 422: "Invalid"}


@dataclass(kw_only=True)
class Cluster:
    """One Deployment `web`, one VirtualService `web`, both in the namespace `shop`."""

    deployment: dict[str, Any] = field(default_factory=lambda: _deployment(2))
    virtual_service: dict[str, Any] = field(default_factory=lambda: _virtual_service())
    autoscalers: list[dict[str, Any]] = field(default_factory=list)
    #: So many replicas find a place.
    room: int = 100
    #: What somebody else does just before the next change arrives.
    meanwhile: Callable[[], object] = lambda: None
    access: Access = field(init=False)

    @property
    def variables(self) -> dict[str, object]:
        return {**asdict(self.access), "namespace": "shop"}

    @property
    def replicas(self) -> int:
        return int(self.deployment["spec"]["replicas"])

    @property
    def weights(self) -> list[int]:
        return [route.get("weight", 0) for route in self.virtual_service["spec"]["http"][0]["route"]]

    def answer(self, request: Request) -> Answer:
        if not request.has_token:
            return _refusal(401, "Unauthorized")
        if request.method == "PATCH" and request.media_type != "application/json-patch+json":
            return _refusal(415, f"the body of the request was in an unknown format: {request.media_type}")
        match request.method, request.path:
            case "GET", path if path == f"{DEPLOYMENTS}/web":
                answered = 200, _sound(self.deployment)
                self._control()
                return answered
            case "PATCH", path if path == f"{DEPLOYMENTS}/web/scale":
                return self._scale(request)
            case "GET", path if path == AUTOSCALERS:
                kind = {"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscalerList", "metadata": {}}
                return 200, _sound({**kind, "items": self.autoscalers})
            case "GET", path if path == f"{VIRTUAL_SERVICES}/web":
                return 200, _sound(self.virtual_service)
            case "PATCH", path if path == f"{VIRTUAL_SERVICES}/web":
                return self._route(request)
        return _refusal(404, "the server could not find the requested resource")

    def _scale(self, request: Request) -> Answer:
        self.meanwhile()
        now = {
            "apiVersion": "autoscaling/v1",
            "kind": "Scale",
            "metadata": {"name": "web", "namespace": "shop", "resourceVersion": "1"},
            "spec": {"replicas": self.replicas},
            "status": {"replicas": self.deployment["status"].get("replicas", 0), "selector": "app=web"},
        }
        try:
            wanted = _sound(_patched(now, request.body))
        except (ValueError, kubernetes_validate.ValidationError) as error:
            return _refusal(422, str(error))
        if "dryRun" not in request.query:
            self.deployment["spec"]["replicas"] = wanted["spec"]["replicas"]
            self.deployment["metadata"]["generation"] += 1
        return 200, wanted

    def _route(self, request: Request) -> Answer:
        self.meanwhile()
        try:
            wanted = _sound(_patched(self.virtual_service, request.body))
        except ValueError as error:
            return _refusal(422, str(error))
        if "dryRun" not in request.query:
            self.virtual_service = wanted
        return 200, wanted

    def _control(self) -> None:
        """What the controller has done by the next look."""
        self.deployment["status"].update(
            observedGeneration=self.deployment["metadata"]["generation"],
            replicas=self.replicas,
            readyReplicas=min(self.replicas, self.room),
            availableReplicas=min(self.replicas, self.room),
        )


@contextmanager
def cluster(folder: Path) -> Iterator[Cluster]:
    """It is there until its context is left."""
    made = Cluster()
    with json_api(folder, made.answer) as made.access:
        yield made


def autoscaler(name: str) -> dict[str, Any]:
    """One that is in charge of a Deployment."""
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": name}
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "any", "namespace": "shop"},
        "spec": {"scaleTargetRef": target, "minReplicas": 1, "maxReplicas": 5},
    }


def _deployment(replicas: int) -> dict[str, Any]:
    labels = {"app": "web"}
    pod = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "web", "image": "web:1"}]}}
    counts = {"replicas": replicas, "readyReplicas": replicas, "availableReplicas": replicas}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "shop", "generation": 1, "resourceVersion": "1"},
        "spec": {"replicas": replicas, "selector": {"matchLabels": labels}, "template": pod},
        "status": {"observedGeneration": 1, **counts, "conditions": [_condition("NewReplicaSetAvailable")]},
    }


def _condition(reason: str) -> dict[str, str]:
    return {
        "type": "Progressing",
        "status": "True" if reason == "NewReplicaSetAvailable" else "False",
        "reason": reason,
    }


def stuck(deployment: dict[str, Any]) -> None:
    """Its rollout has not got on for longer than it may take."""
    deployment["status"]["conditions"] = [_condition("ProgressDeadlineExceeded")]


def _virtual_service() -> dict[str, Any]:
    # As Istio keeps it: what has no weight has none.
    route = [
        {"destination": {"host": "web", "subset": "v1"}},
        {"destination": {"host": "web", "subset": "v2"}, "weight": 0},
    ]
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": {"name": "web", "namespace": "shop", "generation": 1, "resourceVersion": "1"},
        "spec": {"hosts": ["web"], "http": [{"name": "all", "route": [{**route[0], "weight": 100}, route[1]]}]},
    }


def _closed(properties: dict[str, Any], *required: str) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(required), "additionalProperties": False}


_TEXT = {"type": "string"}
#: As much of Istio's definition as is used here; all else is refused, so that nothing new goes unseen.
_VIRTUAL_SERVICE = Draft202012Validator(
    _closed(
        {
            "apiVersion": {"const": "networking.istio.io/v1"},
            "kind": {"const": "VirtualService"},
            "metadata": {"type": "object"},
            "spec": _closed(
                {
                    "hosts": {"type": "array", "items": _TEXT},
                    "http": {
                        "type": "array",
                        "items": _closed(
                            {
                                "name": _TEXT,
                                "match": {"type": "array"},
                                "route": {
                                    "type": "array",
                                    "items": _closed(
                                        {
                                            "destination": _closed({"host": _TEXT, "subset": _TEXT}, "host"),
                                            "weight": {"type": "integer", "minimum": 0},
                                        },
                                        "destination",
                                    ),
                                },
                            }
                        ),
                    },
                },
                "hosts",
            ),
        },
        "apiVersion",
        "kind",
        "metadata",
        "spec",
    )
)


def _sound(thing: dict[str, Any]) -> dict[str, Any]:
    """A copy of it.

    Raises:
        ValueError, kubernetes_validate.ValidationError: no real API would have it.
    """
    if thing["kind"] != "VirtualService":
        kubernetes_validate.validate(thing, kubernetes_validate.latest_version(), strict=True)
        return copy.deepcopy(thing)
    for error in _VIRTUAL_SERVICE.iter_errors(thing):
        raise ValueError(error.message)
    for rule in thing["spec"]["http"]:
        if len(rule["route"]) > 1 and not sum(route.get("weight", 0) for route in rule["route"]):
            raise ValueError("admission webhook denied the request: total destination weight = 0")
    return copy.deepcopy(thing)


def _patched(thing: dict[str, Any], operations: list[dict[str, Any]]) -> dict[str, Any]:
    """The thing after a JSON patch (RFC 6902).

    Raises:
        ValueError: a test in it failed, or its place is not there.
    """
    changed = copy.deepcopy(thing)
    for operation in operations:
        *way, last = [step.replace("~1", "/").replace("~0", "~") for step in operation["path"].split("/")[1:]]
        place: Any = changed
        for step in way:
            place = place[int(step) if isinstance(place, list) else step]
        key: Any = int(last) if isinstance(place, list) else last
        match operation["op"]:
            case "test" if place[key] != operation["value"]:
                raise ValueError("the server rejected our request due to an error in our request")
            case "replace" if key not in place:
                raise ValueError("the server rejected our request due to an error in our request")
            case "add" | "replace":
                place[key] = operation["value"]
    return changed


def _refusal(status: int, message: str) -> Answer:
    kind = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure"}
    return status, {**kind, "message": message, "reason": _REASONS[status], "code": status}
