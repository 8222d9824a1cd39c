"""Traces as a collector gets them from a running alertmend; and what happens when there is none."""

from __future__ import annotations

import gzip
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.journey.harness import Alertmend, Processes, firing, free_port, notification, until

#: As W3C Trace Context's own example.
TRACE, CALLER = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


class Collector(ThreadingHTTPServer):
    """Takes spans as OTLP over HTTP has them."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Taking)
        self.spans: list[tuple[str, Span]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def named(self, name: str) -> list[tuple[str, Span]]:
        return [(role, span) for role, span in list(self.spans) if span.name == name]


class Taking(BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        if self.headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        assert self.path == "/v1/traces"
        for group in ExportTraceServiceRequest.FromString(body).resource_spans:
            known = {pair.key: pair.value.string_value for pair in group.resource.attributes}
            assert known["service.name"] == "alertmend"
            self.server.spans += [
                (known["alertmend.role"], span) for scope in group.scope_spans for span in scope.spans
            ]
        answer = ExportTraceServiceResponse().SerializeToString()
        self.send_response(200)
        self.send_header("content-type", "application/x-protobuf")
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        """Nobody asks for it."""


@contextmanager
def collecting() -> Iterator[Collector]:
    with Collector() as collector:
        threading.Thread(target=collector.serve_forever, daemon=True).start()
        yield collector
        collector.shutdown()


def test_one_alert_is_one_trace_through_all_processes(processes: Processes, monkeypatch: pytest.MonkeyPatch) -> None:
    with collecting() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "100")
        rule = f"""\
  - name: mark
    match: ['alertname="Down"']
    playbook: mark.yml
    probe: {{command: {{argv: [test, -e, {processes.folder}/site/marks]}}, failure_threshold: 1, period: 1s}}
"""
        alertmend = Alertmend(processes, rule=rule)
        alertmend.start()
        headers = {"traceparent": f"00-{TRACE}-{CALLER}-01"}
        httpx.post(alertmend.receiver, json=notification(firing("web1")), headers=headers).raise_for_status()
        until(lambda: collector.named("run"), "the run's span has come")
        [(web, receive)], [(decider, intake)] = collector.named("receive"), collector.named("intake")
        [(actor, run)], [(_, playbook)] = collector.named("run"), collector.named("playbook")
        probes = [span for _, span in collector.named("probe")]
        assert (web, decider, actor) == ("web", "intake", "runs")
        assert receive.parent_span_id.hex() == CALLER
        assert intake.parent_span_id == receive.span_id
        assert run.parent_span_id == intake.span_id
        assert {span.parent_span_id for span in (playbook, *probes)} == {run.span_id}
        assert len(probes) >= 2
        assert {span.trace_id.hex() for _, span in collector.spans} == {TRACE}
        # Whoever reads the record or the log finds the trace
        [incident] = alertmend.items("incidents")
        assert incident["traceparent"] == f"00-{TRACE}-{intake.span_id.hex()}-01"
        log = (processes.folder / "alertmend.log").read_text()
        assert f"trace={TRACE}" in log


def test_a_collector_that_is_away_keeps_nobody_waiting(processes: Processes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{free_port()}")
    alertmend = Alertmend(processes)
    alertmend.start()
    httpx.post(alertmend.receiver, json=notification(firing("web1"))).raise_for_status()
    until(alertmend.finished, "it has run")
    alertmend.process.terminate()
    assert alertmend.process.wait(45) == 0


@pytest.mark.parametrize(
    ("environment", "without", "words"),
    [
        ({}, "opentelemetry", "is not installed: pip install 'alertmend[otel]'"),
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": "http/json"}, "", "http/protobuf or grpc, not http/json"),
    ],
)
def test_traces_that_cannot_be_sent_are_said_before_anything_starts(
    processes: Processes, environment: dict[str, str], without: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    alertmend = Alertmend(processes)
    for name, value in {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", **environment}.items():
        monkeypatch.setenv(name, value)
    files = [f"--config.file={alertmend.folder / 'alertmend.yml'}", f"--storage.path={alertmend.folder / 'data'}"]
    program = f"import sys; sys.modules[{without!r}] = None; from webhook.worker import main;"
    command = [sys.executable, "-c", f"{program} sys.exit(main(['prepare', *{files!r}]))"]
    ended = subprocess.run(command, check=False, capture_output=True, text=True)
    assert (ended.returncode, words in ended.stderr) == (2, True), ended.stderr
