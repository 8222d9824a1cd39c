"""What a run needs to act: its rule, step, vars, probes and alerts, with every placeholder filled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from webhook.core.alert import Alert
from webhook.core.audit import timestamp
from webhook.core.confinement import Confinement, Credential, Secrets, secrets_for
from webhook.core.gathering import unfit_words_of
from webhook.core.placeholder import filled, missing_names
from webhook.core.probe import Probe, filled_probe
from webhook.core.redaction import Redaction
from webhook.core.rule import Rule, Step
from webhook.core.rulebook import Rulebook
from webhook.core.run import ProbeAnswer, Run
from webhook.world import PlaybookJob


@dataclass(frozen=True, slots=True, kw_only=True)
class Workshop:
    """Where playbooks and inventory lie in the configuration of the moment."""

    rulebook: Rulebook
    playbooks: Path
    inventory: Path
    #: What may not be stored, nor shown.
    redaction: Redaction = Redaction()
    confinement: Confinement = Confinement()
    credentials: tuple[Credential, ...] = ()

    def secrets(self, run: Run) -> Secrets:
        """What a run gets of the credentials."""
        groups = [name for name, hosts in self.rulebook.inventory.groups.items() if run.target in hosts]
        return secrets_for(self.credentials, rule=run.rule, groups=groups)


@dataclass(slots=True, kw_only=True)
class Attempt:
    """A run under way, with what it has seen so far."""

    run: Run
    rule: Rule
    step: Step
    #: None: the rule has none, or this is its last resort, after which nothing is expected to be healthy.
    probe: Probe | None
    require: tuple[Probe, ...]
    alerts: tuple[Alert, ...]
    workshop: Workshop
    probes: list[ProbeAnswer] = field(default_factory=list)

    @property
    def is_last_resort(self) -> bool:
        """It is the playbook of `give_up`."""
        return self.run.step > len(self.rule.steps)

    def job(self, *, playbook: str | None = None, check: bool = False) -> PlaybookJob:
        """The step as it is played; or another playbook with the step's vars, or the step in check mode."""
        return PlaybookJob(
            run=self.run.id,
            playbook=self.workshop.playbooks / (playbook or self.step.playbook),
            playbooks=self.workshop.playbooks,
            inventory=self.workshop.inventory,
            target=self.run.target,
            variables=self.step.vars,
            alertmend=_variable(self.run, self.alerts),
            timeout=self.step.timeout,
            check=check,
            redact=tuple(self.workshop.redaction.patterns),
            confinement=self.workshop.confinement,
            secrets=self.workshop.secrets(self.run),
        )


def prepare(run: Run, alerts: tuple[Alert, ...], workshop: Workshop) -> Attempt | str:
    """All that is needed to act for these alerts, the first of which fills the placeholders; or why it cannot be."""
    rule, target = workshop.rulebook.rule(run.rule), workshop.rulebook.host(run.target)
    step = rule.rung(run.step) if rule else None
    if rule is None or step is None:
        return "the rule or its step is no longer configured"
    if target.host is None:
        return f"the target is no longer usable: {target.problem}"
    if not alerts:
        return "none of its alerts fires any more"
    words = {"labels": alerts[0].labels, "annotations": alerts[0].annotations}
    if missing := missing_names([step.vars, rule.probe, rule.require], **words):
        return f"the alert no longer has {', '.join(missing)}"
    if unfit := unfit_words_of(rule, alerts[0], target):
        return f"the probe cannot be asked: {unfit}"

    def fill(probe: Probe) -> Probe:
        return filled_probe(probe, target=run.target, **words)

    is_last_resort = run.step > len(rule.steps)
    return Attempt(
        run=run,
        rule=rule,
        step=replace(step, vars=filled(dict(step.vars), target=run.target, **words)),
        probe=fill(rule.probe) if rule.probe and not is_last_resort else None,
        require=tuple(fill(probe) for probe in rule.require),
        alerts=alerts,
        workshop=workshop,
    )


def _variable(run: Run, alerts: tuple[Alert, ...]) -> Mapping[str, object]:
    return {
        "incident": run.incident,
        "run": run.id,
        "rule": run.rule,
        "target": run.target,
        "attempt": run.attempt,
        "alerts": [
            {
                "labels": alert.labels,
                "annotations": alert.annotations,
                "startsAt": timestamp(alert.starts_at),
                "fingerprint": alert.origin or alert.fingerprint,
            }
            for alert in alerts
        ],
    }
