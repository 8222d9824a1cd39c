"""The configuration of the moment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import structlog

from webhook.attempt import Workshop
from webhook.care import Terms
from webhook.core.audit import AuditEvent, Event
from webhook.core.rulebook import Rulebook
from webhook.core.target import Inventory
from webhook.edge.argspec import ArgumentSpecs
from webhook.edge.configfile import Config, inventory_path, read_config
from webhook.edge.inventory import read_inventory
from webhook.edge.revision import revision_of, write_rules
from webhook.errors import ConfigError, Problem
from webhook.ports import Alertmanagers, Batch
from webhook.signing import read_signer
from webhook.wiring.clock import new_id, now

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """Where a process finds its configuration and its state."""

    config_file: Path
    storage: Path


@dataclass(slots=True)
class Current:
    """The configuration of the moment; a reload that fails leaves it as it was."""

    config: Config
    rulebook: Rulebook

    @classmethod
    def of(cls, file: Path) -> Current:
        """The configuration in `file`, with its inventory.

        Raises:
            ConfigError: with every problem.
        """
        return cls(*load(file))

    def reload(self) -> bool:
        """Whether the files were taken over; what is wrong with them is logged."""
        try:
            fresh = Current.of(self.config.file)
        except ConfigError as error:
            for problem in error.problems:
                log.error("the configuration is kept as it was", action="reload", problem=str(problem))
            return False
        self.config, self.rulebook = fresh.config, fresh.rulebook
        log.info("the configuration was reloaded", action="reload", rules=len(self.rulebook.rules))
        return True

    def alertmanagers(self) -> Alertmanagers | None:
        """Those that are configured; None: none is."""
        known = self.config.alertmanagers
        if not known:
            return None
        from webhook.edge.alertmanager import AlertmanagerClient

        return AlertmanagerClient(alertmanagers=known)

    def terms(self) -> Terms:
        """How the record is kept."""
        key = self.config.checkpoints.signing_key_file
        return Terms(
            retention=self.config.retention,
            checkpoint_interval=self.config.checkpoints.interval,
            sign=read_signer(key) if key else None,
        )

    def workshop(self) -> Workshop:
        """Where playbooks and inventory lie."""
        return Workshop(
            rulebook=self.rulebook,
            playbooks=self.config.playbooks,
            inventory=self.config.inventory,
            redaction=self.config.redaction,
            confinement=self.config.confinement,
            credentials=self.config.credentials,
        )


def load(file: Path, *, has_tests: bool = False) -> tuple[Config, Rulebook]:
    """The configuration in `file`, or what rule tests say of one, and its rules with the inventory as Ansible reads it.

    Raises:
        ConfigError: with every problem in every file.
    """
    # The inventory first, and whatever else is wrong: what a playbook needs may come from there.
    inventory, problems = _inventory(file)
    specs = ArgumentSpecs(elsewhere=inventory.variables if inventory else None)
    try:
        groups = inventory.groups if inventory else None
        config = read_config(file, check_vars=specs.check, groups=groups, has_tests=has_tests)
    except ConfigError as error:
        raise ConfigError([*error.problems, *problems]) from None
    if inventory is None:
        raise ConfigError(problems)
    rulebook = Rulebook(
        rules=config.rules,
        policy=config.policy,
        inventory=inventory,
        chains=config.chains,
        ignore_labels=config.ignore_labels,
        revision=revision_of(write_rules(config.rules, config.policy)),
    )
    return config, rulebook


def _inventory(file: Path) -> tuple[Inventory | None, Sequence[Problem]]:
    """The inventory of a configuration that may be wrong elsewhere; else what is wrong with it."""
    path = inventory_path(file)
    try:
        return (read_inventory(path) if path is not None else None), ()
    except ConfigError as error:
        return None, error.problems


def rules_entry(current: Current, *, is_reload: bool) -> Batch:
    """The entry that says by which rules is decided from now on; a start with the same rules leaves no second one."""
    rulebook, at = current.rulebook, now()
    body = {
        "file": str(current.config.file),
        "rules": len(rulebook.rules),
        "revision": rulebook.revision,
        "rulebook": write_rules(rulebook.rules, rulebook.policy),
    }
    event = AuditEvent(at=at, event=Event.RELOAD, body=body)
    return Batch(id=f"reload:{new_id()}" if is_reload else f"rules:{rulebook.revision}", at=at, events=(event,))
