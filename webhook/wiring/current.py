"""The configuration of the moment."""

from __future__ import annotations

import time
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
from webhook.edge.revision import write_rules
from webhook.errors import ConfigError, Problem
from webhook.ports import Batch
from webhook.signing import read_signer
from webhook.stamp import Stamp
from webhook.wiring.clock import new_id, now
from webhook.wiring.kept import read_reload, recall, recall_config, stamp
from webhook.wiring.revision import playbook_digests, revision_of
from webhook.world import Alertmanagers

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """Where a process finds its configuration and its state."""

    config_file: Path
    storage: Path
    #: Whether playbooks are run there; a receiver has not the secrets that they take.
    has_runs: bool = True


@dataclass(slots=True)
class Followed:
    """The configuration of the moment, without what only those need who decide."""

    site: Site
    config: Config
    _revision: str
    _stamp: Stamp | None
    _looked_at: float = 0.0

    @classmethod
    def of(cls, site: Site) -> Followed:
        """What is kept; where nothing is, what stands in the files.

        Raises:
            ConfigError: with every problem.
        """
        found = stamp(site.storage)
        if kept := recall_config(site.storage, site.config_file):
            return cls(site, *kept, found)
        return cls(site, read_config(site.config_file, has_runs=site.has_runs), "", found)

    def __call__(self) -> Config:
        """The configuration; what was kept anew counts within a second."""
        if time.monotonic() - self._looked_at > 1:
            self._looked_at = time.monotonic()
            if (found := stamp(self.site.storage)) != self._stamp:
                self._stamp = found
                if fresh := recall_config(self.site.storage, self.site.config_file):
                    self.config, self._revision = fresh
        return self.config

    def revision(self) -> str:
        """Its name; empty while nothing is kept."""
        self()
        return self._revision


@dataclass(slots=True)
class Current:
    """The configuration of the moment, with all that it takes to decide."""

    config: Config
    rulebook: Rulebook
    site: Site | None = None
    _stamp: Stamp | None = None

    @classmethod
    def of(cls, site: Site) -> Current:
        """What stands in the files of a site, with its inventory.

        Raises:
            ConfigError: with every problem.
        """
        return cls(*load(site.config_file, has_runs=site.has_runs))

    @classmethod
    def at(cls, site: Site) -> Current:
        """What is kept at a site, and whatever will be; where nothing is, what stands in the files.

        Raises:
            ConfigError: with every problem.
        """
        found = stamp(site.storage)
        kept = recall(site.storage, site.config_file) or load(site.config_file, has_runs=site.has_runs)
        current = cls(*kept, site, found)
        reload = read_reload(site.storage)
        if reload is not None and not reload.ok:
            words = "the files cannot be used: this starts with the last configuration that could"
            log.warning(words, action="start", revision=current.rulebook.revision, problem=reload.problems[0])
        return current

    def follow(self) -> None:
        """Take over what was kept since. To be called before each decision: it asks for no more than a file's time."""
        if self.site is None or (found := stamp(self.site.storage)) == self._stamp:
            return
        self._stamp = found
        if fresh := recall(self.site.storage, self.site.config_file):
            self.config, self.rulebook = fresh
            log.info("the configuration was reloaded", action="reload", revision=self.rulebook.revision)

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


def load(file: Path, *, has_tests: bool = False, has_runs: bool = True) -> tuple[Config, Rulebook]:
    """The configuration in `file`, or what rule tests say of one, and its rules with the inventory as Ansible reads it.

    Raises:
        ConfigError: with every problem in every file.
    """
    # The inventory first, and whatever else is wrong: what a playbook needs may come from there.
    inventory, problems = _inventory(file)
    specs = ArgumentSpecs(elsewhere=inventory.variables if inventory else None)
    try:
        groups = inventory.groups if inventory else None
        config = read_config(file, check_vars=specs.check, groups=groups, has_tests=has_tests, has_runs=has_runs)
    except ConfigError as error:
        raise ConfigError([*error.problems, *problems]) from None
    if inventory is None:
        raise ConfigError(problems)
    playbooks = playbook_digests(config)
    rulebook = Rulebook(
        rules=config.rules,
        policy=config.policy,
        inventory=inventory,
        chains=config.chains,
        ignore_labels=config.ignore_labels,
        playbooks=playbooks,
        revision=revision_of(config, inventory, playbooks),
    )
    return config, rulebook


def _inventory(file: Path) -> tuple[Inventory | None, Sequence[Problem]]:
    """The inventory of a configuration that may be wrong elsewhere; else what is wrong with it."""
    path = inventory_path(file)
    try:
        return (read_inventory(path) if path is not None else None), ()
    except ConfigError as error:
        return None, error.problems


def rules_entry(current: Current, *, is_reload: bool, actor: str = "alertmend") -> Batch:
    """The entry that says by which rules is decided from now on; a start with the same rules leaves no second one."""
    rulebook, at = current.rulebook, now()
    body = {
        "file": str(current.config.file),
        "rules": len(rulebook.rules),
        "revision": rulebook.revision,
        "playbooks": rulebook.playbooks,
        "rulebook": write_rules(rulebook.rules, rulebook.policy),
    }
    event = AuditEvent(at=at, event=Event.RELOAD, actor=actor, body=body)
    return Batch(id=f"reload:{new_id()}" if is_reload else f"rules:{rulebook.revision}", at=at, events=(event,))
