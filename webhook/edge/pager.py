"""Calls people through a webhook: one POST of JSON."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from webhook.exchange import NoReply, Request, fetch
from webhook.text import one_line
from webhook.world import Paged

_ANSWER_LIMIT_BYTES: Final = 64 * 1024
_WORDS_LIMIT: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookPager:
    """Satisfies `ports.Pager`."""

    seconds: float = 10

    def post(self, url: str, body: Mapping[str, object]) -> Paged:
        """One POST of JSON, once. A redirect is no success: what follows it is no POST any more."""
        try:
            reply = fetch(
                Request(method="POST", url=url, json=dict(body)), seconds=self.seconds, limit_bytes=_ANSWER_LIMIT_BYTES
            )
        except NoReply as error:
            return Paged(was_taken=False, words=_words(str(error), url))
        said = reply.body[:_WORDS_LIMIT].decode("utf-8", "replace").strip()
        words = f"status {reply.status}: {said}" if said else f"status {reply.status}"
        return Paged(was_taken=200 <= reply.status < 300, words=_words(words, url))


def _words(words: str, url: str) -> str:
    # Whoever knows the URL can page, and some servers repeat the path of what they do not know.
    path, _, query = url.partition("://")[2].partition("/")[2].partition("?")
    for secret in (url, query, f"/{path}"):
        words = words.replace(secret, "…") if len(secret) > 1 else words
    return one_line(words, limit=_WORDS_LIMIT)
