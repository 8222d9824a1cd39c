"""An API that speaks JSON over TLS and asks for a token; what it answers is for each kind of API to say."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import trustme

TOKEN = "not-for-everyone"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One request, its body read as JSON."""

    method: str
    path: str
    query: Mapping[str, list[str]]
    media_type: str
    body: Any
    has_token: bool


Answer = tuple[int, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """What one needs to be let in, with the names of the playbooks' variables."""

    api: str
    ca_file: str
    token_file: str


@contextmanager
def json_api(folder: Path, answer: Callable[[Request], Answer]) -> Iterator[Access]:
    """Serves until its context is left; one request at a time is answered."""
    authority, turn = trustme.CA(), threading.Lock()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    (folder / "token").write_text(f"{TOKEN}\n")

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            length = int(self.headers.get("Content-Length", "0"))
            address = urlsplit(self.path)
            request = Request(
                method=self.command,
                path=address.path,
                query=parse_qs(address.query),
                media_type=self.headers.get_content_type(),
                body=json.loads(self.rfile.read(length)) if length else None,
                has_token=self.headers.get("Authorization") == f"Bearer {TOKEN}",
            )
            with turn:
                status, body = answer(request)
            content = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_PATCH = do_POST = _answer

        def log_message(self, *words: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield Access(
            api=f"https://127.0.0.1:{server.server_port}",
            ca_file=str(folder / "ca.pem"),
            token_file=str(folder / "token"),
        )
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)
