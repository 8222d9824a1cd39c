"""A service that exists to be broken: answers 200 on every path, and writes its process id to <home>/toy.pid.

python3 toy.py --port=9481 --home=/tmp/toy     # starts it in the background
kill $(cat /tmp/toy/toy.pid)                   # breaks it
"""

import argparse
import http.server
import os
import pathlib
import socket
import sys


class Answer(http.server.BaseHTTPRequestHandler):
    """Answers every GET: `toy_up 1` at /metrics, for Prometheus."""

    def do_GET(self) -> None:
        """200, always: what is broken does not answer at all."""
        body = b"toy_up 1\n"
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


def main() -> None:
    """Start in the background; returns once the port is open."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=9481)
    parser.add_argument("--home", type=pathlib.Path, required=True)
    arguments = parser.parse_args()
    arguments.home.mkdir(parents=True, exist_ok=True)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", arguments.port), Answer)
    server.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if os.fork():
        sys.exit(0)
    os.setsid()
    (arguments.home / "toy.pid").write_text(str(os.getpid()))
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    server.serve_forever()


if __name__ == "__main__":
    main()
