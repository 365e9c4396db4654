"""The list of suspects as a terminal shows it."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from meterline.cli_usage import _print_table
from meterline.usage import Suspect
from store.usage_findings import UsageFinding


def test_figures_and_days_stay_whole_on_a_narrow_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    at = datetime(2026, 3, 14, tzinfo=UTC)
    finding = UsageFinding(
        finding_id=12_345, unit="LV3.101", meter="LV3.101-m17", kind="zero_with_current", source="live",
        confidence=0.8, begin_at=at, opened_at=at, seen_at=at, ended_at=None, expected_wh=341_000,
        expected_money=1_102.41, reasons=["rule_zero_with_current"], alert_id=1_234, result=None,
    )  # fmt: skip
    _print_table([Suspect(finding, 0.98, 335_000.0)])
    shown = capsys.readouterr().out
    for whole in ("12345", "2026-03-14", "341", "1102.41", "0.98", "335", "1234", "finding", "chance"):
        assert whole in shown
    assert "…" not in shown
