"""Holds a rule's vars against the argument specs of the roles that its playbook uses, before anything runs.

Ansible looks at these specs too, when the role is reached: at three in the morning, on the sick host.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

from webhook.edge.argspec.option import check_value
from webhook.edge.argspec.playbook import Takes, read_playbook
from webhook.located import Node, did_you_mean, mapping


@dataclass(frozen=True, slots=True, kw_only=True)
class ArgumentSpecs:
    """What playbooks take, read once each."""

    #: Names of the variables that the inventory gives to any host: what stands there need not stand in a rule. None:
    #: they are not known, so that none can be called missing.
    elsewhere: Collection[str] | None = ()
    read: dict[Path, Takes] = field(default_factory=dict)

    def check(self, playbook: Path, *, playbooks: Path, vars: Node | None, step: Node) -> None:
        """Report the vars that the playbook does not know, lacks, or would refuse for their type.

        `playbooks` is the folder that the playbook was found below; `step` is where it is named.
        """
        if playbook not in self.read:
            self.read[playbook] = read_playbook(playbook, playbooks=playbooks)
        takes, given = self.read[playbook], mapping(vars)
        for name, value in given.items():
            if takes.is_whole and name not in takes.claims and name not in takes.names:
                value.report(f"{playbook.name} takes no such variable; {did_you_mean(name, takes.claims)}")
            for claim in takes.claims.get(name, ()):
                check_value(value, claim.option, of=claim.role)
        for name, claims in takes.claims.items():
            needing = [claim for claim in claims if claim.is_required]
            if needing and self.elsewhere is not None and name not in given and name not in self.elsewhere:
                option, role = needing[0].option, needing[0].role
                (vars or step).report(
                    f"the variable {name!r} is missing; {role} needs it: {option.description}".removesuffix(": ")
                )
