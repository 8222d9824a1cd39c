"""The command line: one module for each group of verbs. Data goes to standard output, words to standard error."""

from __future__ import annotations

import sys

import click

from webhook import __version__
from webhook.errors import ConfigError, PayloadError, TracingError, Unavailable, WebhookError

#: Exit statuses: a check said no; wrong usage or unusable configuration; someone does not answer.
SAID_NO, UNUSABLE, UNREACHABLE = 1, 2, 3

#: Verb -> module and name, imported when it is asked for, so that `alertmend --help` is quick and `serve` stays small.
VERBS = {
    "serve": ("webhook.cli.serve", "serve"),
    "demo": ("webhook.cli.demo", "demo"),
    "init": ("webhook.cli.starter", "init"),
    "new": ("webhook.cli.workshop", "new"),
    "playbook": ("webhook.cli.workshop", "playbook"),
    "check": ("webhook.cli.check", "check"),
    "doctor": ("webhook.cli.doctor", "doctor"),
    "test": ("webhook.cli.rehearse", "test"),
    "replay": ("webhook.cli.replay", "replay"),
    "explain": ("webhook.cli.explain", "explain"),
    "config": ("webhook.cli.wire", "config"),
    "audit": ("webhook.cli.audit", "audit"),
    "incidents": ("webhook.cli.people", "incidents"),
    "runs": ("webhook.cli.people", "runs"),
    "rules": ("webhook.cli.people", "rules"),
    "pause": ("webhook.cli.people", "pause"),
    "resume": ("webhook.cli.people", "resume"),
    "pauses": ("webhook.cli.people", "pauses"),
}


class Verbs(click.Group):
    """Finds a verb's module by its name."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The verbs, in the order in which one meets them."""
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The verb."""
        from importlib import import_module

        if cmd_name not in VERBS:
            return None
        module, name = VERBS[cmd_name]
        found: click.Command = getattr(import_module(module), name)
        return found

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The verb, or the nearest one as a hint."""
        import difflib

        if args and args[0] not in VERBS and not args[0].startswith("-"):
            near = difflib.get_close_matches(args[0], VERBS, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            ctx.fail(f"there is no command {args[0]!r}{hint}")
        return super().resolve_command(ctx, args)


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, "--version", prog_name="alertmend", message="%(prog)s %(version)s")
def cli() -> None:
    """Alert-driven auto-remediation: Alertmanager in, one proven Ansible run out, every decision on the record."""


def exit_status(error: WebhookError) -> int:
    """The exit status of an error."""
    if isinstance(error, (ConfigError, PayloadError, TracingError)):
        return UNUSABLE
    return UNREACHABLE if isinstance(error, Unavailable) else SAID_NO


def main() -> None:
    """The program `alertmend`."""
    try:
        cli.main(prog_name="alertmend", standalone_mode=True)
    except WebhookError as error:
        click.echo(str(error), err=True)
        sys.exit(exit_status(error))
