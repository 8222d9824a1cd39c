"""`alertmend config`: the Alertmanager side of the wiring, and what our own files may hold."""

from __future__ import annotations

import json

import click

from webhook.cli.schemas import File, schema_of


@click.group()
def config() -> None:
    """The Alertmanager side of the wiring; the schema of our files."""


@config.command()
@click.argument("file", type=click.Choice([file.value for file in File]), default=File.ALERTMEND.value)
def schema(file: str) -> None:
    """Print the JSON Schema of a kind of file: alertmend.yml, rules, rule tests or the web.config.file."""
    click.echo(json.dumps(schema_of(File(file)), indent=2))


@config.command()
@click.option("--url", default="http://127.0.0.1:9480", show_default=True, help="Where Alertmanager reaches alertmend.")
@click.option("--name", default="alertmend", show_default=True, help="The receiver's name.")
@click.option("--token-file", help="A file on Alertmanager's host that holds a receiver token.")
def receiver(url: str, name: str, token_file: str | None) -> None:
    """Print the receiver, and a route to it, for alertmanager.yml."""
    authorization = ""
    if token_file:
        authorization = f"""
        http_config:
          authorization:
            credentials_file: {token_file}"""
    click.echo(f"""\
# Add to alertmanager.yml. `continue: true` lets the alert reach your other receivers as well.
route:
  routes:
    - receiver: {name}
      matchers: []          # narrow it: which alerts may be remediated
      continue: true
      group_wait: 5s        # a remediation need not wait as long as a person may
receivers:
  - name: {name}
    webhook_configs:
      - url: {url.rstrip("/")}/api/v1/alertmanager
        send_resolved: true # alertmend closes incidents when their alerts resolve
        max_alerts: 0       # 0: never cut a group{authorization}""")
