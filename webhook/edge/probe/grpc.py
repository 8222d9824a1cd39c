"""Does a gRPC server say that it serves?"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final

from webhook.core.address import check_address, split_address
from webhook.core.httpconfig import Tls
from webhook.core.placeholder import Unfit
from webhook.core.probe import GrpcProbe
from webhook.httpconfig import check_files, read_tls
from webhook.located import Node, any_text, mapping, otherwise, text
from webhook.probing import Deadline, Kind, Seen

# Read when grpc is imported. Its fork handlers block a fork for ever now and then, and a worker forks for every
# playbook; its own log would go to stderr in a format of its own.
os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "0"
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

#: gRPC always verifies, and has no word for the oldest version.
_TLS: Final = frozenset(["ca_file", "cert_file", "key_file", "server_name"])
_ANSWER_LIMIT_BYTES: Final = 4096


def _read(node: Node) -> GrpcProbe | None:
    fields = mapping(node, known={"address", "service", "tls"}, required={"address"})
    address = text(fields.get("address"))
    if address is None:
        return None
    try:
        check_address(address)
    except Unfit as error:
        fields["address"].report(str(error))
    service = otherwise(any_text(fields.get("service")), "")
    return GrpcProbe(address=address, service=service, tls=read_tls(fields.get("tls"), known=_TLS))


def _ask(probe: GrpcProbe, deadline: Deadline) -> Seen:
    import grpc
    from grpc_health.v1 import health_pb2, health_pb2_grpc

    check_files(probe.tls)
    with _channel(probe, milliseconds=int(deadline.seconds_left * 1000) + 1) as channel:
        deadline.at_end(channel.close)
        request = health_pb2.HealthCheckRequest(service=probe.service)
        try:
            answer = health_pb2_grpc.HealthStub(channel).Check(request, timeout=deadline.seconds_left)
        except grpc.RpcError as error:
            return Seen(healthy=False, words=f"{error.code().name}: {error.details()}")
    status = health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)
    return Seen(healthy=answer.status == health_pb2.HealthCheckResponse.SERVING, words=status)


def _channel(probe: GrpcProbe, *, milliseconds: int) -> Any:
    import grpc

    host, port = split_address(probe.address)
    address = f"ipv6:[{host}]:{port}" if ":" in host else f"dns:///{host}:{port}"
    options: list[tuple[str, str | int]] = [
        ("grpc.enable_http_proxy", 0),
        ("grpc.service_config_disable_resolution", 1),
        ("grpc.max_receive_message_length", _ANSWER_LIMIT_BYTES),
        # A connection that is being made outlives its channel, by 20 seconds unless it is told otherwise.
        ("grpc.min_reconnect_backoff_ms", milliseconds),
        ("grpc.initial_reconnect_backoff_ms", milliseconds),
        # Otherwise the last failure of another question would be waited out.
        ("grpc.use_local_subchannel_pool", 1),
    ]
    if probe.tls is None:
        return grpc.insecure_channel(address, options=options)
    if probe.tls.server_name:
        options.append(("grpc.ssl_target_name_override", probe.tls.server_name))
    return grpc.secure_channel(address, _credentials(probe.tls), options=options)


def _credentials(tls: Tls) -> Any:
    import grpc

    return grpc.ssl_channel_credentials(
        root_certificates=_content(tls.ca_file),
        private_key=_content(tls.key_file),
        certificate_chain=_content(tls.cert_file),
    )


def _content(file: str | None) -> bytes | None:
    return Path(file).read_bytes() if file else None


KIND = Kind(read=_read, ask=_ask, imports=("grpc", "grpc_health.v1.health_pb2_grpc"))
