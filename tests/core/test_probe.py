"""What an alert's words may become in a probe."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhook.core.placeholder import Unfit, missing_names
from webhook.core.probe import CommandProbe, HttpProbe, Probe, ProbeKind, TcpProbe, filled_probe, unfit_words


def filled(kind: ProbeKind, *, target: str = "web1", **labels: str) -> ProbeKind:
    return filled_probe(Probe(kind=kind), target=target, labels=labels, annotations={}).kind


def test_every_placeholder_of_a_probe_is_asked_for() -> None:
    probe = Probe(kind=CommandProbe(argv=("check", "$labels.a", "$target", "x$annotations.b")))
    assert missing_names([probe, None], labels={}, annotations={}) == ("$labels.a", "$annotations.b")
    assert missing_names(Probe(kind=TcpProbe(address="$target:80")), labels={}, annotations={}) == ()


@given(st.text(alphabet=st.characters(codec="utf-8", exclude_characters="\0")))
def test_a_value_stays_one_argument_of_a_command(value: str) -> None:
    kind = filled(CommandProbe(argv=("check", "--path=$labels.x", "--", "$labels.x", "$target")), x=value)
    assert kind == CommandProbe(argv=("check", f"--path={value}", "--", value, "web1"))


def test_a_value_does_not_become_an_option() -> None:
    with pytest.raises(Unfit, match=r"\$labels\.x would be the option '--exec=reboot'; put -- before it"):
        filled(CommandProbe(argv=("check", "$labels.x")), x="--exec=reboot")


@pytest.mark.parametrize("value", ["a\0b", "\ud800"])
def test_what_no_argument_can_hold_is_refused(value: str) -> None:
    with pytest.raises(Unfit, match=r"^\$labels\.x "):
        filled(CommandProbe(argv=("check", "$labels.x")), x=value)


def test_what_does_not_fit_is_told_in_words_and_what_is_missing_is_not_its_affair() -> None:
    probe = Probe(kind=HttpProbe(url="http://$target:$labels.port/"))
    words = {"target": "web1", "annotations": {}}
    assert unfit_words(probe, labels={"port": "80"}, **words) == ""
    assert unfit_words(probe, labels={"port": "80/../x"}, **words) == "$labels.port '80/../x' is no port"
    assert unfit_words(probe, labels={}, **words) == ""
