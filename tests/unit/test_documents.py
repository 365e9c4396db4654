"""The documents say what the code has: links lead somewhere, and nothing that a user can set or call is left out."""

import dataclasses
import re
import tomllib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import UnionType
from typing import Any, get_args

import pytest
import typer
from prometheus_client.registry import Collector
from pydantic import BaseModel

from grid.errors import QUARANTINED, Reason
from ingest.gaps import AskLimits
from ingest.resend import Resender
from ingest.sources.mqtt import Bridge, BridgeSettings
from meterline.cli import app
from meterline.config import Settings
from meterline.metrics import WorkerMetrics
from meterline.metrics_bridge import BridgeMetrics
from meterline.schemas import all_schemas
from meterline.settings.alerts import AlertWebhookTarget, CalendarSection, ChannelSection, RouteSection, WebhookTarget
from meterline.verify import Verdict
from streams.counters import Vitals
from tests.memory_ledger import MemoryLedger

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "deploy").rglob("*.md")])


def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_to_files(path: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", path.read_text(encoding="utf-8"))
    local = [link for link in links if not re.match(r"[a-z]+:", link)]
    assert [link for link in local if not (path.parent / link).exists()] == []


@pytest.mark.parametrize("name", [p.name for p in (ROOT / "docs").rglob("*.md") if p.name != "README.md"])
def test_every_document_is_in_the_index(name: str) -> None:
    assert f"/{name})" in text("docs/README.md")


def commands(command: Any, name: str) -> Iterator[tuple[str, Any]]:
    children = getattr(command, "commands", None)
    if children is None:
        yield name, command
        return
    for sub, child in children.items():
        yield from commands(child, f"{name} {sub}")


def test_command_line_names_every_command_and_option() -> None:
    document = text("docs/reference/command-line.md")
    found = dict(commands(typer.main.get_command(app), "meterline"))
    assert "meterline rejected list" in found
    lacking = [name for name in found if f"`{name}" not in document]
    for name, command in found.items():
        options = [p.opts[0] for p in command.params if p.param_type_name == "option"]
        lacking += [f"{name} {option}" for option in options if option != "--help" and option not in document]
    assert lacking == []


def test_command_line_explains_every_figure_of_a_run() -> None:
    document = text("docs/reference/command-line.md")
    assert [f.name for f in dataclasses.fields(Verdict) if f"`{f.name}`" not in document] == []


def families(*collectors: Collector) -> Iterator[str]:
    for collector in collectors:
        for family in collector.collect():
            yield f"{family.name}_total" if family.type == "counter" else family.name


def test_metrics_explain_all_that_workers_and_the_bridge_tell() -> None:
    resender = Resender(MemoryLedger(), AskLimits(), lambda: 0.0)
    bridge = Bridge(BridgeSettings("nowhere", 1, "bridge", ""), None, None, resender=resender)  # type: ignore[arg-type]
    document = text("docs/reference/metrics.md")
    names = list(families(WorkerMetrics(Vitals()), BridgeMetrics(bridge)))
    assert {"meterline_points_messages_total", "meterline_bridge_gaps_open"} <= set(names)
    assert [name for name in names if f"`{name}`" not in document] == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_table_says_the_same_twice(path: Path) -> None:
    """Two forms of one row are what a merge leaves that took both sides."""
    for table in re.findall(r"(?:^\|.*\n)+", path.read_text(encoding="utf-8"), re.MULTILINE):
        rows = [(first, second[:40]) for _, first, second, *_ in (row.split("|") for row in table.splitlines())]
        assert [row for row, times in Counter(rows).items() if times > 1] == []


def settings(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    for name, field in model.model_fields.items():
        annotation: Any = field.annotation
        kinds = get_args(annotation) if isinstance(annotation, UnionType) else (annotation,)
        section: Any = next((kind for kind in kinds if is_section(kind)), None)
        if section is None:
            yield prefix + name
        else:
            yield from settings(section, f"{prefix}{name}.")


def is_section(kind: object) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def test_configuration_names_every_setting() -> None:
    document = text("docs/reference/configuration.md")
    lists = (WebhookTarget, AlertWebhookTarget, ChannelSection, RouteSection, CalendarSection)
    names = [*settings(Settings), *(name for section in lists for name in section.model_fields)]
    assert "database.password_file" in names
    assert [name for name in names if f"`{name}`" not in document] == []


def test_database_names_every_table() -> None:
    document = text("docs/reference/database.md")
    made = "".join(path.read_text(encoding="utf-8") for path in sorted((ROOT / "store/migrations").glob("*.sql")))
    tables = re.findall(r"^create (?:table|view) ([a-z_.]+)", made, re.MULTILINE)
    assert "loss.balance" in tables
    assert [table for table in tables if f"`{table}`" not in document] == []


def test_messages_name_every_reason_and_what_is_quarantined() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \|[^|]*\|[^|]*\|([^|]*)\|$", text("docs/reference/messages.md"), re.MULTILINE))
    assert set(rows) == {reason.value for reason in Reason}
    assert {name for name, quarantined in rows.items() if quarantined.strip()} == {r.value for r in QUARANTINED}


def test_published_schemas_are_up_to_date() -> None:
    folder = ROOT / "docs/reference/schemas"
    assert {path.name: path.read_text(encoding="utf-8") for path in folder.glob("*.json")} == all_schemas(), (
        "run meterline schemas docs/reference/schemas"
    )


def test_every_direct_dependency_has_its_reason() -> None:
    project = tomllib.loads(text("pyproject.toml"))["project"]
    wanted = [*project["dependencies"], *project["optional-dependencies"]["test"]]
    names = [re.split(r"[\[<>=!~ ]", requirement)[0] for requirement in wanted]
    document = text("docs/decisions/0004-libraries.md")
    assert [name for name in names if name not in document] == []
