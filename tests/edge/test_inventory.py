"""Inventories are read as Ansible reads them, and what Ansible would leave out with a warning is a problem."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from webhook.edge.inventory import read_inventory
from webhook.errors import ConfigError


def problems(path: Path, *, timeout_seconds: float = 30) -> list[str]:
    """What is wrong with it, without the folder."""
    with pytest.raises(ConfigError) as raised:
        read_inventory(path, timeout_seconds=timeout_seconds)
    return [str(problem).removeprefix(f"{path.parent}/") for problem in raised.value.problems]


def written(folder: Path, name: str, content: str, *, executable: bool = False) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    path.chmod(0o755 if executable else 0o644)
    return path


def test_groups_hold_the_hosts_of_the_groups_below_them(tmp_path: Path) -> None:
    inventory = read_inventory(
        written(
            tmp_path,
            "i.yml",
            "all:\n  hosts: {lone: }\n  children:\n"
            "    site: {children: {web: {hosts: {web1: , 'fe80::1': }}, db: {hosts: {db1: }}}}\n    spare:\n",
        )
    )
    assert inventory.hosts == {"lone", "web1", "fe80::1", "db1"}
    assert inventory.groups == {
        "all": inventory.hosts,
        "ungrouped": {"lone"},
        "site": {"web1", "fe80::1", "db1"},
        "web": {"web1", "fe80::1"},
        "db": {"db1"},
        "spare": set(),
    }


def test_ranges_and_ports_of_an_ini_file_are_expanded(tmp_path: Path) -> None:
    inventory = read_inventory(written(tmp_path, "hosts", "[web]\nweb[01:03] ansible_port=2222\nweb4:22\n"))
    assert inventory.groups["web"] == {"web01", "web02", "web03", "web4"}


def test_a_directory_is_read_whole(tmp_path: Path) -> None:
    written(tmp_path, "i/a.ini", "[web]\nweb1\n")
    written(tmp_path, "i/b.yml", "db: {hosts: {db1: }}\n")
    assert read_inventory(tmp_path / "i").hosts == {"web1", "db1"}


def test_a_program_is_run_and_sees_no_secret_of_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALERTMEND_SECRET", "hunter2")
    program = '#!/bin/sh\necho "{\\"web\\": [\\"host${ALERTMEND_SECRET}\\"], \\"_meta\\": {\\"hostvars\\": {}}}"\n'
    assert read_inventory(written(tmp_path, "i.sh", program, executable=True)).hosts == {"host"}


def test_a_name_that_looks_like_an_option_is_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    written(tmp_path, "--version", "web1\n")
    assert read_inventory(Path("--version")).hosts == {"web1"}


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("i.yml", "all:\n  hosts:\n    web1:\n    web1:\n", "i.yml:4:5: Found duplicate mapping key 'web1'."),
        (
            "i.yml",
            "all:\n  hosts:\n    web1:\n    no:\n",
            "i.yml:4:5: a key must be text: no, which YAML reads as false; write it in quotes: 'no'",
        ),
        ("i.yml", "all:\n  hosts:\n\tweb1:\n", "i.yml:3:1: YAML parsing failed: Tabs are usually invalid in YAML."),
        (
            "i.yml",
            "all:\n  hosts:\n   web1:\n  web2\n",
            "i.yml:5:1: YAML parsing failed: While scanning a simple key could not find expected ':'.",
        ),
        (
            "i.yml",
            "all:\n  hosts: {a: }\n  hostz: {b: }\n",
            'i.yml:0:0: Skipping unexpected key (hostz) in group (all), only "vars", "children" and "hosts" are valid',
        ),
        (
            "i.yml",
            "all: {hosts: {a: }}\nweb: b\n",
            "i.yml:0:0: Skipping 'web' as this is not a valid group definition",
        ),
        ("i.yml", "plugin: no.such.plugin\n", "specifies unknown plugin 'no.such.plugin'"),
        ("i.yml", "", "i.yml:0:0: there are no hosts in it"),
        ("i.yml", "all: {}\n", "i.yml:0:0: there are no hosts in it"),
        (
            "i.ini",
            "[web]\nweb1\n[all:children]\nnope\n",
            "i.ini:0:0: Section [all:children] includes undefined group 'nope'.",
        ),
        ("i.ini", "[web]\nweb1 x='y\n", "No closing quotation"),
    ],
)
def test_what_ansible_cannot_read_is_a_problem(tmp_path: Path, name: str, content: str, expected: str) -> None:
    found = problems(written(tmp_path, name, content))
    assert len(found) == 1
    assert expected in found[0]


def test_one_bad_file_in_a_directory_is_a_problem_of_that_file(tmp_path: Path) -> None:
    written(tmp_path, "i/a.ini", "[web]\nweb1\n")
    written(tmp_path, "i/b.yml", "all:\n  hosts:\n   web1:\n  web2\n")
    assert [problem[:12] for problem in problems(tmp_path / "i")] == ["i/b.yml:5:1:"]


def test_a_program_that_fails_is_quoted(tmp_path: Path) -> None:
    program = written(tmp_path, "i.sh", "#!/bin/sh\necho 'no route to \033[31mcloud' >&2\nexit 3\n", executable=True)
    (problem,) = problems(program)
    assert "returned non-zero exit code 3" in problem
    assert "no route to" in problem
    assert "\033" not in problem


def test_no_file_is_a_problem(tmp_path: Path) -> None:
    assert problems(tmp_path / "none") == ["none:0:0: there is no such inventory"]


def test_a_program_that_hangs_is_ended_with_what_it_started(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    program = f"#!/bin/sh\nsleep 61 &\necho $! >> {pids}\necho $$ >> {pids}\nwait\n"
    path = written(tmp_path, "i.sh", program, executable=True)
    assert problems(path, timeout_seconds=3) == ["i.sh:0:0: Ansible has not read it within 3s"]
    started = [int(pid) for pid in pids.read_text().split()]
    assert len(started) == 2
    until = time.monotonic() + 5
    while any(is_alive(pid) for pid in started):
        assert time.monotonic() < until
        time.sleep(0.01)


def is_alive(pid: int) -> bool:
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False


def test_nothing_is_left_in_the_home_or_the_temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("home", "tmp"):
        (tmp_path / name).mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "tmp"))
    assert read_inventory(written(tmp_path, "i.ini", "web1\n")).hosts == {"web1"}
    assert os.listdir(tmp_path / "home") == []
    assert os.listdir(tmp_path / "tmp") == []
