"""Decides again from the record: the evidence of an entry, the rule as it was then, and the same decide()."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError

from webhook.core.alert import Alert
from webhook.core.decision import decide
from webhook.core.evidence import Evidence, Policy
from webhook.core.rule import Rule
from webhook.core.verdict import Decision
from webhook.errors import WebhookError

_DECISION: Final = TypeAdapter(Decision)
_EVIDENCE: Final = TypeAdapter(Evidence)
_ALERT: Final = TypeAdapter(Alert)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recollection:
    """A decision of the record, and the one that is made from what the record says it was made from."""

    recorded: Decision
    again: Decision

    @property
    def differences(self) -> tuple[str, ...]:
        """Where they differ, in words; empty when they agree."""
        return tuple(_differences(self.recorded, self.again))


def revision_in(body: Mapping[str, Any]) -> str:
    """The name of the rules and the policy by which a decision was made; empty when it is not on the record."""
    return str(body.get("evidence", {}).get("rules", ""))


def recollect(body: Mapping[str, Any], rule: Rule, policy: Policy) -> Recollection:
    """The decision in the body of a `decision` entry, made again.

    Raises:
        WebhookError: the body is not one that this version of alertmend can decide by.
    """
    try:
        recorded = _DECISION.validate_python(body["decision"])
        evidence = _EVIDENCE.validate_python(body["evidence"])
        alert = _ALERT.validate_python(body["alert"])
    except (ValidationError, KeyError, TypeError) as error:
        words = str(error).splitlines()[0]
        raise WebhookError(f"the entry holds no decision that can be made again: {words}") from None
    return Recollection(recorded=recorded, again=decide(rule, policy, alert, evidence))


def _differences(recorded: Decision, again: Decision) -> Iterator[str]:
    for name in ("decision", "guard", "reason", "retry_at"):
        before, now = getattr(recorded, name), getattr(again, name)
        if before != now:
            yield f"{name}: recorded {before}, decided again {now}"
    found = {check.guard: check for check in again.checks}
    for check in recorded.checks:
        other = found.pop(check.guard, None)
        if check != other:
            yield f"guard {check.guard}: recorded {_told(check)}, decided again {_told(other)}"
    for check in found.values():
        yield f"guard {check.guard}: not on the record, decided again {_told(check)}"


def _told(check: Any) -> str:
    return f"{check.verdict} ({check.reason})" if check is not None else "nothing"
