"""`examine()`: everything that an installation needs, asked once, each answer with what to do about it.

Changes nothing but one key of its own in Redis, which is gone after ten seconds.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from webhook.core.rulebook import Rulebook
from webhook.edge.configfile import Config, inventory_path
from webhook.edge.inventory import read_inventory
from webhook.edge.webconfig import read_web_config
from webhook.errors import ConfigError
from webhook.wiring.current import Site, load
from webhook.wiring.examination.clock import look_at_clock
from webhook.wiring.examination.database import look_at_database
from webhook.wiring.examination.file import look_at_secrets, look_at_storage, look_at_writers
from webhook.wiring.examination.finding import Finding as Finding
from webhook.wiring.examination.finding import State as State
from webhook.wiring.examination.finding import ok, unreachable, warning
from webhook.wiring.examination.redis import look_at_redis
from webhook.wiring.examination.tool import look_at_ansible, look_at_playbooks


def examine(site: Site, *, web_config_file: Path | None = None) -> Iterator[Finding]:
    """Every finding, as soon as it is known. What needs a configuration is left out when there is none to be used."""
    config, rulebook, problems = _loaded(site.config_file)
    yield from problems or (ok("configuration", f"{site.config_file} and its rule files can be used"),)
    yield _inventory(site.config_file)
    if web_config_file is not None:
        yield _web_config(web_config_file)
    yield from look_at_secrets(site.config_file, web_config_file)
    yield from look_at_writers(site.config_file, config)
    yield from look_at_storage(site.storage)
    yield from look_at_ansible()
    if config is None or rulebook is None:
        return
    yield from look_at_playbooks(config, rulebook)
    yield from look_at_redis(config, site.storage)
    yield from look_at_database(config, site.storage)
    yield from _alertmanagers(config)
    yield from look_at_clock(config, site.storage)


def _loaded(file: Path) -> tuple[Config | None, Rulebook | None, list[Finding]]:
    try:
        return *load(file), []
    except ConfigError as error:
        return None, None, [_unusable("configuration", str(problem)) for problem in error.problems]


def _unusable(check: str, words: str) -> Finding:
    return Finding(check=check, state=State.UNUSABLE, words=words, hint="mend it; `alertmend check` looks again")


def _inventory(config_file: Path) -> Finding:
    path = inventory_path(config_file)
    if path is None:
        return _unusable("inventory", "the configuration names none that is there")
    try:
        inventory = read_inventory(path)
    except ConfigError as error:
        return _unusable("inventory", str(error.problems[0]))
    hosts, groups = len(inventory.hosts), len(inventory.groups)
    return ok("inventory", f"{path}: Ansible finds {hosts} {'host' if hosts == 1 else 'hosts'}, {groups} groups")


def _web_config(file: Path) -> Finding:
    try:
        read_web_config(file)
    except ConfigError as error:
        return _unusable("web.config.file", str(error.problems[0]))
    return ok("web.config.file", f"{file} can be used")


def _alertmanagers(config: Config) -> Iterator[Finding]:
    from webhook.edge.alertmanager import AlertmanagerClient

    if not config.alertmanagers:
        yield warning(
            "alertmanager",
            "none is configured: nobody is asked whether an alert still fires, and no resolve that is not sent is seen",
            "name yours under `alertmanagers`",
        )
        return
    answer = AlertmanagerClient(alertmanagers=config.alertmanagers).alerts()
    for url in answer.answered:
        yield ok("alertmanager", f"{url} answers")
    for url, words in answer.silent.items():
        hint = "see that it runs, that this machine may reach it, and that http_config holds its credentials"
        yield unreachable("alertmanager", f"{url}: {words}", hint)
