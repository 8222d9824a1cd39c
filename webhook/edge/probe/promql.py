"""Does Prometheus find something, and nothing that is zero?"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

from webhook.core.placeholder import Unfit
from webhook.core.probe import PromqlProbe
from webhook.core.promql import check_promql
from webhook.exchange import Request, exchange, head_of
from webhook.httpconfig import credentials, read_server
from webhook.located import Node, mapping, text
from webhook.probing import Deadline, Kind, Seen

#: An answer that is longer is none: an expression that is asked here finds one number, or a few.
ANSWER_LIMIT_BYTES: Final = 1024 * 1024
_SHOWN_LABELS: Final = 80


def _read(node: Node) -> PromqlProbe | None:
    fields = mapping(node, known={"expr", "url", "http_config"}, required={"expr"})
    expr = text(fields.get("expr"))
    if "http_config" in fields and "url" not in fields:
        fields["http_config"].report("it belongs to a url of the probe's own")
    if expr is None:
        return None
    try:
        check_promql(expr)
    except Unfit as error:
        fields["expr"].report(str(error))
    return PromqlProbe(expr=expr, prometheus=read_server(fields) if "url" in fields else None)


def _ask(probe: PromqlProbe, deadline: Deadline) -> Seen:
    server = probe.prometheus
    if server is None:
        return Seen(healthy=None, words="no Prometheus is configured")
    request = Request(
        method="POST",
        url=f"{server.url}/api/v1/query",
        tls=server.http_config.tls,
        headers=credentials(server.http_config),
        follow_redirects=server.http_config.follow_redirects,
        form={"query": probe.expr, "timeout": f"{deadline.seconds_left:.3f}"},
    )
    with exchange(request, deadline) as response:
        if response.request.method != request.method:
            return Seen(healthy=None, words="it redirects a POST; give the URL that it redirects to")
        status, body = response.status_code, head_of(response, ANSWER_LIMIT_BYTES)
    if len(body) > ANSWER_LIMIT_BYTES:
        return Seen(healthy=None, words=f"the answer is longer than {ANSWER_LIMIT_BYTES} bytes")
    try:
        return _judged(json.loads(body))
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError):
        return Seen(healthy=None, words=f"status {status}, and this is no answer of Prometheus' API")


def _judged(answer: Any) -> Seen:
    if answer["status"] != "success":
        return Seen(healthy=None, words=str(answer["error"]))
    if warnings := answer.get("warnings"):
        # Such as a store that did not answer: then what is missing may be missing for that reason alone.
        return Seen(healthy=None, words=f"it is not the whole truth: {warnings[0]}")
    kind, result = answer["data"]["resultType"], answer["data"]["result"]
    if kind == "scalar":
        return _number(result[1], "the number")
    if kind != "vector":
        return Seen(healthy=None, words=f"the expression gives a {kind}; a number or an instant vector is needed")
    return _counted(result)


def _counted(samples: Sequence[Mapping[str, Any]]) -> Seen:
    if not samples:
        return Seen(healthy=False, words="nothing is found")
    for sample in samples:
        if "value" not in sample:
            return Seen(healthy=None, words=f"{_name(sample)} is a histogram; a number is needed")
    found = [_number(sample["value"][1], _name(sample)) for sample in samples]
    if len(found) == 1:
        return found[0]
    zero = next((seen for seen in found if not seen.healthy), None)
    return zero or Seen(healthy=True, words=f"{len(found)} series, and none is zero")


def _number(written: str, name: str) -> Seen:
    number = float(written)
    return Seen(healthy=number != 0 and not math.isnan(number), words=f"{name} is {written}")


def _name(sample: Mapping[str, Any]) -> str:
    labels = dict(sample["metric"])
    name = labels.pop("__name__", "")
    pairs = ", ".join(f'{key}="{value}"' for key, value in labels.items())
    return f"{name}{{{pairs}}}"[:_SHOWN_LABELS]


KIND = Kind(read=_read, ask=_ask, imports=("httpx",))
