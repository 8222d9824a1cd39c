"""Posts one body over and over on kept connections, for a bounded time: `python -m benchmarks.load PORT … < body`."""

from __future__ import annotations

import asyncio
import json
import sys
import time

import uvloop


async def _post(port: int, request: bytes, until: float, latencies: list[float], bad: list[str]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    while time.perf_counter() < until:
        began = time.perf_counter()
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        lines = head.decode().lower().split("\r\n")
        length = next(int(line.split(":")[1]) for line in lines if line.startswith("content-length"))
        await reader.readexactly(length)
        latencies.append(time.perf_counter() - began)
        if " 202 " not in lines[0] + " ":
            bad.append(lines[0])
    writer.close()


async def _load(port: int, connections: int, seconds: float, body: bytes) -> dict[str, float]:
    lines = ["POST /api/v1/alertmanager HTTP/1.1", "Host: 127.0.0.1", "Content-Type: application/json"]
    head = "\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""])
    latencies: list[float] = []
    bad: list[str] = []
    began = time.perf_counter()
    until = began + seconds
    await asyncio.gather(*(_post(port, head.encode() + body, until, latencies, bad) for _ in range(connections)))
    spent = time.perf_counter() - began
    latencies.sort()
    return {
        "rate": len(latencies) / spent,
        "p50_ms": 1000 * latencies[len(latencies) // 2],
        "p99_ms": 1000 * latencies[int(len(latencies) * 0.99)],
        "bad": len(bad),
    }


def main() -> None:
    """Print the result as JSON."""
    port, connections, seconds = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
    result = uvloop.run(_load(port, connections, seconds, sys.stdin.buffer.read()))
    print(json.dumps(result))


if __name__ == "__main__":
    main()
