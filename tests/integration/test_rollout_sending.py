"""Reports that go out by the channels of alerts: at their local time, to whom they are for, each once."""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from datetime import time as clock
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import jsonschema
import pytest
from kafka import KafkaConsumer

from alerts.formats import key_of, to_alertmanager, to_annotation, to_cloud_event, to_text
from alerts.messages import schema_files
from grid.topics import ALERT
from meterline.bootstrap import make_producer
from meterline.channels import make_sender
from meterline.config import Settings
from meterline.deliver import alert_targets, run_alert_service
from meterline.reports import check_reports, send_reports
from meterline.settings.section import ConfigError
from meterline.settings.sync import ReportSection
from store.connection import Connection, connect
from store.deliveries import Queue, deliver_due
from store.rollout import INDICATORS, read_figure
from sync.load import load_grid
from sync.rollout.plan import parse_plan
from sync.rollout.planning import load_plan
from sync.rollout.report import FIGURES
from tests.integration.test_rollout_report import plan_of
from tests.rollout_grid import DAY, MONDAY, SHANGHAI, UNITS, rollout_model
from tests.waiting import PATIENCE_S, until
from tests.webhook_receiver import SECRET, receive

HOUR = timedelta(hours=1)


@pytest.fixture
def connection(database: Any) -> Iterator[Connection]:
    with connect(database.conninfo("app"), "test") as opened:
        opened.autocommit = True
        load_grid(opened, rollout_model())
        load_plan(opened, parse_plan(plan_of(UNITS), INDICATORS), "planner", MONDAY)
        yield opened


def settings_with(settings: Settings, folder: Path, url: str, reports: list[dict[str, Any]]) -> Settings:
    """A receiver of the working group, another of the leading group, Kafka for all, and Alertmanager."""
    secret = folder / "secret"
    secret.write_text(base64.b64encode(SECRET).decode())
    hook = {"url": url, "secret_file": secret, "allow_private": True}
    sections = settings.alerts.model_copy(
        update={
            "webhooks": type(settings.alerts).model_validate({
                "webhooks": [{**hook, "name": "workers", "roles": ["working_group"]},
                             {**hook, "name": "leaders", "roles": ["leading_group"]}],
                "channels": [{"name": "bus", "type": "kafka"},
                             {"name": "pager", "type": "alertmanager", "url": url, "allow_private": True}],
            }).webhooks,
            "channels": type(settings.alerts).model_validate({
                "channels": [{"name": "bus", "type": "kafka", "roles": ["working_group"]},
                             {"name": "pager", "type": "alertmanager", "url": url, "allow_private": True}],
            }).channels,
            "link": "https://console.example.org/",
        }
    )  # fmt: skip
    rollout = settings.rollout.model_copy(update={"reports": tuple(ReportSection(**each) for each in reports)})
    settling = settings.settling.model_copy(update={"time_zone": SHANGHAI.key})
    return settings.model_copy(update={"alerts": sections, "rollout": rollout, "settling": settling})


def deliver(connection: Connection, settings: Settings, now: datetime) -> int:
    send = make_sender(threading.Event(), lambda: make_producer(settings, linger_ms=5))
    return deliver_due(
        connection, Queue.ALERTS, alert_targets(settings.alerts), send, lambda: now, lambda: 0.5
    ).delivered


WANTED: list[dict[str, Any]] = [
    {"span": "daily", "level": "working"},
    {"span": "daily", "level": "leading", "language": "zh", "at": clock(8)},
    {"span": "weekly", "level": "unit", "unit": "county-02", "targets": ["workers"]},
]


def test_each_report_goes_out_once_at_its_time(connection: Connection, settings: Settings, tmp_path: Path) -> None:
    #: Tuesday, in Shanghai.
    tuesday = datetime(2040, 6, 5, tzinfo=SHANGHAI)
    with receive() as receiver:
        ours = settings_with(settings, tmp_path, receiver.url, WANTED)
        check_reports(ours)
        # At six Monday's are not due; what is newest then are Sunday's, and last week's of the unit.
        assert send_reports(connection, ours, tuesday + 6 * HOUR) == 4
        connection.execute("update alerts.delivery set delivered_at = now()")
        # The working group's at seven, to its webhook and to Kafka; nobody tells Alertmanager.
        assert send_reports(connection, ours, tuesday + 7 * HOUR) == 2
        assert send_reports(connection, ours, tuesday + 7 * HOUR + timedelta(minutes=1)) == 0
        # Another process, that was started again, does not do it again; and the leading group's comes at eight.
        with connect(connection.info.dsn + f" password={connection.info.password}", "again") as other:
            other.autocommit = True
            assert send_reports(other, ours, tuesday + 8 * HOUR) == 1
            assert send_reports(other, ours, tuesday + 23 * HOUR) == 0
        assert deliver(connection, ours, tuesday + 24 * HOUR) == 3
        assert deliver(connection, ours, tuesday + 24 * HOUR) == 0
        assert sorted(receiver.accepted.values()) == [1, 1]
        told = {body["data"]["level"]: body for body in receiver.bodies}
    assert set(told) == {"working", "leading"}
    working = told["working"]["data"]
    jsonschema.validate(told["working"], json.loads(schema_files()["report-webhook.schema.json"]))
    assert (working["since"], working["until"]) == ("2040-06-04T00:00:00+08:00", "2040-06-05T00:00:00+08:00")
    assert [figure["name"] for figure in working["figures"]] == list(FIGURES)
    assert working["title"] == "Daily report · Working group · 2040-06-04"
    assert "Milestones slipped: 2" in working["lines"]
    assert told["leading"]["data"]["title"] == "日报 · 领导小组 · 2040-06-04"
    # What it is about is named, not only counted.
    assert [row["code"] for row in working["lists"]["milestones"]] == ["M-county-01", "M-county-07"]
    assert working["lists"]["tickets"] == []
    assert any(line.startswith("Slipped milestones: PILOT · M-county-01 · county-01") for line in working["lines"])
    # Each figure by its link again, and the whole report by its own.
    for figure in working["figures"]:
        address = urlsplit(figure["link"])
        asked = {name: values[0] for name, values in parse_qs(address.query).items()}
        at, since = datetime.fromisoformat(asked["at"]), datetime.fromisoformat(asked["since"])
        again = read_figure(connection, address.path.rpartition("/")[2], asked.get("unit"), at, SHANGHAI.key, since)
        assert again.value == figure["value"]
    assert parse_qs(urlsplit(working["link"]).query)["at"] == ["2040-06-05T00:00:00+08:00"]


def test_the_service_sends_it_and_not_again_after_a_restart(
    connection: Connection, database: Any, settings: Settings, tmp_path: Path
) -> None:
    with receive() as receiver:
        ours = settings_with(settings, tmp_path, receiver.url, [{**WANTED[0], "at": clock(0), "targets": ("workers",)}])
        ours = ours.model_copy(update={"database": database.section})

        def run(enough: Callable[[], bool]) -> None:
            stop = threading.Event()
            service = threading.Thread(target=run_alert_service, args=(ours, stop))
            service.start()
            until(enough)
            stop.set()
            service.join(PATIENCE_S)
            assert not service.is_alive()

        run(lambda: len(receiver.bodies) > 0)
        # It looks as soon as it is started; four seconds are enough for that.
        begun = time.monotonic()
        run(lambda: time.monotonic() > begun + 4)
        assert [body["type"] for body in receiver.bodies if body["type"] == "report"] == ["report"]


def test_the_service_lets_milestones_judge_themselves(
    connection: Connection, database: Any, settings: Settings
) -> None:
    """By the service as it runs: one whose measures are met passes, and is not judged again."""
    text = plan_of(UNITS[:2]).replace("PILOT", "NOW").replace('accept = ["list signed"]', 'measures = ["MEASURE"]')
    text = text.replace("MEASURE", "open_conflicts <= 0", 1).replace("MEASURE", "open_conflicts >= 1", 1)
    load_plan(connection, parse_plan(text, INDICATORS), "planner", datetime.now(SHANGHAI))

    def reviews() -> list[tuple[str, str, str]]:
        return connection.execute("select milestone, result, actor from rollout.review").fetchall()

    stop = threading.Event()
    ours = settings.model_copy(update={"database": database.section})
    services = [threading.Thread(target=run_alert_service, args=(ours, stop)) for _ in range(2)]
    for service in services:
        service.start()
    until(reviews, "a milestone is judged")
    # The second has had its look too by then.
    time.sleep(2)
    stop.set()
    for service in services:
        service.join(PATIENCE_S)
        assert not service.is_alive()
    assert reviews() == [("M-county-01", "passed", "meterline")]


def test_two_at_once_owe_it_once(connection: Connection, settings: Settings, tmp_path: Path) -> None:
    ours = settings_with(settings, tmp_path, "http://127.0.0.1:1/", WANTED[:1])
    now = MONDAY + DAY
    counts: list[int] = []
    dsn = connection.info.dsn + f" password={connection.info.password}"

    def work() -> None:
        with connect(dsn, "racer") as other:
            other.autocommit = True
            barrier.wait()
            counts.append(send_reports(other, ours, now))

    barrier = threading.Barrier(4)
    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(counts) == 2
    row = connection.execute("select count(*), count(distinct target) from alerts.delivery").fetchone()
    assert row == (2, 2)


def test_what_kept_still_for_days_sends_the_newest(connection: Connection, settings: Settings, tmp_path: Path) -> None:
    ours = settings_with(settings, tmp_path, "http://127.0.0.1:1/", WANTED[:1])
    assert send_reports(connection, ours, MONDAY) == 2
    assert send_reports(connection, ours, MONDAY + 5 * DAY) == 2
    untils = connection.execute("select distinct until_at from rollout.report_sent order by 1").fetchall()
    assert [row[0].astimezone(SHANGHAI).day for row in untils] == [4, 9]


def test_a_unit_that_is_not_there_holds_up_nobody(connection: Connection, settings: Settings, tmp_path: Path) -> None:
    lost = {"span": "daily", "level": "unit", "unit": "county-77", "targets": ["workers"]}
    ours = settings_with(settings, tmp_path, "http://127.0.0.1:1/", [lost, WANTED[0]])
    assert send_reports(connection, ours, MONDAY) == 2


def test_kafka_gets_a_cloud_event_of_it(connection: Connection, settings: Settings, tmp_path: Path) -> None:
    ours = settings_with(settings, tmp_path, "http://127.0.0.1:1/", [{**WANTED[0], "targets": ("bus",)}])
    assert send_reports(connection, ours, MONDAY) == 1
    assert deliver(connection, ours, MONDAY + HOUR) == 1
    (sent,) = connection.execute("select delivery_id from alerts.delivery").fetchone() or (None,)
    consumer = KafkaConsumer(
        ALERT, bootstrap_servers=settings.kafka.bootstrap, auto_offset_reset="earliest", consumer_timeout_ms=120_000
    )
    event = next(found for record in consumer if (found := json.loads(record.value))["id"] == str(sent))
    consumer.close()
    assert (event["type"], event["subject"]) == ("meterline.report", "daily/working//2040-06-04T00:00:00+08:00")


NOTICE = {
    "type": "report",
    "timestamp": "2040-06-05T00:00:00Z",
    "data": {
        "report": "daily/unit/c/x",
        "span": "daily",
        "level": "unit",
        "title": "T",
        "lines": ["a: 1"],
        "link": "L",
    },
}


def test_every_channel_has_a_form_of_it() -> None:
    assert to_text(NOTICE) == ("T", "a: 1\nL")
    assert to_annotation(NOTICE, "7")["tags"] == ["daily", "delivery:7", "meterline", "report", "unit"]
    assert to_cloud_event(NOTICE, "7", "/s")["subject"] == key_of(NOTICE) == "daily/unit/c/x"
    assert to_alertmanager(NOTICE) == []


@pytest.mark.parametrize(
    ("report", "said"),
    [
        ({"span": "daily", "level": "working", "targets": ("pager",)}, "named pager"),
        ({"span": "daily", "level": "working", "targets": ("nobody",)}, "named nobody"),
    ],
)
def test_a_report_must_reach_somebody(report: dict[str, Any], said: str, settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=said):
        check_reports(settings_with(settings, tmp_path, "http://127.0.0.1:1/", [report]))
    nobody = settings_with(settings, tmp_path, "http://127.0.0.1:1/", WANTED[:1])
    alone = nobody.alerts.model_copy(update={"webhooks": nobody.alerts.webhooks[1:], "channels": ()})
    with pytest.raises(ConfigError, match="nobody is told"):
        check_reports(nobody.model_copy(update={"alerts": alone}))


@pytest.mark.parametrize(
    "given", [{"level": "unit"}, {"level": "unit", "unit": "c"}, {"level": "leading", "unit": "c"}]
)
def test_a_unit_and_its_targets_are_named_together(given: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="names its"):
        ReportSection(span="daily", **given)
