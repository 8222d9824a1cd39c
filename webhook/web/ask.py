"""What people send: small JSON documents, never from a page of someone else's."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any

from starlette.requests import Request

from webhook.errors import AccessDenied, PayloadError, PayloadTooLarge
from webhook.text import clean

MAX_BYTES = 64 * 1024
MAX_COMMENT = 1000


async def document(request: Request, *, known: Collection[str], required: Collection[str] = ()) -> Mapping[str, Any]:
    """The JSON object that was sent.

    Raises:
        AccessDenied: a page of another site had a browser send it.
        PayloadError: it is no JSON object, or its keys are not those that are known.
    """
    refuse_other_sites(request)
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BYTES:
            raise PayloadTooLarge(f"the body is larger than {MAX_BYTES} bytes")
    try:
        found = json.loads(body or b"{}")
    except (ValueError, RecursionError):
        raise PayloadError("the body is not JSON") from None
    if not isinstance(found, dict):
        raise PayloadError("the body is not a JSON object")
    for name in found:
        if name not in known:
            raise PayloadError(f"{str(name)[:60]!r} is not known here; known: {', '.join(known)}")
    for name in required:
        if name not in found:
            raise PayloadError(f"{name!r} is missing")
    return found


def words(found: Mapping[str, Any], name: str) -> str:
    """A text that is not empty, in one piece.

    Raises:
        PayloadError: it is none.
    """
    value = found.get(name)
    if not isinstance(value, str) or not value.strip():
        raise PayloadError(f"{name!r} must be a text that says something")
    if len(value) > MAX_COMMENT:
        raise PayloadError(f"{name!r} is longer than {MAX_COMMENT} characters")
    return clean(value.strip())


def refuse_other_sites(request: Request) -> None:
    """Returns when no page of another site had a browser send this.

    Raises:
        AccessDenied: one had.
    """
    origin = request.headers.get("origin")
    if origin is not None and origin.rpartition("://")[2] != request.headers.get("host"):
        raise AccessDenied("a page of another site may not change anything here")
