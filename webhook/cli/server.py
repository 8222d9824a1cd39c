"""A running alertmend, asked over HTTP."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

from webhook.core.httpconfig import HttpConfig
from webhook.errors import NotAuthenticated, Problem, Unavailable, WebhookError
from webhook.exchange import NoReply, Reply, Request, fetch
from webhook.httpconfig import credentials, read_http_config
from webhook.located import load, refuse

_SECONDS: Final = 60
_ANSWER_LIMIT_BYTES: Final = 256 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """Where it listens, and who we are."""

    url: str
    http_config_file: Path | None = None

    def get(self, path: str, **query: str) -> Any:
        """What it answers, from JSON.

        Raises:
            Unavailable: it does not answer.
            NotAuthenticated: credentials are missing or wrong.
            WebhookError: it refuses, in its own words.
        """
        return self._answer("GET", f"{path}?{urlencode(query)}" if query else path)

    def post(self, path: str, body: Mapping[str, object]) -> Any:
        """As `get`, for what is sent as JSON."""
        return self._answer("POST", path, body)

    def _answer(self, method: str, path: str, body: Mapping[str, object] | None = None) -> Any:
        config = _http_config(self.http_config_file)
        request = Request(
            method=method,
            url=self.url.rstrip("/") + path,
            tls=config.tls,
            headers=credentials(config),
            json=body,
            follow_redirects=config.follow_redirects,
        )
        try:
            reply = fetch(request, seconds=_SECONDS, limit_bytes=_ANSWER_LIMIT_BYTES)
        except NoReply as error:
            raise Unavailable(self._name, f"{error}; is `alertmend serve` running?") from None
        if 200 <= reply.status < 300:
            return _parsed(reply)
        words = _words(reply)
        if reply.status == 401:
            raise NotAuthenticated(f"{words} (give --http.config.file)")
        if reply.status == 503:
            raise Unavailable(self._name, words)
        raise WebhookError(words)

    @property
    def _name(self) -> str:
        return f"alertmend at {self.url}"


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


def _words(reply: Reply) -> str:
    try:
        return str(json.loads(reply.body)["error"])
    except (ValueError, TypeError, KeyError):
        return f"status {reply.status}: {reply.body.decode('utf-8', 'replace')[:200]}".rstrip(": \n")
