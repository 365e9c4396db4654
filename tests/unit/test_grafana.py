"""Commands that talk to a Grafana, against a server that is strict about Grafana's documented API."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from deploy.boards.grafana import dumps, loads
from deploy.boards.model import Source
from deploy.boards.registry import BOARDS
from meterline.cli import app
from meterline.grafana import Grafana, GrafanaError, Pushed, differences
from tests.grafana_server import TOKEN, GrafanaServer, serve

NOW = datetime(2026, 11, 22, 8, tzinfo=UTC)
SHOWN = [board for board in BOARDS if board.source is Source.OPERATIONS]
Command = Callable[..., Result]


@pytest.fixture
def server() -> Iterator[GrafanaServer]:
    with serve() as running:
        yield running


@pytest.fixture
def command(server: GrafanaServer, tmp_path: Path) -> Command:
    token = tmp_path / "token"
    token.write_text(f"{TOKEN}\n")

    def run(*arguments: str) -> Result:
        return CliRunner().invoke(app, ["boards", *arguments, "--url", server.url, "--token-file", str(token)])

    return run


def test_push_makes_all_boards_once(command: Command, server: GrafanaServer) -> None:
    rows = json.loads(command("push", "--json").stdout)
    assert {row["result"] for row in rows} == {"created"}
    assert set(server.dashboards) == {board.uid + end for board in SHOWN for end in ("", "-zh")}
    assert server.folders == {"meterline-boards": "Meterline", "meterline-boards-zh": "Meterline 中文"}
    assert server.folder_of["meterline-feeder-zh"] == "meterline-boards-zh"
    server.requests.clear()
    again = json.loads(command("push", "--json").stdout)
    assert {row["result"] for row in again} == {"unchanged"}
    assert {method for method, _ in server.requests} == {"GET"}


def test_what_was_pushed_is_what_the_file_says(command: Command, server: GrafanaServer) -> None:
    command("push", "control-room", "--language", "en")
    there = server.dashboards["meterline-control-room"]
    assert not differences(json.loads(dumps(SHOWN[0])), there)
    assert loads(json.dumps(there)).uid == "meterline-control-room"


def test_boards_of_revenue_protection_go_only_where_they_are_asked_for(command: Command, server: GrafanaServer) -> None:
    refused = command("push", "usage")
    assert refused.exit_code == 2
    assert not server.dashboards
    command("push", "usage", "--revenue")
    assert set(server.dashboards) == {"meterline-usage", "meterline-usage-zh"}


def test_operations_lead_to_revenue_protection_only_where_it_is(command: Command, server: GrafanaServer) -> None:
    command("push", "--language", "en")
    assert not [name for name, there in server.dashboards.items() if "/d/meterline-usage" in json.dumps(there)]
    assert command("diff", "--language", "en").exit_code == 0
    assert command("diff", "--language", "en", "--revenue").exit_code == 1
    command("push", "--language", "en", "--revenue")
    assert "/d/meterline-usage?" in json.dumps(server.dashboards["meterline-area"])
    assert {url for there in server.dashboards.values() for url in _ends(there)} <= set(server.dashboards)


def _ends(dashboard: dict[str, Any]) -> list[str]:
    return re.findall(r"/d/([a-z-]+)\?", json.dumps(dashboard))


def test_diff_tells_what_somebody_changed(command: Command, server: GrafanaServer) -> None:
    assert command("diff").exit_code == 1
    command("push")
    same = command("diff", "--json")
    assert same.exit_code == 0
    assert {tuple(row["differences"]) for row in json.loads(same.stdout)} == {()}
    server.dashboards["meterline-feeder"]["panels"][1]["targets"][0]["rawSql"] = "select 1"
    server.dashboards["meterline-map"]["panels"].pop()
    changed = command("diff", "--json", "--language", "en")
    assert changed.exit_code == 1
    assert {row["board"]: row["differences"] for row in json.loads(changed.stdout) if row["differences"]} == {
        "feeder": ["panels[1].targets[0].rawSql"],
        "map": ["panels: 3 wanted, 2 there"],
    }
    pushed = json.loads(command("push", "--json", "--language", "en").stdout)
    assert {row["board"] for row in pushed if row["result"] == "updated"} == {"feeder", "map"}


def test_time_zone_and_console_are_those_that_were_asked_for(command: Command, server: GrafanaServer) -> None:
    command("push", "control-room", "--time-zone", "Asia/Shanghai", "--console-url", "https://console.example.org")
    there = server.dashboards["meterline-control-room"]
    assert there["timezone"] == "Asia/Shanghai"
    (console,) = [v for v in there["templating"]["list"] if v["name"] == "console"]
    assert console["query"] == "https://console.example.org"
    assert command("push", "--time-zone", "Mars/Olympus").exit_code == 2


@pytest.mark.parametrize(
    ("change", "ok"),
    [
        ({}, True),
        ({"version": "10.4.1"}, False),
        ({"version": "13.0.0-pre"}, True),
        ({"version": "14.0.0"}, False),
        ({"database": "failing"}, False),
        ({"sources": {}}, False),
        ({"sources": {"meterline": "password authentication failed"}}, False),
    ],
)
def test_health(command: Command, server: GrafanaServer, change: dict[str, Any], ok: bool) -> None:
    for name, wanted in change.items():
        setattr(server, name, wanted)
    result = command("health", "--json")
    assert (json.loads(result.stdout)["ok"], result.exit_code) == (ok, 0 if ok else 1)


def test_an_annotation_bears_its_times_and_tags(command: Command, server: GrafanaServer) -> None:
    command("push", "feeder", "--language", "en")
    hours = ("--from", "2026-06-01T08:00", "--to", "2026-06-01T10:00")
    result = command("annotate", "work", *hours, "--tag", "F1", "--board", "feeder", "--json")
    assert json.loads(result.stdout) == {"annotation": 1}
    (body,) = server.annotations
    at = round(datetime(2026, 6, 1, 8, tzinfo=UTC).timestamp() * 1000)
    assert body == {
        "text": "work",
        "time": at,
        "timeEnd": at + 7_200_000,
        "tags": ["meterline", "F1"],
        "dashboardUID": "meterline-feeder",
        "panelId": None,
    }
    assert command("annotate", "w", "--from", "2026-06-01T08:00", "--to", "2026-06-01T07:00").exit_code == 2


def test_what_grafana_refuses_ends_in_one_line(command: Command, server: GrafanaServer, tmp_path: Path) -> None:
    server.provisioned = True
    result = command("push")
    assert result.exit_code == 1
    assert "Cannot save provisioned dashboard" in result.stderr
    wrong = tmp_path / "wrong"
    wrong.write_text("x")
    unauthorised = CliRunner().invoke(app, ["boards", "diff", "--url", server.url, "--token-file", str(wrong)])
    assert unauthorised.exit_code == 1
    assert unauthorised.stderr.count("\n") == 1
    server.garbage = b"<html>"
    assert "doesn't answer as a Grafana does" in command("health").stderr


def test_a_path_before_the_api_and_an_organisation_are_kept() -> None:
    with serve("/grafana") as server:
        grafana = Grafana(f"{server.url}/", TOKEN, 3)
        assert grafana.health().version == "12.2.0"
        grafana.ensure_folder("f", "F")
        text = dumps(SHOWN[0])
        assert [grafana.push(text, "f", "m") for _ in range(2)] == [Pushed.CREATED, Pushed.UNCHANGED]
        assert server.organisations == {"3"}


def test_a_redirect_is_not_followed() -> None:
    with serve("/grafana") as server, pytest.raises(GrafanaError, match="TooManyRedirects"):
        Grafana(server.url.removesuffix("/grafana"), TOKEN).health()


@pytest.mark.parametrize(
    "url",
    ["grafana.example.org", "ftp://x", "http://grafana.example.org", "https://u:p@x", "https://", "https://x/?a=1"],
)
def test_an_address_that_may_not_be_called_is_refused(url: str) -> None:
    with pytest.raises(GrafanaError):
        Grafana(url, TOKEN)


def test_a_server_that_is_away_is_told() -> None:
    with pytest.raises(GrafanaError, match="can't be reached"):
        Grafana("http://127.0.0.1:9", TOKEN).health()
    with serve() as server:
        answer = Grafana(server.url, TOKEN).annotate("x", NOW, NOW + timedelta(hours=1), ["a"])
    assert answer == 1


def test_differences_pass_over_what_grafana_adds() -> None:
    wanted = {"uid": "a", "id": None, "panels": [{"id": 1, "x": None, "title": "T"}]}
    assert (
        differences(wanted, {**wanted, "id": 3, "version": 9, "panels": [{"id": 1, "title": "T", "more": False}]}) == []
    )
    assert differences(wanted, {"uid": "a", "panels": [{"id": 2, "title": "T"}]}) == ["panels[0].id"]
    variables = {"uid": "a", "templating": {"list": [{"name": "v"}]}}
    chosen = {"name": "v", "current": {"value": "x"}, "options": [{"value": "x"}], "skipUrlSync": True}
    assert differences(variables, {"uid": "a", "templating": {"list": [chosen]}, "graphTooltip": 1}) == []


def test_differences_tell_what_somebody_switched_on() -> None:
    wanted = {"uid": "a", "panels": [{"id": 1, "targets": [{"refId": "A"}]}]}
    target = {"refId": "A", "hide": True, "pluginVersion": "12.2.0"}
    there = {"uid": "a", "panels": [{"id": 1, "pluginVersion": "12.2.0", "transparent": True, "targets": [target]}]}
    assert sorted(differences(wanted, there)) == ["panels[0].targets[0].hide", "panels[0].transparent"]
