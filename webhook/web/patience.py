"""How long whoever asks is made to wait, whatever it is that does not answer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from anyio import CapacityLimiter, to_thread

from webhook.errors import Unavailable

#: Longer than all that is bounded by itself takes.
ANSWER_SECONDS: Final = 15.0

T = TypeVar("T")
#: Threads for those who look whether all is well: they are free when every other one waits for a database.
_LOOKING = CapacityLimiter(8)


async def within(answer: Awaitable[T], seconds: float = ANSWER_SECONDS) -> T:
    """The answer; what hangs goes on hanging aside.

    Raises:
        Unavailable: there was none in that time.
    """
    asked = asyncio.ensure_future(answer)
    done, _ = await asyncio.wait({asked}, timeout=seconds)
    if not done:
        asked.add_done_callback(lambda late: late.cancelled() or late.exception())
        raise Unavailable("an answer", f"nothing came within {seconds:g}s")
    return asked.result()


async def look(ask: Callable[[], T]) -> T:
    """What comes of it, in a thread that nothing else takes."""
    return await to_thread.run_sync(ask, limiter=_LOOKING)
