"""What people say: approve, reject, cancel, pause, resume, take over. Who may is the web's affair."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from webhook.change import Change
from webhook.core import transition
from webhook.core.matcher import Matcher
from webhook.core.pause import Pause
from webhook.core.rulebook import Rulebook
from webhook.core.run import Run, Word
from webhook.core.state import Draft, Keys
from webhook.core.transition import Moment, NewId
from webhook.errors import NotFound, StateConflict

Said = Callable[[Draft, Moment, Run, Word], Run | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class People:
    """Each word is on the record, under a name, before its method returns.

    Raises, all of them:
        NotFound: there is no such run, pause or escalation.
        StateConflict: someone was faster.
        Unavailable: Redis or the ledger is away.
    """

    change: Change
    rulebook: Callable[[], Rulebook]
    now: Callable[[], datetime]
    new_id: NewId

    def approve(self, run: str, word: Word) -> Run:
        """The run with one approval more; with enough of them, it is decided on."""
        return self._say(run, word, transition.approve)

    def reject(self, run: str, word: Word) -> Run:
        """The run, rejected."""
        return self._say(run, word, transition.reject)

    def cancel(self, run: str, word: Word) -> Run:
        """The run, ended, or about to be: a playbook under way takes a moment to end."""
        return self._say(run, word, transition.cancel)

    def pauses(self) -> tuple[Pause, ...]:
        """What is paused now."""
        return tuple(pause for pause in self.change.read(Keys()).pauses if pause.until > self.now())

    def pause(self, matchers: tuple[Matcher, ...], *, until: datetime, word: Word, cancel_running: bool) -> Pause:
        """A new pause; it has reached what is queued when this returns, and what runs if that is wanted."""
        moment = self._moment()
        pause = Pause(id=self.new_id(), matchers=matchers, until=until, said=word)

        def write(draft: Draft) -> bool:
            transition.pause(draft, moment, pause, cancel_running=cancel_running)
            return True

        runs = frozenset(self.change.read(Keys()).everything.active)
        self.change.make(Keys(runs=runs), write, id=f"pause:{pause.id}", moment=moment)
        return pause

    def resume(self, pause: str, word: Word) -> Pause:
        """The pause, over; what it held is decided again."""
        moment = self._moment()

        def write(draft: Draft) -> Pause | None:
            return transition.resume(draft, moment, pause, word)

        found = self.change.make(Keys(), write, id=f"resume:{pause}", moment=moment)
        if found is None:
            raise NotFound(f"there is no pause {pause[:80]!r}, or it is over")
        return found

    def take_over(self, escalation: str, word: Word) -> None:
        """The escalation of that id, which is its incident's, ends: a person has it."""
        moment = self._moment()

        def write(draft: Draft) -> bool | None:
            return transition.take_over(draft, moment, escalation, word) or None

        keys = Keys(escalations=frozenset([escalation]))
        if not self.change.make(keys, write, id=f"taken-over:{escalation}:{self.new_id()}", moment=moment):
            raise NotFound(f"nobody was called for {escalation[:80]!r}, or it is over")

    def _say(self, id: str, word: Word, said: Said) -> Run:
        moment, keys = self._moment(), Keys(runs=frozenset([id]))

        def write(draft: Draft) -> Run | None:
            run = draft.runs.get(id)
            return said(draft, moment, run, word) if run is not None else None

        found = self.change.make(keys, write, id=f"said:{id}:{self.new_id()}", moment=moment)
        if found is not None:
            return found
        run = self.change.read(keys).runs.get(id)
        if run is None:
            raise NotFound(f"there is no run {id[:80]!r} under way")
        raise StateConflict(f"run {id} is {run.state} by now" + (f": {run.reason}" if run.reason else ""))

    def _moment(self) -> Moment:
        return Moment(rulebook=self.rulebook(), now=self.now(), new_id=self.new_id)
