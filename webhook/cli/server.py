"""A running alertmend, asked over HTTP."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, NoReturn
from urllib.parse import urlencode

from webhook.core.httpconfig import HttpConfig
from webhook.errors import NotAuthenticated, PayloadError, Problem, Unavailable, Unsealed, WebhookError
from webhook.exchange import NoReply, Reply, Request, exchange, fetch, head_of, reason
from webhook.httpconfig import credentials, read_http_config
from webhook.located import load, refuse
from webhook.probing import Deadline

_SECONDS: Final = 60
_ANSWER_LIMIT_BYTES: Final = 256 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """Where it listens, and who we are."""

    url: str
    http_config_file: Path | None = None

    def get(self, path: str, *query: tuple[str, str]) -> Any:
        """What it answers, from JSON; names and values go into the query.

        Raises:
            Unavailable: it does not answer.
            Unsealed: what was asked for holds; the server cannot put it on the record yet.
            NotAuthenticated: credentials are missing or wrong.
            PayloadError: this cannot be asked.
            WebhookError: it refuses, in its own words.
        """
        return _parsed(self._answer(self._request("GET", _path(path, query))))

    def post(self, path: str, body: Mapping[str, object]) -> Any:
        """As `get`, for what is sent as JSON."""
        return _parsed(self._answer(self._request("POST", path, body=body)))

    def delete(self, path: str, body: Mapping[str, object]) -> Any:
        """As `post`, for what is to be gone."""
        return _parsed(self._answer(self._request("DELETE", path, body=body)))

    def text(self, path: str, *query: tuple[str, str]) -> str:
        """As `get`, for what is no JSON."""
        return self._answer(self._request("GET", _path(path, query))).body.decode("utf-8", "replace")

    @contextmanager
    def lines(self, path: str, headers: Mapping[str, str], *, silence_seconds: float) -> Iterator[Iterator[str]]:
        """The lines of an answer that takes its time, as they come; raises as `get` does, also between two lines."""
        import httpx

        # Each read has that time, and nothing bounds the whole.
        patience = Deadline(at=time.monotonic() + silence_seconds)
        try:
            with exchange(self._request("GET", path, headers=headers), patience) as response:
                if not response.is_success:
                    self._refuse(Reply(status=response.status_code, body=head_of(response, _ANSWER_LIMIT_BYTES)))
                yield response.iter_lines()
        except (OSError, httpx.HTTPError) as error:
            raise Unavailable(self._name, f"{reason(error)}; is `alertmend serve` running?") from None

    def _request(
        self,
        method: str,
        path: str,
        *,
        body: Mapping[str, object] | None = None,
        headers: Mapping[str, str] = MappingProxyType({}),
    ) -> Request:
        config = _http_config(self.http_config_file)
        return Request(
            method=method,
            url=self.url.rstrip("/") + path,
            tls=config.tls,
            headers={**credentials(config), **headers},
            json=body,
            follow_redirects=config.follow_redirects,
        )

    def _answer(self, request: Request) -> Reply:
        try:
            reply = fetch(request, seconds=_SECONDS, limit_bytes=_ANSWER_LIMIT_BYTES)
        except NoReply as error:
            raise Unavailable(self._name, f"{error}; is `alertmend serve` running?") from None
        if not 200 <= reply.status < 300:
            self._refuse(reply)
        return reply

    def _refuse(self, reply: Reply) -> NoReturn:
        words, unsealed = _words(reply, "error"), _words(reply, "unsealed")
        if unsealed is not None:
            raise Unsealed(unsealed)
        words = words or f"status {reply.status}: {reply.body.decode('utf-8', 'replace')[:200]}".rstrip(": \n")
        if reply.status == 401:
            raise NotAuthenticated(f"{words} (give --http.config.file)")
        if reply.status == 503:
            raise Unavailable(self._name, words)
        if reply.status == 400:
            raise PayloadError(words)
        raise WebhookError(words)

    @property
    def _name(self) -> str:
        return f"alertmend at {self.url}"


def _path(path: str, query: Sequence[tuple[str, str]]) -> str:
    return f"{path}?{urlencode(query)}" if query else path


def _http_config(file: Path | None) -> HttpConfig:
    if file is None:
        return HttpConfig()
    problems: list[Problem] = []
    config = read_http_config(load(file, problems), with_secrets=True)
    refuse(problems)
    return config


def _parsed(reply: Reply) -> Any:
    try:
        return json.loads(reply.body)
    except ValueError:
        raise WebhookError("the answer is no JSON; is this the address of an alertmend?") from None


def _words(reply: Reply, name: str) -> str | None:
    try:
        return str(json.loads(reply.body)[name])
    except (ValueError, TypeError, KeyError):
        return None
