"""Traces: the way of one alert as spans, for whatever the operator keeps traces in. Without the extra `otel`, nothing.

Set up by the variables that OpenTelemetry has for it: https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Final

from webhook.errors import TracingError

if TYPE_CHECKING:
    from opentelemetry import context
    from opentelemetry.sdk.trace import SpanProcessor
    from opentelemetry.sdk.trace.export import SpanExporter
    from opentelemetry.trace import Span, Tracer

#: What is said of a span; what is None is not said.
Attributes = Mapping[str, str | int | float | bool | None]

#: Either of these asks for traces.
_ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PROTOCOLS: Final = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_EXPORTERS: Final = {
    "http/protobuf": "opentelemetry.exporter.otlp.proto.http.trace_exporter",
    "grpc": "opentelemetry.exporter.otlp.proto.grpc.trace_exporter",
}
#: What a process that ends still waits for a collector.
_LAST_SECONDS: Final = 2.0

_tracer: Tracer | None = None


def check() -> None:
    """Nothing is amiss: traces are not asked for, or can be sent.

    Raises:
        TracingError: they are asked for, and the extra `otel` is not installed, or cannot send them so.
    """
    if _is_wanted():
        _exporter()


@contextmanager
def sent_from(role: str) -> Iterator[None]:
    """Meanwhile this process's spans go where the environment says, if it does.

    Raises:
        TracingError: as `check` does.
    """
    if not _is_wanted():
        yield
        return
    exporter = _exporter()
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    with given_to(BatchSpanProcessor(exporter), role=role):
        yield


@contextmanager
def given_to(processor: SpanProcessor, *, role: str) -> Iterator[None]:
    """Meanwhile spans go to this. At the end it has some seconds for the last ones."""
    from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
    from opentelemetry.sdk.trace import TracerProvider

    global _tracer
    known = {SERVICE_NAME: os.environ.get("OTEL_SERVICE_NAME", "alertmend"), SERVICE_VERSION: version("alertmend")}
    provider = TracerProvider(resource=Resource.create({**known, "alertmend.role": role}), shutdown_on_exit=False)
    provider.add_span_processor(processor)
    _tracer = provider.get_tracer("alertmend")
    try:
        yield
    finally:
        _tracer = None
        # Whatever it is told, an exporter tries again and again as long as nobody answers.
        last = threading.Thread(target=provider.shutdown, name="last-spans", daemon=True)
        last.start()
        last.join(_LAST_SECONDS)


@contextmanager
def span(
    name: str, attributes: Attributes, *, parent: str = "", kind: str = "internal", since: datetime | None = None
) -> Iterator[None]:
    """What happens within is one span: below the one that is under way, or below `parent`, a W3C `traceparent`.

    The kind of an exception that leaves it is its error: the words of one may hold what is to be redacted.
    """
    if _tracer is None:
        yield
        return
    from opentelemetry.trace import SpanKind

    with _tracer.start_as_current_span(
        name,
        context=_context(parent),
        kind=SpanKind[kind.upper()],
        attributes=_said(attributes),
        start_time=_nanoseconds(since) if since else None,
        record_exception=False,
        set_status_on_exception=False,
    ):
        try:
            yield
        except Exception as error:
            describe({}, error=type(error).__name__)
            raise


def describe(attributes: Attributes, *, error: str | None = None) -> None:
    """Say more of the span that is under way; with an error, that it failed, and why."""
    if (current := _current()) is not None:
        current.set_attributes(_said(attributes))
        if error is not None:
            from opentelemetry.trace import StatusCode

            current.set_status(StatusCode.ERROR, error)


def note(event: str, attributes: Attributes) -> None:
    """Something that happened at this moment, in the span that is under way."""
    if (current := _current()) is not None:
        current.add_event(event, _said(attributes))


def past_span(name: str, attributes: Attributes, *, until: datetime, seconds: float) -> None:
    """A span below the one that is under way, of something that is over."""
    if _tracer is not None:
        ended = _nanoseconds(until)
        _tracer.start_span(name, start_time=ended - int(seconds * 1e9), attributes=_said(attributes)).end(ended)


def traceparent() -> str:
    """The span that is under way, as W3C Trace Context writes it; empty when there is none."""
    carrier: dict[str, str] = {}
    if _tracer is not None:
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        TraceContextTextMapPropagator().inject(carrier)
    return carrier.get("traceparent", "")


def trace_id(of: str | None = None) -> str:
    """The trace of a `traceparent`, or else of the span that is under way; empty when there is none."""
    return "".join((traceparent() if of is None else of).split("-")[1:2])


def _is_wanted() -> bool:
    if os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true" or os.environ.get("OTEL_TRACES_EXPORTER") == "none":
        return False
    return any(os.environ.get(name) for name in _ENDPOINTS)


def _exporter() -> SpanExporter:
    protocol = next(filter(None, map(os.environ.get, _PROTOCOLS)), "http/protobuf")
    if protocol not in _EXPORTERS:
        raise TracingError(f"{_PROTOCOLS[1]} is {' or '.join(_EXPORTERS)}, not {protocol}")
    try:
        exporter: SpanExporter = import_module(_EXPORTERS[protocol]).OTLPSpanExporter()
    except ImportError as error:
        raise TracingError(
            "the environment asks for traces, and what sends them is not installed: pip install 'alertmend[otel]'"
        ) from error
    return exporter


def _context(parent: str) -> context.Context | None:
    if not parent:
        return None
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    return TraceContextTextMapPropagator().extract({"traceparent": parent})


def _current() -> Span | None:
    if _tracer is None:
        return None
    from opentelemetry.trace import get_current_span

    return get_current_span()


def _said(attributes: Attributes) -> dict[str, str | int | float | bool]:
    return {name: value for name, value in attributes.items() if value is not None}


def _nanoseconds(at: datetime) -> int:
    return int(at.timestamp() * 1e9)
