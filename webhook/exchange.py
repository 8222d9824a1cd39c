"""One HTTP request and its answer, within a deadline."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Final

from webhook.core.httpconfig import Tls
from webhook.errors import WebhookError
from webhook.httpconfig import ssl_context
from webhook.probing import Deadline

if TYPE_CHECKING:
    import httpx

_MOST_REDIRECTS: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What is sent."""

    method: str
    url: str
    tls: Tls | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    #: Sent as a form.
    form: Mapping[str, str] | None = None
    #: Sent as JSON.
    json: object | None = None
    #: Otherwise a redirect is the answer.
    follow_redirects: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What came back, whole."""

    status: int
    body: bytes


class NoReply(WebhookError):
    """No whole answer came."""


def fetch(request: Request, *, seconds: float, limit_bytes: int) -> Reply:
    """The whole answer, whatever its status.

    Raises:
        NoReply: none came within `seconds`, it was longer than `limit_bytes`, or a redirect made a GET of a POST.
    """
    # Imported before the clock starts: the first time takes long.
    import httpx  # noqa: F401

    deadline = Deadline(at=time.monotonic() + seconds)
    answers: SimpleQueue[Reply | NoReply] = SimpleQueue()

    def ask() -> None:
        try:
            answers.put(_fetched(request, deadline, limit_bytes))
        except NoReply as error:
            answers.put(error)
        except Exception as error:
            # Whatever goes wrong outside is what came back.
            answers.put(NoReply(reason(error)))

    # In a thread of its own, because nothing bounds a look-up in the DNS.
    threading.Thread(target=ask, name="exchange", daemon=True).start()
    try:
        answer = answers.get(timeout=deadline.seconds_left)
    except Empty:
        answer = NoReply()
    finally:
        is_late = deadline.is_over
        deadline.end()
    if is_late:
        raise NoReply(f"timeout after {seconds:g}s")
    if isinstance(answer, NoReply):
        raise answer
    return answer


def _fetched(request: Request, deadline: Deadline, limit_bytes: int) -> Reply:
    with exchange(request, deadline) as response:
        if response.request.method != request.method:
            raise NoReply(f"it redirects a {request.method} to {response.url.copy_with(query=None)}; give that URL")
        body = head_of(response, limit_bytes)
    if len(body) > limit_bytes:
        raise NoReply(f"the answer is longer than {limit_bytes} bytes")
    return Reply(status=response.status_code, body=body)


@contextmanager
def exchange(request: Request, deadline: Deadline) -> Iterator[httpx.Response]:
    """The answer's status and headers, its body yet to be read. No proxy is asked."""
    import httpx

    def trace(event: str, details: dict[str, object]) -> None:
        stream = details.get("return_value")
        if event in ("connection.connect_tcp.complete", "connection.start_tls.complete") and stream is not None:
            deadline.watch(stream.get_extra_info("socket"))  # type: ignore[attr-defined]

    is_encrypted = request.follow_redirects or request.url.startswith("https:")
    verify = ssl_context(request.tls) if is_encrypted else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    name = request.tls.server_name if request.tls else None
    # Nothing compressed, since a small body could grow without bound.
    headers = {"user-agent": "alertmend", "accept-encoding": "identity", "connection": "close", **request.headers}
    with (
        # No environment: a proxy answers for itself, not for the host that is asked about.
        httpx.Client(
            verify=verify, trust_env=False, timeout=deadline.seconds_left, max_redirects=_MOST_REDIRECTS
        ) as client,
        client.stream(
            request.method,
            request.url,
            headers=headers,
            data=request.form,
            json=request.json,
            follow_redirects=request.follow_redirects,
            extensions={"trace": trace, **({"sni_hostname": name} if name else {})},
        ) as response,
    ):
        yield response


def head_of(response: httpx.Response, limit: int) -> bytes:
    """The first `limit` bytes of the body; one more when there are more."""
    head = bytearray()
    for chunk in response.iter_raw():
        head += chunk
        if len(head) > limit:
            break
    return bytes(head[: limit + 1])


def reason(error: BaseException) -> str:
    """Why there was no answer, from the first cause that has words for people."""
    for cause in _causes(error):
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
