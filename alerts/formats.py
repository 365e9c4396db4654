"""A notice in the form that each channel takes; pure. What goes in is the body of a webhook, as plain values."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

#: Alertmanager drops an alert that isn't told of again before this is over.
FIRING_FOR = timedelta(days=7)
_OVER = frozenset({"alert.resolved", "alert.closed"})
_MAX_LINES = 20
#: What Alertmanager takes as a label's name.
_LABELS = ("kind", "severity", "unit", "unit_kind", "meter", "role", "code")

#: Field that names what a notice is about, where that isn't one alert.
_NAMED_BY = {"alert.group": "group", "report": "report"}

Notice = Mapping[str, Any]


def events_of(notice: Notice) -> list[Notice]:
    """The events that a notice tells one by one; a report tells of none."""
    if notice["type"] == "report":
        return []
    return list(notice["data"]["events"]) if notice["type"] == "alert.group" else [notice]


def to_alertmanager(notice: Notice) -> list[dict[str, Any]]:
    """Body for Alertmanager's ``POST /api/v2/alerts``: of each alert its newest event.

    The labels name the condition, so that Alertmanager takes later events as the same alert.
    """
    newest: dict[str, dict[str, Any]] = {}
    for event in events_of(notice):
        alert, at = event["data"], event["timestamp"]
        over = event["type"] in _OVER
        labels = {"alertname": f"meterline_{alert['kind']}"}
        labels |= {name: str(alert[name]) for name in _LABELS if alert.get(name) and name != "severity"}
        annotations = {"summary": summary(event), "alert_id": str(alert["alert_id"]), "severity": alert["severity"]}
        annotations |= {name: str(value) for name, value in alert["figures"].items() if value is not None}
        newest[alert["code"]] = {
            "labels": labels,
            "annotations": annotations,
            "startsAt": alert["opened_at"],
            "endsAt": at if over else _later(at, FIRING_FOR),
            **({"generatorURL": alert["link"]} if alert.get("link") else {}),
        }
    return list(newest.values())


def to_cloud_event(notice: Notice, delivery_id: str, source: str) -> dict[str, Any]:
    """A CloudEvent 1.0 in structured form; a repeat has the same id."""
    data = notice["data"]
    return {
        "specversion": "1.0",
        "id": delivery_id,
        "source": source,
        "type": f"meterline.{notice['type']}",
        "subject": data[_NAMED_BY.get(notice["type"], "code")],
        "time": notice["timestamp"],
        "datacontenttype": "application/json",
        "data": dict(data),
    }


def key_of(notice: Notice) -> str:
    """What Kafka keeps in order: the unit, the group, or the report."""
    return str(notice["data"][_NAMED_BY.get(notice["type"], "unit")])


def to_annotation(notice: Notice, delivery_id: str) -> dict[str, Any]:
    """Body for Grafana's ``POST /api/annotations``; the id stands in a tag, since Grafana has no place for it."""
    events = events_of(notice)
    tags = {"meterline", f"delivery:{delivery_id}"}
    if notice["type"] == "report":
        tags |= {"report", notice["data"]["span"], notice["data"]["level"]}
    for event in events:
        tags |= {event["type"], event["data"]["kind"], event["data"]["unit"]}
    at = datetime.fromisoformat(notice["timestamp"])
    # A group of many would drown the board in tags.
    return {"time": int(at.timestamp() * 1000), "tags": sorted(tags)[:50], "text": to_text(notice)[0]}


def to_text(notice: Notice) -> tuple[str, str]:
    """Title and body for people, in plain text."""
    if notice["type"] == "report":
        report = notice["data"]
        return report["title"], "\n".join([*report["lines"], *([report["link"]] if report.get("link") else [])])
    events = events_of(notice)
    if notice["type"] != "alert.group":
        return summary(notice), "\n".join(_lines(notice))
    data = notice["data"]
    lines = [f"- {summary(event)}" for event in events[:_MAX_LINES]]
    if data["count"] > _MAX_LINES:
        lines.append(f"- and {data['count'] - min(_MAX_LINES, len(events))} more")
    if data.get("link"):
        lines.append(data["link"])
    return f"{data['count']} events: {data['group']}", "\n".join(lines)


def summary(event: Notice) -> str:
    """One event in one line."""
    alert = event["data"]
    where = alert["unit"] if not alert.get("meter") else f"{alert['unit']}, meter {alert['meter']}"
    told = event["type"].removeprefix("alert.")
    figures = alert["figures"]
    more = ""
    if "loss_rate" in figures:
        more = f": {figures['loss_rate']:.1%} of {figures['supply_wh'] / 1000:,.0f} kWh"
    elif alert["kind"] == "outage":
        more = f": {figures.get('areas', 0)} areas, {figures.get('meters', 0)} meters"
    return f"[{alert['severity']}] {alert['kind']} {told} at {where}{more}"


def _lines(event: Notice) -> list[str]:
    alert = event["data"]
    lines = [f"{alert['unit_kind']} {alert['unit']} ({alert['unit_name']}), since {alert['opened_at']}"]
    lines += [f"{name}: {value}" for name, value in alert["figures"].items() if value is not None]
    lines += [f"expected until {alert['expected_at']}"] if alert.get("expected_at") else []
    return lines + [alert["link"]] * bool(alert.get("link"))


def _later(at: str, by: timedelta) -> str:
    return (datetime.fromisoformat(at) + by).isoformat().replace("+00:00", "Z")
