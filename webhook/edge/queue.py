"""The doorbells: Celery's application, its settings, and its messages.

A message carries an errand and an id. What is to be done stands in the store, so losing a message, or hearing it
twice, changes nothing.
"""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any
from urllib.parse import quote

from celery import Celery
from kombu.serialization import dumps

from webhook.core.sentinel import Sentinels, is_sentinel, parse_sentinels
from webhook.ports import Doorbell, Errand

#: Two queues with workers of their own: a long playbook never delays a decision.
QUEUES: Mapping[Errand, str] = {
    Errand.INTAKE: "intake",
    Errand.RECONSIDER: "intake",
    Errand.EXECUTE: "runs",
    Errand.PLAN: "runs",
}
#: Keeps Celery's keys apart from those of other applications on the same Redis.
KEY_PREFIX = "alertmend:celery:"

#: A message that is not acknowledged comes again after this long. Longer than any playbook's timeout, since a task that
#: outlives it is delivered a second time while it still runs. The second delivery would find its run already started,
#: so this is about noise, not about safety.
VISIBILITY_TIMEOUT_SECONDS = 24 * 3600


def task_name(errand: Errand) -> str:
    """The Celery task of an errand."""
    return f"alertmend.{errand}"


def make_app(broker_url: str) -> Celery:
    """The Celery application on one broker, with every setting that loses or doubles work by default set."""
    sentinels = parse_sentinels(broker_url) if is_sentinel(broker_url) else None
    app: Celery = Celery("alertmend", broker=_broker_url(broker_url), set_as_current=False)
    app.conf.update(
        # Acknowledge after the work: a killed worker's message comes again.
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        # Hold no messages that another worker could answer.
        worker_prefetch_multiplier=1,
        # Results stand in the ledger.
        task_ignore_result=True,
        task_store_errors_even_if_ignored=False,
        # Ids only, and never a pickle.
        task_serializer="json",
        accept_content=["json"],
        # A lost connection must not kill a playbook under way, nor hand its message to someone else at once.
        worker_cancel_long_running_tasks_on_connection_loss=False,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_transport_options={
            "global_keyprefix": KEY_PREFIX,
            "visibility_timeout": VISIBILITY_TIMEOUT_SECONDS,
            # With the defaults a killed worker's message took 102 s to come back.
            "unacked_restore_interval": 5,
            "unacked_restore_throttle": 1,
            # A dead peer is noticed; a half-open connection does not wait for ever.
            "socket_timeout": 30,
            "socket_connect_timeout": 5,
            "socket_keepalive": True,
            "health_check_interval": 15,
            **(_asking(sentinels) if sentinels else {}),
        },
        broker_use_ssl={"ssl_ca_certs": sentinels.ssl_ca_certs} if sentinels and sentinels.has_tls else None,
        task_default_queue="intake",
        task_create_missing_queues=True,
        worker_hijack_root_logger=False,
        worker_redirect_stdouts=False,
        worker_send_task_events=False,
        worker_enable_remote_control=False,
        # Nothing is scheduled through Celery: a countdown beyond the visibility timeout is run several times.
        enable_utc=True,
    )
    return app


def make_message(app: Celery) -> Callable[[Doorbell], tuple[str, bytes]]:
    """A function from a doorbell to the Redis list it belongs on and the message to push there.

    The message is what Celery's own publish would send, built once for each errand: publishing through Celery costs
    more than everything else the receiver does together.
    """

    @cache
    def template(errand: Errand) -> dict[str, Any]:
        message = app.amqp.as_task_v2("", task_name(errand), args=(), kwargs={}, argsrepr="", kwargsrepr="{}")
        content_type, content_encoding, _ = dumps([], serializer="json")  # type: ignore[no-untyped-call]
        return {
            "content-encoding": content_encoding,
            "content-type": content_type,
            "headers": message.headers,
            "properties": {
                **message.properties,
                "delivery_mode": 2,
                "delivery_info": {"exchange": "", "routing_key": QUEUES[errand]},
                "priority": 0,
                "body_encoding": "base64",
            },
        }

    def message(doorbell: Doorbell) -> tuple[str, bytes]:
        base, task = template(doorbell.errand), secrets.token_hex(16)
        body = json.dumps(
            [
                [doorbell.about],
                {},
                {"callbacks": None, "errbacks": None, "chain": None, "chord": None},
            ]
        )
        wire = {
            **base,
            "body": base64.b64encode(body.encode()).decode(),
            "headers": {
                **base["headers"],
                "id": task,
                "root_id": task,
                "argsrepr": repr([doorbell.about]),
            },
            "properties": {
                **base["properties"],
                "correlation_id": task,
                "delivery_tag": task,
            },
        }
        return KEY_PREFIX + QUEUES[doorbell.errand], json.dumps(wire).encode()

    return message


def _asking(sentinels: Sentinels) -> dict[str, Any]:
    patience = {"socket_timeout": 5, "socket_connect_timeout": 5}
    return {"master_name": sentinels.primary, "sentinel_kwargs": {**patience, **sentinels.asking}}


def _broker_url(url: str) -> str:
    if is_sentinel(url):
        found = parse_sentinels(url)
        login = f"{quote(found.username or '', safe='')}:{quote(found.password, safe='')}@" if found.password else ""
        hosts = (f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in found.addresses)
        return ";".join(f"sentinel://{login}{host}/{found.database}" for host in hosts)
    # Celery names a unix socket by another scheme than redis-py does.
    return url.replace("unix://", "redis+socket://", 1)
