"""At least once, from one Alertmanager or two, with Redis away and workers killed: one firing gets one run."""

import signal

import httpx

from tests.journey.harness import (
    Alertmend,
    Processes,
    firing,
    free_port,
    http,
    notification,
    post_alerts,
    until,
)


def test_two_alertmanagers_in_a_cluster_deliver_one_alert_and_it_gets_one_run(processes: Processes) -> None:
    alertmend = Alertmend(processes)
    alertmend.start()
    gossip = free_port(), free_port()
    first = processes.alertmanager("am1", alertmend.receiver, gossip=gossip[0], peer=gossip[1])
    second = processes.alertmanager("am2", alertmend.receiver, gossip=gossip[1], peer=gossip[0])

    def peers() -> int:
        return len(http.get(f"{first}/api/v2/status").json()["cluster"]["peers"])

    until(lambda: peers() == 2, "the two have met")
    for url in (first, second):
        post_alerts(url, "web1")
    until(alertmend.finished, "a run has finished")
    for url in (first, second):
        post_alerts(url, "web1", firing=False)
    until(lambda: alertmend.items("incidents", state="resolved"), "the incident is resolved")
    assert alertmend.marks == ["web1"]


def test_two_alertmanagers_that_lost_each_other_both_deliver_and_it_gets_one_run(processes: Processes) -> None:
    alertmend = Alertmend(processes)
    alertmend.start()
    both = [processes.alertmanager(name, alertmend.receiver) for name in ("am1", "am2")]
    for url in both:
        post_alerts(url, "web1")

    def received() -> bool:
        return len(alertmend.items("audit", event="alert_received")) >= 2

    until(received, "both have delivered")
    until(alertmend.finished, "a run has finished")
    assert alertmend.marks == ["web1"]
    assert len(alertmend.items("runs")) == 1
    [refused] = alertmend.items("audit", event="decision", decision="refuse")
    assert refused["body"]["decision"]["guard"] == "open_incident"


def test_redis_away_is_a_503_and_alertmanagers_own_retry_is_served_when_it_is_back(processes: Processes) -> None:
    port = free_port()
    redis = processes.redis(port)
    alertmend = Alertmend(processes, top=f"redis: {{url: 'redis://127.0.0.1:{port}/0'}}\n")
    alertmend.start()
    alertmanager = processes.alertmanager("am", alertmend.receiver)
    # When Redis is killed
    redis.send_signal(signal.SIGKILL)
    redis.wait()
    answer = http.post(alertmend.receiver, json=notification(firing("web2")), timeout=20)
    assert answer.status_code == 503
    assert "Redis" in answer.json()["error"]
    until(lambda: http.get(f"{alertmend.url}/readyz", timeout=20).status_code == 503, "it is not ready")
    assert http.get(f"{alertmend.url}/healthz").status_code == 200
    post_alerts(alertmanager, "web1")

    def has_failed() -> bool:
        metrics = http.get(f"{alertmanager}/metrics").text
        lines = [line for line in metrics.splitlines() if line.startswith("alertmanager_notification_requests_failed")]
        return any(float(line.split()[-1]) > 0 for line in lines if "webhook" in line)

    until(has_failed, "Alertmanager was refused")
    # Then, when it is back, the retry is served; what was refused and not sent again is not
    processes.redis(port)
    [run] = until(alertmend.finished, "the run has finished", seconds=120)
    assert run["target"] == "web1"
    assert alertmend.marks == ["web1"]


def test_an_intake_worker_that_is_killed_in_the_middle_loses_nothing_and_does_nothing_twice(
    processes: Processes,
) -> None:
    hosts = [f"web{number}" for number in range(1, 7)]
    alertmend = Alertmend(processes, hosts=hosts, top="limits: {concurrency: 2, rate_limit: 1000/1h}\n")
    alertmend.start()

    def received() -> list[str]:
        return [entry["body"]["notification"] for entry in alertmend.items("audit", event="alert_received")]

    with httpx.Client() as client:
        for first in (0, 2, 4):
            for host in hosts[first : first + 2]:
                client.post(alertmend.receiver, json=notification(firing(host))).raise_for_status()
                # With each a crowd of strangers, so that the worker is busy when it dies.
                strangers = [firing(f"nobody-{host}-{number}") for number in range(150)]
                client.post(alertmend.receiver, json=notification(*strangers)).raise_for_status()
            until(lambda already=2 * first: len(received()) > already, "it has begun")
            alertmend.kill("intake")
            until(lambda: alertmend.has("intake"), "it was started again")
    until(lambda: len(alertmend.finished()) == len(hosts), "every run has finished", seconds=240)
    assert sorted(alertmend.marks) == sorted(hosts)
    until(lambda: len(received()) >= 2 * len(hosts), "every notification is on the record")
    assert len(received()) == len(set(received())) == 2 * len(hosts)
    refused = alertmend.items("audit", decision="refuse")
    assert len(refused) == 150 * len(hosts)
    assert alertmend.get("audit/verify")["ok"]
