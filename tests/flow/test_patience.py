"""Whoever asks what does not answer is told so in time, and leaves no second question behind."""

from __future__ import annotations

import asyncio
import threading

import pytest

from webhook.errors import Unavailable
from webhook.web.patience import look, within
from webhook.wiring.patience import Patient


def test_what_answers_is_asked_each_time() -> None:
    answers = iter(range(2))
    asking = Patient(dependency="it", ask=lambda: next(answers), seconds=60)
    assert [asking(), asking()] == [0, 1]


def test_what_it_raises_is_raised() -> None:
    def ask() -> None:
        raise Unavailable("it", "refused")

    with pytest.raises(Unavailable, match="it is not available: refused"):
        Patient(dependency="it", ask=ask, seconds=60)()


def test_what_hangs_is_told_and_not_asked_once_more() -> None:
    goes_on, asked = threading.Event(), []

    def ask() -> str:
        asked.append(1)
        goes_on.wait(60)
        return "well"

    asking = Patient(dependency="it", ask=ask, seconds=0.01)
    for _ in range(3):
        with pytest.raises(Unavailable, match=r"it is not available: no answer for 0\.01s"):
            asking()
    assert len(asked) == 1
    goes_on.set()
    asking.seconds = 60
    assert asking() == "well"


def test_an_answer_that_does_not_come_is_not_waited_for() -> None:
    async def ask() -> None:
        with pytest.raises(Unavailable, match=r"an answer is not available: nothing came within 0\.01s"):
            await within(asyncio.sleep(60), 0.01)
        assert await within(asyncio.sleep(0, "well")) == "well"

    asyncio.run(ask())


def test_while_every_other_thread_hangs_there_is_one_for_whoever_looks() -> None:
    goes_on = threading.Event()

    async def ask() -> None:
        from starlette.concurrency import run_in_threadpool

        hanging = [asyncio.ensure_future(run_in_threadpool(goes_on.wait, 60)) for _ in range(50)]
        await asyncio.sleep(0)
        assert await within(look(lambda: "well"), 60) == "well"
        goes_on.set()
        await asyncio.gather(*hanging)

    asyncio.run(ask())
