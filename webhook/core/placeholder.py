"""Placeholders: `$target`, `$labels.x` and `$annotations.x`, replaced in values and never evaluated."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

_PLACEHOLDER = re.compile(r"\$(target\b|(labels|annotations)\.([A-Za-z_][A-Za-z0-9_]*))")


class Untrusted(str):
    """Text that holds a stranger's words (a label or an annotation): never templated, never a pattern or a path."""

    __slots__ = ()


class Unfit(ValueError):
    """What an alert says cannot stand where a probe has a placeholder for it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Filling:
    """What one alert puts in for placeholders, in the texts of a probe."""

    target: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]

    def __call__(self, text: str, escape: Callable[[str], str] = str) -> str:
        """`text` with every placeholder replaced, each value by what `escape` makes of it.

        Raises:
            KeyError: a label or an annotation is missing; ask `missing_names` first.
            Unfit: a value is not UTF-8, or `escape` refuses it; the words name its placeholder.
        """
        return _PLACEHOLDER.sub(lambda match: self._escaped(match, escape), text)

    def _escaped(self, match: re.Match[str], escape: Callable[[str], str]) -> str:
        value = _value(match, target=self.target, labels=self.labels, annotations=self.annotations)
        try:
            value.encode()
            return escape(value)
        except UnicodeEncodeError:
            raise Unfit(f"{match[0]} is not UTF-8") from None
        except Unfit as error:
            raise Unfit(f"{match[0]} {error}") from None


def missing_names(value: object, *, labels: Mapping[str, str], annotations: Mapping[str, str]) -> tuple[str, ...]:
    """The placeholders in `value` for which the alert has nothing, as they are written, in order, once each."""
    sources = {"labels": labels, "annotations": annotations}
    names = (m for text in _texts(value) for m in _PLACEHOLDER.finditer(text) if m[2])
    return tuple(dict.fromkeys(m[0] for m in names if m[3] not in sources[m[2]]))


def filled(
    value: Any,
    *,
    target: str,
    labels: Mapping[str, str],
    annotations: Mapping[str, str],
) -> Any:
    """`value` with every placeholder replaced, once and never evaluated.

    A string into which a label or an annotation went comes back as `Untrusted`.

    Raises:
        KeyError: a label or an annotation is missing; ask `missing_names` first.
    """
    if isinstance(value, str):
        text = _PLACEHOLDER.sub(
            lambda match: _value(match, target=target, labels=labels, annotations=annotations), value
        )
        tainted = any(match[2] for match in _PLACEHOLDER.finditer(value))
        return Untrusted(text) if tainted else text
    if isinstance(value, Mapping):
        return {key: filled(item, target=target, labels=labels, annotations=annotations) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [filled(item, target=target, labels=labels, annotations=annotations) for item in value]
    return value


def placeholders(value: object) -> tuple[str, ...]:
    """Every placeholder in `value` as it is written, in order, once each."""
    return tuple(dict.fromkeys(m[0] for text in _texts(value) for m in _PLACEHOLDER.finditer(text)))


def sample(text: str) -> str:
    """`text` with a letter for each placeholder: what it looks like when it is filled."""
    return _PLACEHOLDER.sub("x", text)


def _value(match: re.Match[str], *, target: str, labels: Mapping[str, str], annotations: Mapping[str, str]) -> str:
    if not match[2]:
        return target
    return (labels if match[2] == "labels" else annotations)[match[3]]


def _texts(value: object) -> Sequence[str]:
    if isinstance(value, str):
        return (value,)
    if isinstance(value, Mapping):
        return [text for item in value.values() for text in _texts(item)]
    if isinstance(value, (list, tuple)):
        return [text for item in value for text in _texts(item)]
    if is_dataclass(value) and not isinstance(value, type):
        return [text for field in fields(value) for text in _texts(getattr(value, field.name))]
    return ()
