"""What must not be shown is taken out, whatever stands around it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook.core.redaction import Redaction, RedactionError

BEARER = Redaction([r"(?i)bearer\s+\S+", r"sk-[a-z0-9]{8}"])


def test_every_match_of_every_pattern_is_taken_out() -> None:
    text = "Authorization: BEARER abc.def\nkey sk-abcd1234, sk-abcd1234 é ☃ Bearer\n  x"
    assert BEARER.apply(text) == "Authorization: [redacted]\nkey [redacted], [redacted] é ☃ [redacted]"


def test_without_patterns_nothing_changes() -> None:
    assert Redaction().apply("Bearer abc") == "Bearer abc"


@pytest.mark.parametrize("pattern", ["(", "a{2000}{2000}", r"(?<=x)y", "x*", ""])
def test_what_is_no_pattern_or_matches_everywhere_is_refused(pattern: str) -> None:
    with pytest.raises(RedactionError):
        Redaction([pattern])


def test_a_pattern_that_would_take_others_for_ever_comes_to_an_end() -> None:
    assert Redaction(["(a+)+$", "(a|a)*b"]).apply("a" * 20_000 + "!") == "a" * 20_000 + "!"


@given(before=st.text(alphabet="ab \n☃"), secret=st.text(alphabet="xyz0", min_size=8, max_size=8), after=st.text())
def test_no_secret_comes_through(before: str, secret: str, after: str) -> None:
    text = f"{before} token={secret} {after}".encode(errors="ignore").decode()
    assert f"token={secret}" not in Redaction([r"token=\w+"]).apply(text)
