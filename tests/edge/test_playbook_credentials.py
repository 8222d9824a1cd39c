"""Secrets for playbooks: they reach Ansible, on the target alone, and nothing and nobody else."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.edge.playbook_site import ANSIBLE, Site, marked, until
from webhook.core.confinement import Secrets
from webhook.edge.playbook.runner import AnsibleRunner
from webhook.world import PlaybookEnd, PlaybookResult

CONNECTION, BECOME, VAULT = 'conn"{{ 7 * 7 }}\\ecret', "become-s3cret ' #", "vault-s3cret"


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    found = Site(tmp_path, AnsibleRunner(work_dir=tmp_path / "storage/work"))
    yield found
    found.runner.close()


@pytest.fixture
def secrets(tmp_path: Path) -> Secrets:
    """One of each; the key is none, but for its place."""
    folder = tmp_path / "secrets"
    folder.mkdir(mode=0o700)
    for name, content in (("connection", CONNECTION), ("become", BECOME), ("vault", VAULT), ("key", "PRIVATE KEY")):
        (folder / name).write_text(f"{content}\n")
        (folder / name).chmod(0o600)
    return Secrets(
        connection_password_file=str(folder / "connection"),
        become_password_file=str(folder / "become"),
        vault_password_file=str(folder / "vault"),
        ssh_private_key_file=str(folder / "key"),
    )


def write(variable: str, *, name: str, host: str = "inventory_hostname") -> dict[str, Any]:
    """A task that writes down what a variable of a host is."""
    content = f"{{{{ hostvars[{host}].{variable} | default('NONE') }}}}"
    return {"ansible.builtin.copy": {"dest": f"{{{{ home }}}}/{name}", "content": content, "mode": "0600"}}


def test_passwords_and_key_reach_the_target_as_they_are_and_no_other_host(site: Site, secrets: Secrets) -> None:
    names = ("ansible_password", "ansible_become_password", "ansible_ssh_private_key_file")
    tasks = [write(name, name=name) for name in names]
    tasks += [write(name, name=f"other_{name}", host="'web2'") for name in names]
    result = site.run(tasks, secrets=secrets)
    assert result.end is PlaybookEnd.OK, result.reason
    home = site.home("web1")
    assert [(home / name).read_text() for name in names] == [CONNECTION, BECOME, secrets.ssh_private_key_file]
    assert [(home / f"other_{name}").read_text() for name in names] == ["NONE"] * 3


def test_a_vaulted_variable_is_opened(site: Site, secrets: Secrets, tmp_path: Path) -> None:
    vault = [
        str(ANSIBLE.with_name("ansible-vault")),
        "encrypt_string",
        "--vault-password-file",
        secrets.vault_password_file,
    ]
    sealed = subprocess.run(
        [*vault, "--stdin-name", "sealed"], input="opened", capture_output=True, text=True, check=True
    )
    (tmp_path / "group_vars").mkdir()
    (tmp_path / "group_vars/all.yml").write_text(sealed.stdout)
    result = site.run([write("sealed", name="seen")], secrets=secrets)
    assert result.end is PlaybookEnd.OK, result.reason
    assert (site.home("web1") / "seen").read_text() == "opened"
    assert site.run([write("sealed", name="again")]).end is PlaybookEnd.FAILED


def test_they_are_neither_in_the_process_table_nor_on_the_disk_nor_in_what_is_said(
    site: Site, secrets: Secrets, tmp_path: Path
) -> None:
    wait = {"ansible.builtin.wait_for": {"path": "{{ home }}/go", "sleep": 1}}
    show = {"ansible.builtin.debug": {"var": "hostvars[inventory_hostname]"}}
    fail = {"ansible.builtin.fail": {"msg": "{{ ansible_become_password }} {{ ansible_password }}"}}
    stats = {"ansible.builtin.set_stats": {"data": {"alertmend_result": {"said": "{{ ansible_password }}"}}}}
    job = site.job([show, stats, wait, fail], secrets=secrets)
    results: list[PlaybookResult] = []
    thread = threading.Thread(target=lambda: results.append(site.play(job)))
    thread.start()
    until(lambda: any("wait_for" in line for line in marked(job.run)))
    folder = next(site.work.glob("run-*"))
    assert seen_in_processes(site, job.run) == []
    assert set(holding(tmp_path)) == {folder / "inventory/credentials.yml"}
    assert (folder / "inventory/credentials.yml").stat().st_mode & 0o777 == 0o600
    (site.home("web1") / "go").touch()
    thread.join()
    assert results[0].end is PlaybookEnd.FAILED
    said = site.output + results[0].reason + repr(site.tasks) + repr(results[0].result)
    assert [part for part in PARTS if part in said] == []
    assert "[redacted]" in said
    assert list(holding(tmp_path)) == []


#: What of the secrets would be told by: none of it is in a path or a name.
PARTS = ("\\ecret", "become-s3cret", "vault-s3cret", "7 * 7")


def holding(folder: Path) -> list[Path]:
    """The files below a folder that a secret stands in, but for those that it is read from."""
    found = []
    for file in folder.rglob("*"):
        try:
            content = file.read_text(errors="replace") if file.is_file() else ""
        except OSError:
            continue
        if file.parent.name != "secrets" and any(part in content for part in PARTS):
            found.append(file)
    return found


def seen_in_processes(site: Site, run: str) -> list[str]:
    """The command lines and environments of our processes in which a secret stands."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            text = (folder / "cmdline").read_bytes() + (folder / "environ").read_bytes()
        except OSError:
            continue
        if run.encode() in text or str(site.folder).encode() in text or b"playbook.forker" in text:
            found += [text.decode(errors="replace")] if any(part.encode() in text for part in PARTS) else []
    return found


@pytest.mark.parametrize("kind", ["connection_password_file", "become_password_file", "ssh_private_key_file"])
def test_a_secret_that_has_gone_fails_the_run_and_is_named(site: Site, secrets: Secrets, kind: str) -> None:
    os.unlink(getattr(secrets, kind))
    result = site.run([write("x", name="x")], secrets=secrets)
    assert result.end is PlaybookEnd.FAILED
    assert getattr(secrets, kind) in result.reason and "No such file" in result.reason
    assert not (site.home("web1") / "x").exists()


def test_a_secret_is_read_anew_for_each_run(site: Site, secrets: Secrets) -> None:
    only = replace(Secrets(), become_password_file=secrets.become_password_file)
    Path(only.become_password_file).write_text("rotated\n")
    site.run([write("ansible_become_password", name="seen")], secrets=only)
    assert (site.home("web1") / "seen").read_text() == "rotated"
