"""Records what a real Alertmanager delivers, into tests/data/deliveries: `python -m tests.data.capture`."""

import http.server
import json
import queue
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx

from tests.journey.harness import Processes, answers, free_port, until

FOLDER = Path(__file__).parent / "deliveries"
CONFIG = """\
route:
  receiver: alertmend
  group_by: [alertname]
  group_wait: 1s
  group_interval: 1s
  repeat_interval: 1h
  routes:
    - {receiver: alertmend-max10, matchers: ['lane="max10"']}
    - {receiver: alertmend.bearer, matchers: ['lane="bearer"']}
receivers:
  - name: alertmend
    webhook_configs: [{url: URL}]
  - name: alertmend-max10
    webhook_configs: [{url: URL, max_alerts: 10}]
  - name: alertmend.bearer
    webhook_configs: [{url: URL, http_config: {authorization: {credentials: a-token-that-opens-nothing}}}]
"""
#: One after the other, as they shall be replayed.
CASES = (
    "01_firing_single",
    "02_resolved_single",
    "03_firing_group_50",
    "04_partly_resolved_group",
    "05_truncated_firing",
    "06_truncated_says_resolved",
    "07_bearer_auth",
    "08_minimal_without_annotations",
)


def main() -> None:
    """Record each case."""
    with tempfile.TemporaryDirectory() as name, _recorder() as (port, seen):
        processes = Processes(Path(name))
        try:
            _record(_alertmanager(processes, port), seen)
        finally:
            processes.end()


def _record(url: str, seen: queue.Queue[dict[str, Any]]) -> None:
    hosts = [f"web{number:02}" for number in range(1, 51)]
    posts = (
        lambda: _post(url, "DiskFull", hosts[:1]),
        lambda: _post(url, "DiskFull", hosts[:1], fires=False),
        lambda: _post(url, "TargetDown", hosts),
        lambda: _post(url, "TargetDown", hosts[:10], fires=False),
        lambda: _post(url, "Storm", hosts, lane="max10"),
        lambda: _post(url, "Storm", hosts[:10], fires=False, lane="max10"),
        lambda: _post(url, "Guarded", hosts[:1], lane="bearer"),
        lambda: _post_alerts(url, [{"labels": {"alertname": "Lone"}}]),
    )
    for case, post in zip(CASES, posts, strict=True):
        post()
        found = {"case": case, "source": "Debian's prometheus-alertmanager", **seen.get(timeout=30)}
        (FOLDER / f"{case}.json").write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n")


def _post(url: str, name: str, hosts: Sequence[str], *, fires: bool = True, **labels: str) -> None:
    now = datetime.now(UTC)
    common = {"alertname": name, "job": "node", "path": "/var <ä>&", **labels}
    time = {"startsAt": now.isoformat(), "endsAt": (now + timedelta(minutes=5)).isoformat()}
    alerts = [
        {
            "labels": {**common, "host": host, "instance": f"{host}:9100"},
            "annotations": {"summary": f"{host}: 7 % free\nsoon none — 容量不足"},
            **(time if fires else {"endsAt": now.isoformat()}),
        }
        for host in hosts
    ]
    _post_alerts(url, alerts)


def _post_alerts(url: str, alerts: Sequence[dict[str, Any]]) -> None:
    httpx.post(f"{url}/api/v2/alerts", json=alerts).raise_for_status()


def _alertmanager(processes: Processes, receiver: int) -> str:
    port, file = free_port(), processes.folder / "alertmanager.yml"
    file.write_text(CONFIG.replace("URL", f"'http://127.0.0.1:{receiver}/'"))
    command = ["prometheus-alertmanager", f"--config.file={file}", f"--storage.path={processes.folder / 'am'}"]
    command += [f"--web.listen-address=127.0.0.1:{port}", "--cluster.listen-address="]
    processes.start("am", [*command, "--web.external-url=https://alertmanager.example.com", "--web.route-prefix=/"])
    until(lambda: answers(f"http://127.0.0.1:{port}/-/ready"), "Alertmanager is ready")
    return f"http://127.0.0.1:{port}"


@contextmanager
def _recorder() -> Iterator[tuple[int, queue.Queue[dict[str, Any]]]]:
    """The port of a receiver that takes everything, and what it was sent."""
    seen: queue.Queue[dict[str, Any]] = queue.Queue()

    class Receiver(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            request = {"method": "POST", "headers": [[name, value] for name, value in self.headers.items()]}
            seen.put({"request": request, "body_raw": body})
            self.send_response(202)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_port, seen
    finally:
        server.shutdown()
        server.server_close()


if __name__ == "__main__":
    main()
