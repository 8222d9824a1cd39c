"""Whose secrets a run gets."""

from webhook.core.confinement import Credential, Secrets, secrets_for

FLEET = Credential(name="fleet", secrets=Secrets(ssh_private_key_file="/fleet", vault_password_file="/vault"))
WEB = Credential(name="web", groups=frozenset({"web", "edge"}), secrets=Secrets(ssh_private_key_file="/web"))
REBOOT = Credential(name="reboot", rules=frozenset({"reboot"}), secrets=Secrets(become_password_file="/root"))
BOTH = Credential(
    name="both", rules=frozenset({"reboot"}), groups=frozenset({"db"}), secrets=Secrets(ssh_private_key_file="/both")
)


def test_without_groups_and_rules_it_is_for_all() -> None:
    assert secrets_for([FLEET], rule="any", groups=[]) == FLEET.secrets


def test_a_group_or_a_rule_has_to_be_that_of_the_run() -> None:
    assert secrets_for([WEB], rule="any", groups=["all", "web"]) == WEB.secrets
    assert secrets_for([WEB], rule="web", groups=["all", "db"]) == Secrets()
    assert secrets_for([REBOOT], rule="reboot", groups=[]) == REBOOT.secrets
    assert secrets_for([REBOOT], rule="restart", groups=["reboot"]) == Secrets()


def test_with_both_both_have_to_be() -> None:
    assert secrets_for([BOTH], rule="reboot", groups=["db"]) == BOTH.secrets
    assert secrets_for([BOTH], rule="reboot", groups=["web"]) == Secrets()
    assert secrets_for([BOTH], rule="restart", groups=["db"]) == Secrets()


def test_each_secret_is_the_first_ones_that_has_it() -> None:
    found = secrets_for([WEB, REBOOT, FLEET], rule="reboot", groups=["web"])
    assert found == Secrets(ssh_private_key_file="/web", become_password_file="/root", vault_password_file="/vault")
    assert secrets_for([FLEET, WEB], rule="x", groups=["web"]).ssh_private_key_file == "/fleet"


def test_nobody_gets_what_is_for_nobody() -> None:
    assert secrets_for([], rule="x", groups=["all"]) == Secrets()
