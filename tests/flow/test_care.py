"""What the record needs from time to time."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from tests.flow.twin import EPOCH, Clock
from webhook.care import Care, Terms
from webhook.core.checkpoint import Checkpoint
from webhook.ports import Pruning
from webhook.signing import Sign

TERMS = Terms(retention=timedelta(days=400), checkpoint_interval=timedelta(hours=1), sign=None)


@dataclass
class Archive:
    """Notes what is done to it."""

    done: list[str] = field(default_factory=list)

    def add_checkpoint(self, at: datetime, sign: Sign | None) -> Checkpoint | None:
        self.done.append(f"checkpoint {sign(b'x') if sign else 'unsigned'}")
        return None

    def prune(self, before: datetime, *, now: datetime, actor: str) -> Pruning:
        self.done.append(f"prune {(now - before).days}d {actor}")
        return Pruning(first_seq=1, last_seq=0, last_hash="", before="")

    def analyze(self) -> None:
        self.done.append("analyze")


@dataclass
class Kept:
    """An archive that is cared for."""

    terms: Terms = TERMS
    archive: Archive = field(default_factory=Archive)
    clock: Clock = field(default_factory=Clock)

    def __post_init__(self) -> None:
        self.care = Care(archive=self.archive, terms=lambda: self.terms, now=self.clock)

    def after(self, **span: float) -> list[str]:
        """What is done in a round after some time."""
        self.clock.advance(**span)
        self.archive.done.clear()
        self.care.take()
        return list(self.archive.done)


def test_the_first_round_does_everything_and_then_each_thing_has_its_time() -> None:
    kept = Kept()
    assert kept.after() == ["checkpoint unsigned", "prune 400d alertmend", "analyze"]
    assert kept.after(minutes=59) == []
    assert kept.after(minutes=1) == ["checkpoint unsigned"]
    assert kept.after(hours=23) == ["checkpoint unsigned", "prune 400d alertmend", "analyze"]


def test_without_a_retention_nothing_is_removed() -> None:
    assert Kept(replace(TERMS, retention=None)).after() == ["checkpoint unsigned", "analyze"]


def test_a_checkpoint_is_signed_with_the_key_of_the_moment() -> None:
    kept = Kept()
    kept.after()
    kept.terms = replace(TERMS, sign=lambda content: content.decode().upper())
    assert kept.after(hours=1) == ["checkpoint X"]


def test_what_failed_is_tried_again_in_the_next_round() -> None:
    kept = Kept()

    def away() -> None:
        raise OSError

    kept.archive.analyze = away  # type: ignore[method-assign]
    try:
        kept.after()
    except OSError:
        del kept.archive.analyze
    assert kept.after(minutes=1) == ["prune 400d alertmend", "analyze"]
    assert kept.care.tidied_at == EPOCH + timedelta(minutes=1)
