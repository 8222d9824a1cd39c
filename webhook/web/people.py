"""What people may do over HTTP: approve, reject, cancel, pause, resume, take over. Each with a name and a comment."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from pydantic_core import to_jsonable_python
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from webhook.core.duration import DurationError, parse_duration
from webhook.core.matcher import Matcher, MatcherError, parse_matcher
from webhook.core.pause import Pause
from webhook.core.run import Run, Word
from webhook.edge.webconfig import Role
from webhook.errors import PayloadError
from webhook.people import People
from webhook.web.ask import document, words
from webhook.web.auth import Authenticator
from webhook.wiring.clock import now

#: Nobody means to switch it off for longer by one command.
LONGEST_PAUSE = timedelta(days=31)


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """`POST /api/v1/runs/{id}/{approve,reject,cancel}` with `{"comment"}`: the run as it is now."""

    verb: str
    people: Callable[[], People]
    authenticator: Authenticator

    async def __call__(self, request: Request) -> Response:
        word = await _word(request, self.authenticator, known=("comment",))
        run: Run = await run_in_threadpool(_say, self.people, self.verb, request.path_params["id"], word[0])
        return JSONResponse(to_jsonable_python(run, inf_nan_mode="null"))


@dataclass(frozen=True, slots=True, kw_only=True)
class TakeOver:
    """`POST /api/v1/incidents/{id}/take-over` with `{"comment"}`: nobody else is called, and the alert is resolved."""

    people: Callable[[], People]
    authenticator: Authenticator

    async def __call__(self, request: Request) -> Response:
        word = await _word(request, self.authenticator, known=("comment",))
        await run_in_threadpool(_say, self.people, "take_over", request.path_params["id"], word[0])
        return JSONResponse({"incident": request.path_params["id"], "taken_over_by": word[0].by})


@dataclass(frozen=True, slots=True, kw_only=True)
class Pauses:
    """`GET` and `POST /api/v1/pauses`: what is paused, and a new one.

    A new one is `{"matchers": [...], "for": "2h", "comment", "cancel_running"}`; without matchers it covers everything.
    """

    people: Callable[[], People]
    authenticator: Authenticator

    async def __call__(self, request: Request) -> Response:
        if request.method == "POST":
            return await self._pause(request)
        await self.authenticator.allow(request, Role.VIEWER)
        found = await run_in_threadpool(lambda: self.people().pauses())
        return JSONResponse({"items": [shown(pause) for pause in found], "next": None})

    async def _pause(self, request: Request) -> Response:
        known = ("matchers", "for", "comment", "cancel_running")
        word, asked = await _word(request, self.authenticator, known=known)
        matchers, span = _matchers(asked), read_span(words(asked, "for"))
        cancel_running = asked.get("cancel_running", False)
        if not isinstance(cancel_running, bool):
            raise PayloadError("'cancel_running' must be true or false")
        pause = await run_in_threadpool(
            lambda: self.people().pause(matchers, until=word.at + span, word=word, cancel_running=cancel_running)
        )
        return JSONResponse(shown(pause), status_code=201)


@dataclass(frozen=True, slots=True, kw_only=True)
class Resume:
    """`DELETE /api/v1/pauses/{id}`, with `{"comment"}` or without: what it held is decided again."""

    people: Callable[[], People]
    authenticator: Authenticator

    async def __call__(self, request: Request) -> Response:
        identity = await self.authenticator.allow(request, Role.OPERATOR)
        asked = await document(request, known=("comment",))
        comment = words(asked, "comment") if "comment" in asked else ""
        word = Word(by=identity.name, at=now(), comment=comment)
        pause = await run_in_threadpool(_say, self.people, "resume", request.path_params["id"], word)
        return JSONResponse(shown(pause))


def shown(pause: Pause) -> dict[str, Any]:
    """A pause as the API shows it."""
    return {
        "id": pause.id,
        "matchers": [str(matcher) for matcher in pause.matchers],
        "until": to_jsonable_python(pause.until),
        "created_at": to_jsonable_python(pause.said.at),
        "created_by": pause.said.by,
        "comment": pause.said.comment,
    }


def _say(people: Callable[[], People], verb: str, id: str, word: Word) -> Any:
    return getattr(people(), verb)(id, word)


async def _word(
    request: Request, authenticator: Authenticator, *, known: tuple[str, ...]
) -> tuple[Word, Mapping[str, Any]]:
    identity = await authenticator.allow(request, Role.OPERATOR)
    asked = await document(request, known=known, required=("comment",))
    return Word(by=identity.name, at=now(), comment=words(asked, "comment")), asked


def _matchers(asked: Mapping[str, Any]) -> tuple[Matcher, ...]:
    written = asked.get("matchers", [])
    if not isinstance(written, list) or not all(isinstance(text, str) for text in written):
        raise PayloadError("'matchers' must be a list of texts such as 'job=\"web\"'")
    return read_matchers(written)


def read_matchers(written: Sequence[str]) -> tuple[Matcher, ...]:
    """What a pause covers; everything when there are none.

    Raises:
        PayloadError: one of them is no matcher.
    """
    try:
        return tuple(parse_matcher(text) for text in written)
    except MatcherError as error:
        raise PayloadError(f"matchers: {error}") from None


def read_span(written: str) -> timedelta:
    """How long a pause lasts.

    Raises:
        PayloadError: it is no duration, or too long a one.
    """
    try:
        span = parse_duration(written)
    except DurationError as error:
        raise PayloadError(f"'for': {error}") from None
    if not timedelta(0) < span <= LONGEST_PAUSE:
        raise PayloadError(
            f"'for' must be above zero and at most {LONGEST_PAUSE.days}d: a pause never goes without an end"
        )
    return span
