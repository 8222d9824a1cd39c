"""Strings from strangers: what is taken out of them, and where they are cut."""

from __future__ import annotations

import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from webhook.text import CUT_MARK, VALUE_LIMIT_BYTES, clean, one_line, visible

TURNS = set("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
#: Much of what is taken out, among some that is not.
texts = st.text() | st.text(
    st.sampled_from([*TURNS, "\x00", "\x1b", "\x7f", "\x9b", "\t", "\n", "\u2028", "\ud800", "a", "é"])
)


@given(texts)
def test_a_clean_text_keeps_what_is_seen_and_nothing_else(text: str) -> None:
    found = clean(text)
    assert clean(found) == found
    assert len(found.encode()) <= VALUE_LIMIT_BYTES
    seen = [c for c in text if c in "\n\t" or unicodedata.category(c) not in ("Cc", "Cs")]
    assert list(found) == [c for c in seen if c not in TURNS]


def test_a_long_value_is_cut_with_a_mark_and_never_inside_a_character() -> None:
    for character in ("a", "é", "€", "🔥"):
        found = clean(character * (VALUE_LIMIT_BYTES + 1))
        assert found.endswith(CUT_MARK)
        assert VALUE_LIMIT_BYTES - 4 < len(found.encode()) <= VALUE_LIMIT_BYTES
        assert set(found.removesuffix(CUT_MARK)) == {character}
    exact = "a" * VALUE_LIMIT_BYTES
    assert clean(exact) == exact


@given(texts, st.integers(1, 40))
def test_a_line_is_one_short_harmless_line(words: str, limit: int) -> None:
    found = one_line(words, limit=limit)
    assert len(found) <= limit
    assert len(found.splitlines()) <= 1
    assert visible(found) == found
    found.encode()


def test_a_terminal_sequence_becomes_plain_letters() -> None:
    assert one_line("\x1b[2J\x1b]0;owned\x07ok\n", limit=200) == "[2J ]0;owned ok"
