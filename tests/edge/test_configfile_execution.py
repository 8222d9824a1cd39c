"""How playbooks are run and which secrets they get, as it stands in alertmend.yml."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from webhook.core.confinement import Confinement, Container, Engine, ProcessLimits
from webhook.edge.configfile import Config, read_config
from webhook.errors import ConfigError

TOP = "inventory: inventory.yml\nrule_files: [rules.yml]\n"
RULE = "rules:\n  - {name: restart, match: [a=b], playbook: p.yml}\n"
FULL = """execution:
  warm: false
  limits: {cpu: 10m, memory: 2GiB, open_files: 1024, processes: 512, file_size: 100MB}
  process_isolation: {container_image: 'quay.io/x/ee:1', executable: docker, options: [--network=host]}
"""


class Site:
    """A folder with a configuration in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "playbooks").mkdir()
        self.write("playbooks/p.yml", "[]\n")
        self.write("inventory.yml", "all: {hosts: {web1: }}\n")
        self.write("rules.yml", RULE)
        self.write("secret", "s3cr3t\n")

    def write(self, name: str, content: str, *, mode: int = 0o600) -> Path:
        path = self.folder / name
        path.write_text(content)
        path.chmod(mode)
        return path

    def read(self, more: str) -> Config:
        return read_config(self.write("alertmend.yml", TOP + more), groups={"all", "web"})

    def problems(self, more: str) -> list[str]:
        with pytest.raises(ConfigError) as raised:
            self.read(more)
        return [str(problem).removeprefix(f"{self.folder}/alertmend.yml:") for problem in raised.value.problems]


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def test_a_receiver_needs_none_of_the_secrets_that_playbooks_take(site: Site) -> None:
    missing = "credentials: [{name: ssh, ssh_private_key_file: ssh-key}]\n"
    [problem] = site.problems(missing)
    assert problem.startswith("3:49: ssh_private_key_file: ") and "No such file" in problem
    found = read_config(site.folder / "alertmend.yml", has_runs=False)
    assert found.credentials[0].secrets.ssh_private_key_file == str(site.folder / "ssh-key")
    # One that is there is looked at all the same
    site.write("ssh-key", "key", mode=0o644)
    with pytest.raises(ConfigError, match="others may use"):
        read_config(site.folder / "alertmend.yml", has_runs=False)


def test_nothing_said_is_warm_unlimited_and_on_the_worker(site: Site) -> None:
    config = site.read("")
    assert config.confinement == Confinement(warm=True, limits=ProcessLimits(), container=None)
    assert config.credentials == ()


def test_everything_that_can_be_said_is_read(site: Site) -> None:
    assert site.read(FULL).confinement == Confinement(
        warm=False,
        limits=ProcessLimits(
            cpu=timedelta(minutes=10),
            memory_bytes=2 * 1024**3,
            open_files=1024,
            processes=512,
            file_size_bytes=100_000_000,
        ),
        container=Container(image="quay.io/x/ee:1", engine=Engine.DOCKER, options=("--network=host",)),
    )


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        ("memory: 100MiB", "3:30: memory: 100MiB is too small; at least 512MiB is needed"),
        ("memory: 2 GB", "3:30: memory: expected a size like 512MiB or 2GB"),
        ("memory: [2]", "expected a size"),
        ("memory: -1", "expected a size"),
        ("open_files: 10", "10 is too small"),
        ("cpu: soon", "3:27: cpu"),
        ("disk: 1GB", "unknown key 'disk'"),
    ],
)
def test_a_limit_that_is_none_is_found(site: Site, limits: str, words: str) -> None:
    [problem] = site.problems(f"execution: {{limits: {{{limits}}}}}\n")
    assert words in problem


@pytest.mark.parametrize(
    ("isolation", "words"),
    [
        ("{executable: podman}", "the key 'container_image' is missing"),
        ("{container_image: x, executable: runc}", "'runc' is not known here; known: docker, podman"),
        ("true", "expected a mapping"),
    ],
)
def test_a_container_that_is_none_is_found(site: Site, isolation: str, words: str) -> None:
    [problem] = site.problems(f"execution: {{process_isolation: {isolation}}}\n")
    assert words in problem


CREDENTIALS = """credentials:
  - name: web
    groups: [web]
    rules: [restart]
    vault_password_file: secret
    ssh_private_key_file: secret
    connection_password_file: secret
    become_password_file: secret
"""


def test_credentials_name_files_and_whom_they_are_for(site: Site) -> None:
    [credential] = site.read(CREDENTIALS).credentials
    assert (credential.groups, credential.rules) == ({"web"}, {"restart"})
    assert credential.secrets.vault_password_file == str(site.folder / "secret")
    assert "s3cr3t" not in repr(credential)


@pytest.mark.parametrize(
    ("credential", "words"),
    [
        (
            "{name: a, groups: [wbe], vault_password_file: secret}",
            "no group in the inventory 'wbe'; did you mean 'web'?",
        ),
        ("{name: a, rules: [restrat], vault_password_file: secret}", "no rule 'restrat'; did you mean 'restart'?"),
        ("{name: a, groups: [], vault_password_file: secret}", "name at least one, or remove it"),
        ("{name: a}", "give at least one of vault_password_file, ssh_private_key_file"),
        ("{vault_password_file: secret}", "the key 'name' is missing"),
        ("{name: a, vault_password_file: gone}", "cannot be read"),
        ("{name: a, vault_password_file: secret, vault: x}", "unknown key 'vault'"),
    ],
)
def test_a_credential_that_is_none_is_found(site: Site, credential: str, words: str) -> None:
    assert words in site.problems(f"credentials: [{credential}]\n")[0]


def test_a_credential_that_is_given_twice_is_found(site: Site) -> None:
    [problem] = site.problems(
        "credentials: [{name: a, vault_password_file: secret}, {name: a, vault_password_file: secret}]\n"
    )
    assert "the credential 'a' was given already" in problem


@pytest.mark.parametrize(
    ("kind", "mode", "is_found"),
    [
        ("ssh_private_key_file", 0o640, True),
        ("ssh_private_key_file", 0o600, False),
        ("become_password_file", 0o644, True),
        ("become_password_file", 0o620, True),
        ("become_password_file", 0o440, False),
        ("connection_password_file", 0o604, True),
        ("vault_password_file", 0o755, True),
        ("vault_password_file", 0o700, False),
    ],
)
def test_a_secret_that_others_may_use_is_found(site: Site, kind: str, mode: int, is_found: bool) -> None:
    site.write("secret", "s3cr3t\n", mode=mode)
    more = f"credentials: [{{name: a, {kind}: secret}}]\n"
    if is_found:
        assert f"(its mode is {mode:04o}); chmod 600" in site.problems(more)[0]
    else:
        site.read(more)


@pytest.mark.parametrize("content", ["", "one\ntwo\n", "a\0b"])
def test_a_password_that_is_none_is_found(site: Site, content: str) -> None:
    site.write("secret", content)
    [problem] = site.problems("credentials: [{name: a, become_password_file: secret}]\n")
    assert "the file must hold one line of text" in problem
    assert "one" not in problem.replace("one line", "")


def test_a_program_that_prints_the_vault_password_is_not_looked_into(site: Site) -> None:
    site.write("secret", "#!/bin/sh\necho s3cr3t\n", mode=0o700)
    assert site.read("credentials: [{name: a, vault_password_file: secret}]\n").credentials
