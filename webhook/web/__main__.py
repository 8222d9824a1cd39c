"""The web process: `python -m webhook.web`, started by `alertmend serve`."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import structlog
import uvicorn
from starlette.applications import Starlette
from starlette.types import ASGIApp

from webhook import telemetry, tracing
from webhook.edge.webconfig import WebConfig
from webhook.errors import ConfigError, TracingError
from webhook.process import LIFE_SECONDS, end_with_parent, tell_life
from webhook.web.app import make_app
from webhook.web.auth import Authenticator
from webhook.web.forwarded import Forwarded
from webhook.web.health import Watched
from webhook.web.local import LocalOnly
from webhook.web.session import own_key
from webhook.web.tls import uvicorn_tls
from webhook.web.webfile import WebFile
from webhook.wiring import build_checks, build_follower, build_gauges, build_inbox, build_watch
from webhook.wiring.connection import LateLedger, open_ledger
from webhook.wiring.current import Followed, Site
from webhook.wiring.desk import LateDesk
from webhook.wiring.reload import take_over_aside

if TYPE_CHECKING:
    from webhook.edge.ledger import SqlLedger

log = structlog.get_logger()


def main(argv: list[str] | None = None) -> int:
    """Serve HTTP until a SIGTERM; the exit status."""
    arguments = _arguments(argv)
    telemetry.configure(format=arguments.log_format, level=arguments.log_level, role="web")
    if arguments.parent:
        end_with_parent(arguments.parent)
    try:
        app, server = _server(arguments)
        with tracing.sent_from("web"), asyncio.Runner(loop_factory=server.config.get_loop_factory()) as runner:
            runner.run(_serve(server, life=arguments.life))
    except (ConfigError, TracingError) as error:
        print(error, file=sys.stderr)
        return 2
    app.state.refused.write()
    return 0 if server.started else 3


async def _serve(server: uvicorn.Server, *, life: int) -> None:
    telling = asyncio.create_task(_tell_life(server, life))
    await server.serve()
    telling.cancel()


async def _tell_life(server: uvicorn.Server, life: int) -> None:
    """From the loop that answers requests: when it hangs, nothing is told."""
    while True:
        if server.started:
            tell_life(life)
        await asyncio.sleep(LIFE_SECONDS if server.started else 0.1)


def _server(arguments: argparse.Namespace) -> tuple[Starlette, uvicorn.Server]:
    storage: Path = arguments.storage_path
    site = Site(config_file=arguments.config_file, storage=storage, has_runs=arguments.has_runs)
    followed = Followed.of(site)
    log_options = [f"--log.format={arguments.log_format}", f"--log.level={arguments.log_level}"]
    config = followed.config
    web_file = WebFile.at(arguments.web_config_file) if arguments.web_config_file else None
    web_config = web_file.config if web_file else None
    inbox, servers = build_inbox(config, storage), list[uvicorn.Server]()
    ledger = cast("SqlLedger", LateLedger(partial(open_ledger, config, storage)))
    watch = build_watch(config, storage)
    checks = cache(partial(build_checks, followed, watch, ledger, storage))
    app = make_app(
        authenticator=Authenticator(
            web_config,
            key=_session_key(web_config, arguments.storage_path),
            changed=web_file.changed if web_file else lambda: None,
        ),
        put=inbox.put,
        ledger=ledger,
        follower=build_follower(config, storage),
        max_body_bytes=lambda: followed().max_body_bytes,
        is_ending=lambda: any(server.should_exit for server in servers),
        desk=LateDesk(site),
        take_over=lambda actor: take_over_aside(site, actor=actor, log_options=log_options),
        watched=Watched(
            checks=checks,
            gauges=cache(partial(build_gauges, followed, watch, ledger, storage, checks=checks)),
            stalled_seconds=lambda: inbox.stalled_seconds,
        ),
    )
    if arguments.grpc_address:
        # Imported only for those who want it: it is large.
        from webhook.web.grpc import serve_grpc

        # It serves as long as someone holds it, which is as long as the application is there.
        app.state.grpc = serve_grpc(arguments.grpc_address, checks)
    is_open = web_config is not None or arguments.insecure
    # What is to be followed lies in the storage path.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    tls: dict[str, Any] = uvicorn_tls(web_config)
    host, _, port = arguments.listen_address.rpartition(":")
    server = uvicorn.Server(
        uvicorn.Config(
            _behind(web_config, app) if is_open else LocalOnly(app),
            host=host.strip("[]"),
            port=int(port),
            loop="uvloop",
            http="httptools",
            lifespan="off",
            # It costs a quarter of what can be taken, and the audit log says more.
            access_log=False,
            log_config=None,
            server_header=False,
            # Whom a proxy speaks for is told by its address, which must stay what it is.
            proxy_headers=False,
            timeout_graceful_shutdown=10,
            **tls,
        )
    )
    servers.append(server)
    return app, server


def _behind(web_config: WebConfig | None, app: ASGIApp) -> ASGIApp:
    return Forwarded(app, web_config.proxy) if web_config and web_config.proxy else app


def _session_key(web_config: WebConfig | None, storage: Path) -> bytes | None:
    if web_config is None:
        return None
    file = web_config.session.key_file
    return Path(file).read_bytes() if file else own_key(storage)


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m webhook.web", description=__doc__)
    parser.add_argument("--config.file", dest="config_file", type=Path, required=True)
    parser.add_argument("--storage.path", dest="storage_path", type=Path, required=True)
    parser.add_argument("--web.listen-address", dest="listen_address", default="127.0.0.1:9480")
    parser.add_argument("--grpc.listen-address", dest="grpc_address")
    parser.add_argument("--web.config.file", dest="web_config_file", type=Path)
    parser.add_argument("--web.insecure", dest="insecure", action="store_true")
    parser.add_argument("--log.format", dest="log_format", default="logfmt")
    parser.add_argument("--log.level", dest="log_level", default="info")
    parser.add_argument("--parent", type=int, default=0)
    parser.add_argument("--no-runs", dest="has_runs", action="store_false")
    parser.add_argument("--life", type=int, default=-1)
    return parser.parse_args(argv)


if __name__ == "__main__":
    sys.exit(main())
