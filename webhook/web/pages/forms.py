"""Forms that only our own pages can have sent, whoever the browser says it is.

A form carries a token that stands in a cookie too: another site can have a browser post, but it can read neither.
"""

from __future__ import annotations

import hmac
import re
import secrets
from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import Response

from webhook.errors import AccessDenied, PayloadError, PayloadTooLarge
from webhook.text import clean
from webhook.web.ask import MAX_BYTES, MAX_COMMENT, refuse_other_sites
from webhook.web.session import cookie, give_cookie

COOKIE: Final = "alertmend_form"
FIELD: Final = "token"
_TOKEN: Final = re.compile(r"[A-Za-z0-9_-]{43}")
_PATH: Final = re.compile(r"/(?![/\\])[^\s\\]*")


def token_of(request: Request) -> str:
    """The browser's token, or a new one."""
    found = cookie(request, COOKIE)
    return found if _TOKEN.fullmatch(found) else secrets.token_urlsafe(32)


def with_token(request: Request, answer: Response, token: str) -> Response:
    """The answer, which leaves the token with the browser if it has none."""
    if cookie(request, COOKIE) != token:
        give_cookie(answer, request, COOKIE, token)
    return answer


async def sent(request: Request, *, limit_bytes: int = MAX_BYTES) -> Mapping[str, str]:
    """The fields of a form of ours, each in one piece; the last of a name counts.

    Raises:
        AccessDenied: it does not come from one of our pages.
        PayloadError: it is no form.
        PayloadTooLarge: it is too long.
    """
    refuse_other_sites(request)
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit_bytes:
            raise PayloadTooLarge(f"the form is larger than {limit_bytes} bytes")
    try:
        fields = dict(parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=100))
    except ValueError:
        raise PayloadError("this is not a form") from None
    known = cookie(request, COOKIE)
    if not _TOKEN.fullmatch(known) or not hmac.compare_digest(fields.get(FIELD, "").encode(), known.encode()):
        raise AccessDenied("this form is too old or not ours: go back, reload the page, and send it again")
    return fields


def comment_of(fields: Mapping[str, str]) -> str:
    """Why someone does it.

    Raises:
        PayloadError: they do not say.
    """
    found = clean(" ".join(fields.get("comment", "").split()))
    if not found:
        raise PayloadError("say why: the comment stands in the audit log")
    if len(found) > MAX_COMMENT:
        raise PayloadError(f"the comment is longer than {MAX_COMMENT} characters")
    return found


def back_of(path: str, otherwise: str = "/") -> str:
    """A path of ours to go back to; never another site's."""
    return path if _PATH.fullmatch(path) else otherwise
