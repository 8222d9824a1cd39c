"""Asks the world whether a host is healthy: over HTTP, by a TCP connection, or with a local command.

When to ask, how often, and what the answers mean is execution's affair.
"""

from __future__ import annotations

import importlib
import os
import re
import select
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache, partial
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Final

from webhook.core.rule import CommandProbe, HttpProbe, Probe, ProbeKind, TcpProbe
from webhook.ports import ProbeAnswer

if TYPE_CHECKING:
    import httpx

#: No more of an HTTP body is read, and a body that is longer is matched as far as this.
BODY_LIMIT_BYTES: Final = 64 * 1024
WORDS_LIMIT: Final = 200
#: The end of a command's output that is kept; its last line goes into the words.
_TAIL_BYTES: Final = 4096
#: What a command sees of our environment. The rest of it may hold secrets.
_ENVIRONMENT: Final = ("PATH", "HOME", "LANG")
#: How long the end of a command's processes may take after they were killed.
_GRACE_SECONDS: Final = 2.0
_SUPERVISOR: Final = Path(__file__).with_name("probe_command.py")
#: What can end a line, move a cursor or turn text around: C0, DEL, C1, bidirectional controls, lone surrogates.
_UNSEEN: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]+")
_ADDRESS: Final = re.compile(r"(?:\[([^\[\]]+)\]|([^\[\]:]+)):([0-9]{1,5})")


@dataclass(frozen=True, slots=True, kw_only=True)
class WorldProber:
    """Satisfies `ports.Prober`. Holds nothing, so that any number of threads may share one."""

    def ask(self, probe: Probe) -> ProbeAnswer:
        """One answer, after at most `probe.timeout`. A probe that cannot be asked is a sick answer, never an error."""
        ask = _question(probe.kind)
        began = time.monotonic()
        seen = _asked(ask, _Deadline(at=began + probe.timeout.total_seconds()))
        latency = time.monotonic() - began
        words = f"timeout after {probe.timeout.total_seconds():g}s" if seen is None else seen.words
        return ProbeAnswer(
            at=datetime.now(UTC),
            healthy=seen is not None and seen.healthy,
            words=_clean(words),
            latency_seconds=latency,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    healthy: bool
    words: str


@dataclass(slots=True)
class _Deadline:
    """When an answer comes too late, and what is open until then."""

    at: float
    _sockets: list[socket.socket] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _over: bool = False

    @property
    def seconds_left(self) -> float:
        """Above zero, so that it can serve as a socket's timeout."""
        return max(self.at - time.monotonic(), 0.001)

    @property
    def is_over(self) -> bool:
        """An answer comes too late now."""
        return time.monotonic() >= self.at

    def watch(self, connection: socket.socket) -> None:
        """Break this connection when the time is over: a timeout for each read does not bound one that trickles."""
        with self._lock:
            self._sockets.append(connection)
            if self._over:
                _break(connection)

    def end(self) -> None:
        """Break every connection that is watched, and those that will be."""
        with self._lock:
            self._over = True
            for connection in self._sockets:
                _break(connection)


_Question = Callable[[_Deadline], _Seen | None]


def _question(kind: ProbeKind) -> _Question:
    if isinstance(kind, CommandProbe):
        return partial(_ask_command, kind)
    if isinstance(kind, TcpProbe):
        return partial(_in_time, partial(_ask_tcp, kind))
    # Imported before the clock starts: the first time, this takes longer than many a timeout.
    importlib.import_module("httpx")
    return partial(_in_time, partial(_ask_http, kind))


def _asked(ask: _Question, deadline: _Deadline) -> _Seen | None:
    """What was seen in time, None when nothing was."""
    try:
        return ask(deadline)
    except Exception as error:
        # Whatever goes wrong while the world is asked is what was seen.
        return None if deadline.is_over else _Seen(healthy=False, words=_reason(error))


def _in_time(ask: _Question, deadline: _Deadline) -> _Seen | None:
    # In a thread of its own, because nothing bounds a look-up in the DNS. One that hangs is left behind until the
    # resolver gives up; a connection is broken at the deadline, and its thread ends.
    answers: SimpleQueue[_Seen | None] = SimpleQueue()
    threading.Thread(target=lambda: answers.put(_asked(ask, deadline)), name="probe", daemon=True).start()
    try:
        return answers.get(timeout=deadline.seconds_left)
    except Empty:
        return None
    finally:
        deadline.end()


def _ask_http(kind: HttpProbe, deadline: _Deadline) -> _Seen:
    import httpx

    def trace(event: str, details: dict[str, object]) -> None:
        stream = details.get("return_value")
        if event in ("connection.connect_tcp.complete", "connection.start_tls.complete") and stream is not None:
            deadline.watch(stream.get_extra_info("socket"))  # type: ignore[attr-defined]

    url = httpx.URL(kind.url)
    verify = _trusted() if url.scheme == "https" else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    with (
        # No environment: a proxy answers for itself, not for the host that is asked about.
        httpx.Client(verify=verify, trust_env=False, timeout=deadline.seconds_left) as client,
        client.stream(
            kind.method,
            url,
            # Nothing compressed, since a small body could grow without bound.
            headers={"user-agent": "alertmend", "accept-encoding": "identity", "connection": "close"},
            follow_redirects=False,
            extensions={"trace": trace},
        ) as response,
    ):
        return _judged(kind, response)


def _judged(kind: HttpProbe, response: httpx.Response) -> _Seen:
    if response.status_code not in kind.status:
        wanted = " or ".join(str(status) for status in kind.status)
        return _Seen(healthy=False, words=f"status {response.status_code} instead of {wanted}")
    if kind.body_regex is None:
        return _Seen(healthy=True, words=f"status {response.status_code}")
    if _matches(kind.body_regex, _head(response.iter_raw())):
        return _Seen(healthy=True, words=f"status {response.status_code}, and the body matches")
    return _Seen(healthy=False, words=f"the body does not match {kind.body_regex}")


def _matches(pattern: str, body: bytes) -> bool:
    import re2

    options = re2.Options()
    options.log_errors = False
    return re2.compile(pattern, options).search(body.decode("utf-8", "replace")) is not None


def _head(chunks: Iterator[bytes]) -> bytes:
    head = bytearray()
    for chunk in chunks:
        head += chunk
        if len(head) >= BODY_LIMIT_BYTES:
            break
    return bytes(head[:BODY_LIMIT_BYTES])


@cache
def _trusted() -> ssl.SSLContext:
    """The system's certificates, among them those that the operator has added. Made once: it takes 20 ms."""
    return ssl.create_default_context()


def _ask_tcp(kind: TcpProbe, deadline: _Deadline) -> _Seen:
    found = _ADDRESS.fullmatch(kind.address)
    if not found or not 1 <= int(found[3]) <= 65535:
        return _Seen(healthy=False, words=f"the address {kind.address!r} is neither host:port nor [v6]:port")
    with socket.create_connection((found[1] or found[2], int(found[3])), timeout=deadline.seconds_left):
        return _Seen(healthy=True, words="connected")


def _ask_command(kind: CommandProbe, deadline: _Deadline) -> _Seen | None:
    """What the command's end said; None when it was ended. Nothing that it started is left, however it ended."""
    supervisor = subprocess.Popen(
        [sys.executable, "-I", "-S", str(_SUPERVISOR), *kind.argv],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={name: os.environ[name] for name in _ENVIRONMENT if name in os.environ},
        start_new_session=True,
    )
    try:
        tail = _tail(supervisor, deadline)
    finally:
        _end(supervisor)
    if tail is None:
        return None
    status = supervisor.returncode
    lines = tail.decode("utf-8", "replace").split("\n")
    last = next((line for line in reversed(lines) if line.strip()), "")
    return _Seen(healthy=status == 0, words=f"exit status {status}" + (f": {last.strip()}" if last else ""))


def _tail(supervisor: subprocess.Popen[bytes], deadline: _Deadline) -> bytes | None:
    """The end of the output, once it has ended; None when the time was over before."""
    assert supervisor.stdout is not None
    output = supervisor.stdout.fileno()
    readable = select.poll()
    readable.register(output, select.POLLIN)
    tail = b""
    while not deadline.is_over:
        if readable.poll(deadline.seconds_left * 1000):
            chunk = os.read(output, 65536)
            if not chunk:
                return tail
            tail = (tail + chunk)[-_TAIL_BYTES:]
    return None


def _end(supervisor: subprocess.Popen[bytes]) -> None:
    """Returns when the supervisor is gone, and with it all that the command started."""
    assert supervisor.stdin is not None and supervisor.stdout is not None
    # Before the wait: this is what it takes as the sign to end everything.
    supervisor.stdin.close()
    try:
        supervisor.wait(_GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        supervisor.kill()
        supervisor.wait()
    finally:
        supervisor.stdout.close()


def _break(connection: socket.socket) -> None:
    # Not connected any more, or closed by the thread that owns it: then it needs no breaking.
    with suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


def _reason(error: BaseException) -> str:
    """Why the world could not be asked, from the first cause that has words for people."""
    causes = list(_causes(error))
    for cause in causes:
        if isinstance(cause, socket.gaierror):
            return f"DNS: {cause.strerror}"
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"TLS: {cause.verify_message}"
        if isinstance(cause, ssl.SSLError):
            return f"TLS: {cause.reason or cause}"
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror.lower()
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _clean(words: str) -> str:
    words = _UNSEEN.sub(" ", words).strip()
    return words if len(words) <= WORDS_LIMIT else words[: WORDS_LIMIT - 1] + "…"
