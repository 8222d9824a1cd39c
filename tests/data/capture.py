"""Records what a real Alertmanager delivers, into tests/data/deliveries: `python -m tests.data.capture`."""

import http.server
import json
import tempfile
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx

from tests.journey.harness import Processes, free_port

FOLDER = Path(__file__).parent / "deliveries"


def main() -> None:
    """Record a group firing, partly resolved, cut short, and a lone alert without an instance."""
    seen: list[dict[str, Any]] = []

    class Receiver(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            request = {"method": "POST", "headers": [[name, value] for name, value in self.headers.items()]}
            seen.append({"request": request, "body_raw": body})
            self.send_response(202)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    port = free_port()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Receiver)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory() as name:
        processes = Processes(Path(name))
        try:
            url = processes.alertmanager("am", f"http://127.0.0.1:{port}/")
            hosts = [f"web{number:02}" for number in range(1, 6)]
            _post(url, hosts, seconds=60)
            _save("group_firing", seen, 1)
            _post(url, hosts[:2], seconds=0)
            _save("group_partly_resolved", seen, 2)
            _post(url, [], seconds=60)
            _save("alone_without_instance", seen, 3)
        finally:
            processes.end()


def _post(url: str, hosts: list[str], *, seconds: int) -> None:
    now = datetime.now(UTC)
    labels = [{"alertname": "DiskFull", "host": host, "path": "/var <ä>&"} for host in hosts] or [{"alertname": "Lone"}]
    ends = (now + timedelta(seconds=seconds)).isoformat()
    alerts = [{"labels": one, "annotations": {"summary": "7 % free\nsoon"}, "endsAt": ends} for one in labels]
    if seconds:
        alerts = [{**one, "startsAt": now.isoformat()} for one in alerts]
    httpx.post(f"{url}/api/v2/alerts", json=alerts).raise_for_status()


def _save(case: str, seen: list[dict[str, Any]], number: int) -> None:
    while len(seen) < number:
        time.sleep(0.05)
    found = {"case": case, "source": "Debian's prometheus-alertmanager", **seen[number - 1]}
    (FOLDER / f"{case}.json").write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
