"""`alertmend serve`: what it is asked to start, and where it may."""

from __future__ import annotations

import fcntl
import ipaddress
import os
import re
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import IO

import click
import structlog
from click.core import ParameterSource

from webhook import telemetry
from webhook.cli.options import config_file, storage_path
from webhook.cli.reloading import Reloading
from webhook.cli.supervision import Role, Supervisor, ValkeyRole
from webhook.cli.systemd import Systemd
from webhook.core.duration import DurationError, parse_duration
from webhook.edge.valkey import EmbeddedValkey

log = structlog.get_logger()


@click.command()
@config_file
@storage_path
@click.option("--web.listen-address", "listen_address", default="127.0.0.1:9480", show_default=True)
@click.option("--web.config.file", "web_config_file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--grpc.listen-address", "grpc_address", help="Answer grpc.health.v1 here; it takes no credentials.")
@click.option("--web.insecure", "insecure", is_flag=True, help="Without any credentials, listen beyond loopback.")
@click.option(
    "--config.watch/--no-config.watch", "watch", default=True, show_default=True, help="Take over changed files."
)
@click.option("--role", type=click.Choice(("all", "web", "worker")), default="all", show_default=True)
@click.option("--shutdown.grace", "grace", default="30s", show_default=True, help="How long runs may go on at the end.")
@click.option("--log.format", "log_format", type=click.Choice(telemetry.FORMATS), default="logfmt", show_default=True)
@click.option("--log.level", "log_level", type=click.Choice(telemetry.LEVELS), default="info", show_default=True)
def serve(
    config_file: Path,
    storage_path: Path,
    listen_address: str,
    web_config_file: Path | None,
    grpc_address: str | None,
    insecure: bool,
    watch: bool,
    role: str,
    grace: str,
    log_format: str,
    log_level: str,
) -> None:
    """Take notifications, decide, run playbooks: all roles in one place, with an embedded Valkey and SQLite.

    SIGHUP reloads the configuration, and so does a change of its files. SIGTERM ends it, after runs under way had their
    grace.
    """
    telemetry.configure(format=log_format, level=log_level, role="serve")
    try:
        grace_seconds = parse_duration(grace).total_seconds()
    except DurationError as error:
        raise click.BadParameter(str(error), param_hint="--shutdown.grace") from None
    if role != "worker":
        _check_address(listen_address, is_protected=web_config_file is not None, insecure=insecure)
    if role == "worker":
        _say_what_is_not_used()
    if grpc_address is not None:
        _host(grpc_address, option="--grpc.listen-address")
    log_options = [f"--log.format={log_format}", f"--log.level={log_level}"]
    shared = [f"--config.file={config_file}", f"--storage.path={storage_path}", f"--parent={os.getpid()}", *log_options]
    runs = ["--no-runs"] if role == "web" else []
    web_config = [f"--web.config.file={web_config_file}"] if web_config_file else []
    options = [*log_options, *runs]
    reloading = Reloading(config_file=config_file, storage=storage_path, is_watching=watch, options=options)
    supervisor = Supervisor(
        grace_seconds=grace_seconds, reloading=reloading, systemd=Systemd.found(), alive=storage_path / "alive"
    )
    supervisor.listen()
    with _only_one(storage_path):
        supervisor.alive.unlink(missing_ok=True)
        if role != "worker":
            for address in filter(None, (listen_address, grpc_address)):
                _refuse_taken(address)
        wants_valkey = _prepare([*shared, *web_config, *runs])
        valkey = EmbeddedValkey(storage=storage_path) if wants_valkey else None
        web = [f"--web.listen-address={listen_address}", *web_config, *runs, *(["--web.insecure"] if insecure else [])]
        web += [f"--grpc.listen-address={grpc_address}"] if grpc_address else []
        roles = _roles(role, shared, web, grace_seconds)
        try:
            if valkey is not None and not valkey.start():
                log.info("adopted a Valkey that was left running", action="start")
            supervisor.roles = [*([ValkeyRole(valkey=valkey)] if valkey else []), *roles]
            status = supervisor.run()
        finally:
            if valkey is not None:
                valkey.stop()
    sys.exit(status)


def _say_what_is_not_used() -> None:
    context = click.get_current_context()
    for option in context.command.params:
        is_given = context.get_parameter_source(option.name or "") is ParameterSource.COMMANDLINE
        if is_given and option.opts[0].startswith(("--web.", "--grpc.")):
            log.warning("a worker answers no requests: this is not used", action="start", option=option.opts[0])


def _roles(role: str, shared: Sequence[str], web_settings: Sequence[str], grace_seconds: float) -> list[Role]:
    web = [sys.executable, "-m", "webhook.web", *shared, *web_settings]
    worker = [sys.executable, "-m", "webhook.worker"]
    roles = []
    if role in ("all", "web"):
        roles.append(Role("web", web))
    if role in ("all", "worker"):
        roles.append(Role("intake", [*worker, "intake", *shared]))
        roles.append(Role("runs", [*worker, "runs", *shared, f"--grace={grace_seconds}"]))
    return roles


def _prepare(shared: Sequence[str]) -> bool:
    """Whether an embedded Valkey is wanted. The configuration is sound and the database ready when this returns.

    A child does it, so that the supervisor stays small.
    """
    command = [sys.executable, "-m", "webhook.worker", "prepare", *shared]
    child = subprocess.run(command, check=False, stdout=subprocess.PIPE, start_new_session=True)
    if child.returncode:
        sys.exit(child.returncode)
    return child.stdout.strip() == b"embedded"


def _check_address(address: str, *, is_protected: bool, insecure: bool) -> None:
    host = _host(address, option="--web.listen-address")
    if not is_protected and not insecure and not _is_loopback(host.strip("[]")):
        raise click.UsageError(
            f"without --web.config.file anyone who reaches {address} could have playbooks run. Listen on 127.0.0.1,"
            " give a --web.config.file with users and tokens, or say --web.insecure if something else protects it."
        )


def _host(address: str, *, option: str) -> str:
    host, colon, port = address.rpartition(":")
    if not colon or not re.fullmatch(r"[0-9]{1,5}", port) or int(port) > 65535:
        raise click.BadParameter(f"{address!r} is not host:port", param_hint=option)
    return host


def _refuse_taken(address: str) -> None:
    # Said once, here: the web process would only die of it, again and again.
    host, _, port = address.rpartition(":")
    family = socket.AF_INET6 if "[" in host else socket.AF_INET
    try:
        socket.create_server((host.strip("[]"), int(port)), family=family).close()
    except OSError as error:
        words = str(error.strerror).partition(" (")[0].lower()
        raise click.UsageError(f"cannot listen on {address}: {words}") from None


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _only_one(storage_path: Path) -> IO[str]:
    try:
        storage_path.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = (storage_path / "alertmend.lock").open("a")
    except OSError as error:
        raise click.UsageError(f"nothing can be kept in {storage_path}: {error.strerror}") from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise click.UsageError(
            f"another alertmend runs on {storage_path}; end it, or give this one its own --storage.path"
        ) from None
    return lock
