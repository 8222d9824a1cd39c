"""`alertmend new playbook` and `alertmend playbook test`: from nothing to a playbook that is tried."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from webhook.cli import cli


def tell(*words: str) -> Result:
    return CliRunner().invoke(cli, words)


@pytest.fixture
def site(tmp_path: Path) -> Path:
    assert tell("init", str(tmp_path)).exit_code == 0
    return tmp_path


def new(site: Path, name: str) -> Result:
    return tell("new", "playbook", name, f"--config.file={site / 'alertmend.yml'}")


def test_a_new_one_is_checked_tested_and_tried_without_a_word_against_it(site: Path) -> None:
    made = new(site, "mend_shop")
    checked = tell("check", f"--config.file={site / 'alertmend.yml'}")
    decided = tell("test", str(site / "tests/mend_shop.yml"))
    tried = tell("playbook", "test", "mend_shop", f"--config.file={site / 'alertmend.yml'}")

    assert made.exit_code == 0, made.output
    assert (checked.exit_code, "mend_shop" in checked.output) == (0, False), checked.output
    assert decided.exit_code == 0, decided.output
    assert tried.exit_code == 0, tried.output
    assert "ok    an old lock is removed: run again" in tried.output
    text = "".join(path.read_text() for path in site.rglob("*mend_shop*/**/*") if path.is_file())
    assert "mend_shop" in text
    assert "remove_lock" not in text


def test_one_whose_verify_sees_nothing_is_found_out(site: Path) -> None:
    new(site, "mend_shop")
    role = site / "playbooks/roles/mend_shop"
    (role / "tasks/verify.yml").write_text(
        "---\n- name: Look at nothing\n  ansible.builtin.debug:\n    msg: all is well\n"
    )
    cases = (role / "tests/cases.yml").read_text()
    kept = (
        cases.index("  - name: an old lock"),
        cases.index("  - name: without"),
        cases.index("  - name: when something"),
    )
    (role / "tests/cases.yml").write_text(f"cases:\n{cases[kept[0] : kept[1]]}{cases[kept[2] :]}")

    tried = tell("playbook", "test", "mend_shop", f"--config.file={site / 'alertmend.yml'}")

    assert tried.exit_code == 1, tried.output
    assert "FAIL  when something takes the lock again at once" in tried.output
    assert "it did not fail, though it did not help" in tried.output


def test_what_is_there_is_not_overwritten(site: Path) -> None:
    new(site, "mend_shop")
    task = site / "playbooks/roles/mend_shop/tasks/act.yml"
    task.write_text("mine")

    again = new(site, "mend_shop")

    assert again.exit_code == 2
    assert "is there already; nothing was written" in again.output
    assert task.read_text() == "mine"


@pytest.mark.parametrize("name", ["shop", "Mend_shop", "../mend_shop", "mend-shop", "mend_", "-x", "mend shop"])
def test_a_name_that_is_no_verb_and_object_is_refused(site: Path, name: str) -> None:
    made = new(site, name)

    assert made.exit_code == 2
    assert not (site / "playbooks/roles").exists()


def test_a_playbook_that_is_not_there_and_a_host_that_is_not_are_named(site: Path) -> None:
    new(site, "mend_shop")
    config = f"--config.file={site / 'alertmend.yml'}"

    absent = tell("playbook", "test", "no_such", config)
    nowhere = tell("playbook", "test", "mend_shop", config, "--target=nowhere")

    assert (absent.exit_code, nowhere.exit_code) == (2, 2)
    assert "there is no playbook" in absent.output
    assert "the inventory has no host 'nowhere'" in nowhere.output
