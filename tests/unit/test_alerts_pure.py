"""The pure parts of alerts: life, sense, routes, outages, forms of a notice."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alerts.formats import events_of, to_alertmanager, to_annotation, to_cloud_event, to_text
from alerts.lifecycle import LIVE, TRANSITIONS, Action, IllegalTransitionError, State, next_state
from alerts.messages import MAX_ENDS, MAX_EVENTS, AlertNotice, AlertWebhook, compose
from alerts.outages import GaspingArea, GaspRule, dead_areas, gasp_outages
from alerts.routing import Channel, Role, Route, Routing, Subject, Tier
from alerts.sense import Circumstances, Do, SenseRule, SenseRules, decide
from grid.calendar import Calendar
from grid.finding import Finding, Severity
from grid.network import SwitchPosition
from grid.switching import NO_REPORTS, PositionPeriod
from grid.topology import END_US, wire_network
from tests.small_network import small_network

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
SHANGHAI = ZoneInfo("Asia/Shanghai")


def s(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


class TestLifecycle:
    def test_the_table_by_hand(self) -> None:
        assert next_state(State.OPEN, Action.ACKNOWLEDGE) is State.ACKNOWLEDGED
        assert next_state(State.ACKNOWLEDGED, Action.START) is State.IN_PROGRESS
        assert next_state(State.IN_PROGRESS, Action.CONFIRM) is State.RESOLVED
        assert next_state(State.RESOLVED, Action.CLOSE) is State.CLOSED
        assert next_state(State.CLOSED, Action.REOPEN) is State.OPEN

    @given(st.sampled_from(State), st.lists(st.sampled_from(Action), max_size=30))
    def test_every_way_stays_in_the_table(self, state: State, actions: list[Action]) -> None:
        for action in actions:
            if action in TRANSITIONS[state]:
                state = next_state(state, action)
            else:
                with pytest.raises(IllegalTransitionError, match="possible"):
                    next_state(state, action)

    def test_every_state_is_reached_and_left(self) -> None:
        assert set(TRANSITIONS) == set(State)
        reached = {to for steps in TRANSITIONS.values() for to in steps.values()}
        assert reached == set(State)
        assert all(State.CLOSED in TRANSITIONS[s].values() or s is State.CLOSED for s in State)

    def test_only_reopening_leads_back(self) -> None:
        back = [
            action
            for state in (State.RESOLVED, State.CLOSED)
            for action, to in TRANSITIONS[state].items()
            if to in LIVE
        ]
        assert set(back) == {Action.REOPEN}


class TestFinding:
    def finding(self, **fields: Any) -> Finding:
        return Finding(**{
            "kind": "x", "severity": Severity.INFO, "unit": "A1", "fingerprint": "x:A1", "begin": NOW, "seen_at": NOW,
            **fields,
        })  # fmt: skip

    @pytest.mark.parametrize(
        "fields",
        [
            {"kind": "X!"},
            {"kind": ""},
            {"unit": ""},
            {"fingerprint": ""},
            {"fingerprint": "x" * 201},
            {"begin": NOW.replace(tzinfo=None)},
            {"seen_at": NOW - timedelta(seconds=1)},
            {"figures": {"profile": [1, 2, 3]}},
            {"figures": {"profile": "1," * 200}},
            {"figures": {"rate": float("nan")}},
            {"figures": {str(n): n for n in range(33)}},
        ],
    )
    def test_what_is_none_is_refused(self, fields: dict[str, Any]) -> None:
        with pytest.raises(ValueError, match=r"\w"):
            self.finding(**fields)

    def test_figures_cannot_be_changed_afterwards(self) -> None:
        with pytest.raises(TypeError):
            self.finding(figures={"n": 1}).figures["n"] = 2  # type: ignore[index]


class TestSense:
    def test_by_hand(self) -> None:
        rule = SenseRule(hold_s=10, clear_s=20)
        new = Circumstances(NOW)
        assert (decide(new, rule, s(9)).do, decide(new, rule, s(9)).due_at) == (Do.WAIT, s(10))
        assert decide(new, rule, s(10)).do is Do.OPEN
        live = Circumstances(NOW, alert_state=State.ACKNOWLEDGED, own_alert=True)
        assert decide(live, rule, s(10)).do is Do.UPDATE
        over = Circumstances(NOW, s(30), State.OPEN, own_alert=True)
        assert (decide(over, rule, s(49)).do, decide(over, rule, s(49)).due_at) == (Do.WAIT, s(50))
        assert decide(over, rule, s(50)).do is Do.RESOLVE
        assert decide(Circumstances(NOW, s(30)), rule, s(50)).do is Do.NOTHING
        assert decide(Circumstances(NOW, s(30), State.OPEN, True, holds_again=True), rule, s(50)).do is Do.NOTHING
        assert decide(Circumstances(NOW, None, State.CLOSED, True), rule, s(50)).do is Do.NOTHING

    @pytest.mark.parametrize(
        ("kind", "around", "held_by"),
        [
            ("outage", {"out_of_supply": True, "without_data": True}, None),
            ("outage", {"in_maintenance": True}, "maintenance"),
            ("high_loss", {"out_of_supply": True}, "outage"),
            ("high_loss", {"without_data": True}, None),
            ("theft_bypass", {"without_data": True}, "missing_data"),
            ("theft_bypass", {"out_of_supply": True, "without_data": True}, "outage"),
        ],
    )
    def test_what_waits_for_what(self, kind: str, around: dict[str, bool], held_by: str | None) -> None:
        decision = decide(Circumstances(NOW, **around), SenseRules().of(kind), s(60))  # type: ignore[arg-type]
        assert (decision.held_by, decision.do) == (held_by, Do.OPEN if held_by is None else Do.WAIT)

    @given(st.floats(0, 1e4), st.floats(0, 1e4), st.floats(0, 1e4))
    def test_what_waits_is_looked_at_again(self, hold: float, clear: float, after: float) -> None:
        rule = SenseRule(hold, clear)
        for around in (Circumstances(NOW), Circumstances(NOW, s(1), State.OPEN, True)):
            decision = decide(around, rule, s(after))
            assert (decision.do is Do.WAIT) == (decision.due_at is not None)
            if decision.due_at is not None:
                assert decision.due_at > s(after)


class TestCalendar:
    office = Calendar(SHANGHAI, frozenset(range(5)), time(8, 30), time(17, 30))
    night = Calendar(SHANGHAI, frozenset(range(7)), time(17), time(8))

    def at(self, text: str) -> datetime:
        return datetime.fromisoformat(text).replace(tzinfo=SHANGHAI)

    @pytest.mark.parametrize(
        ("when", "is_open"),
        [
            ("2026-11-20T08:29:59", False),  # a Friday
            ("2026-11-20T08:30", True),
            ("2026-11-20T17:30", False),
            ("2026-11-21T10:00", False),
        ],
    )
    def test_office_hours(self, when: str, is_open: bool) -> None:
        assert self.office.is_open(self.at(when)) == is_open

    def test_in_the_utilitys_zone_whatever_the_zone_of_the_instant(self) -> None:
        assert self.office.is_open(datetime(2026, 11, 20, 1, tzinfo=UTC))  # 09:00 there
        assert not self.office.is_open(datetime(2026, 11, 20, 10, tzinfo=UTC))

    def test_a_night_shift_ends_on_the_next_day(self) -> None:
        assert self.night.is_open(self.at("2026-11-20T23:00"))
        assert self.night.is_open(self.at("2026-11-21T07:59"))
        assert not self.night.is_open(self.at("2026-11-21T12:00"))

    def test_when_it_opens_next(self) -> None:
        assert self.office.next_open(self.at("2026-11-20T18:00")) == self.at("2026-11-23T08:30")
        assert self.office.next_open(self.at("2026-11-20T10:00")) == self.at("2026-11-20T10:00")

    def test_holidays_and_working_weekends(self) -> None:
        spring = Calendar(
            SHANGHAI, self.office.weekdays, self.office.opens, self.office.closes,
            {date(2026, 11, 23): False, date(2026, 11, 22): True},
        )  # fmt: skip
        assert spring.is_open(self.at("2026-11-22T10:00"))
        assert not spring.is_open(self.at("2026-11-23T10:00"))
        assert spring.next_open(self.at("2026-11-22T18:00")) == self.at("2026-11-24T08:30")

    @given(st.integers(0, 730 * 1_440), st.times(), st.times())
    def test_it_is_open_when_it_opens_next(self, minute: int, opens: time, closes: time) -> None:
        berlin = ZoneInfo("Europe/Berlin")  # with days of 23 and 25 hours
        calendar = Calendar(berlin, frozenset({0, 2, 5}), opens, closes)
        instant = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=minute)
        found = calendar.next_open(instant)
        assert found >= instant
        assert calendar.is_open(found) or found == instant


class TestRouting:
    def subject(self, kind: str, unit: str = "A1", severity: Severity = Severity.WARNING) -> Subject:
        return Subject(kind, severity, unit, "F1")

    def test_by_default(self) -> None:
        roles = ("control_room", "customer_service", "marketing", "metering", "field_crew")
        routing = Routing(tuple(Channel(role, frozenset({role})) for role in roles))
        told = {
            kind: set(routing.tell(self.subject(kind), NOW)) for kind in ("outage", "high_loss", "negative_loss", "?")
        }
        assert told == {
            "outage": {"control_room", "customer_service"},
            "high_loss": {"marketing"},
            "negative_loss": {"metering"},
            "?": {"control_room"},
        }
        assert routing.owner(self.subject("theft_bypass"))[0] == "marketing"
        assert [tier.after_s for tier in routing.owner(self.subject("outage"))[1]] == [600, 1_800]

    def test_shifts_and_what_waits_for_the_morning(self) -> None:
        office = TestCalendar.office
        night = Calendar(SHANGHAI, frozenset(range(7)), time(17, 30), time(8, 30))
        routing = Routing(
            (Channel("desk", frozenset({"marketing"})), Channel("duty", frozenset({"control_room"}))),
            (
                Route(Role.MARKETING, ("high_loss",), calendar=office, hold=True),
                Route(Role.CONTROL_ROOM, ("high_loss",), min_severity=Severity.CRITICAL, calendar=night),
            ),
        )
        late = datetime(2026, 11, 20, 22, tzinfo=SHANGHAI)
        morning = datetime(2026, 11, 23, 8, 30, tzinfo=SHANGHAI)
        assert routing.tell(self.subject("high_loss"), late) == {"desk": morning}
        critical = self.subject("high_loss", severity=Severity.CRITICAL)
        assert routing.tell(critical, late) == {"desk": morning, "duty": late}
        noon = datetime(2026, 11, 20, 12, tzinfo=SHANGHAI)
        assert routing.tell(critical, noon) == {"desk": noon}

    def test_a_gap_between_two_shifts_loses_nothing(self) -> None:
        routing = Routing((Channel("desk"),), (Route(Role.MARKETING, calendar=TestCalendar.office),))
        sunday = datetime(2026, 11, 22, 12, tzinfo=SHANGHAI)
        assert routing.tell(self.subject("x"), sunday) == {"desk": sunday}

    def test_units_by_their_code_or_their_feeders(self) -> None:
        route = Route(Role.FIELD_CREW, units=("F1", "B*"))
        assert route.matches(self.subject("x", "A1"))
        assert route.matches(Subject("x", Severity.INFO, "B7", "F9"))
        assert not route.matches(Subject("x", Severity.INFO, "A1", "F9"))

    def test_tiers_out_of_order_are_refused(self) -> None:
        with pytest.raises(ValueError, match="follow each other"):
            Route(Role.MARKETING, tiers=(Tier(60, Role.MARKETING), Tier(60, Role.CONTROL_ROOM)))


class TestOutages:
    def test_what_a_breaker_takes_away(self) -> None:
        wiring = wire_network(small_network())
        assert dead_areas(wiring, NO_REPORTS, 0) == {}
        breaker = wiring.switches.index("F1-B")
        reports = NO_REPORTS.replaced(breaker, [PositionPeriod(SwitchPosition.OPEN, 10, END_US)])
        assert dead_areas(wiring, reports, 9) == {}
        assert dead_areas(wiring, reports, 10) == {"F1-A": "F1-B", "F1-C": "F1-B", "F1-D": "F1-B"}

    def area(self, n: int, gasping: int, feeder: str = "F1", meters: int = 100, areas: int = 10) -> GaspingArea:
        return GaspingArea(f"A{n}", feeder, s(n), gasping, meters, areas)

    def test_gasps_by_hand(self) -> None:
        def codes(areas: list[GaspingArea], out: frozenset[str] = frozenset()) -> list[str]:
            return [f.fingerprint for f in gasp_outages(areas, GaspRule(), out, s(60))]

        assert codes([self.area(1, 14), self.area(2, 2, meters=5)]) == []
        assert codes([self.area(1, 15)]) == ["outage:A1"]
        # Alone, and its feeder's others may be on their way.
        assert codes([self.area(41, 15)]) == []
        assert codes([self.area(n, 20) for n in (41, 42, 43)]) == ["outage:F1"]
        assert codes([self.area(n, 20) for n in range(2)]) == ["outage:A0", "outage:A1"]
        assert codes([self.area(n, 20) for n in range(3)]) == ["outage:F1"]
        assert codes([self.area(n, 20) for n in range(3)], frozenset({"A0", "A1", "A2"})) == []

    @given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 100), st.sampled_from("FGH")), max_size=30))
    def test_each_area_is_in_one_finding_at_most(self, rows: list[tuple[int, int, str]]) -> None:
        areas = list({n: self.area(n, gasping, feeder) for n, gasping, feeder in rows}.values())
        found = gasp_outages(areas, GaspRule(), frozenset(), s(60))
        named = [area for finding in found for area in finding.evidence["areas"]]
        assert len(named) == len(set(named))
        assert set(named) == {a.area for a in areas if a.gasping >= 15}


def event(n: int, kind: str = "alert.opened", **figures: Any) -> AlertWebhook:
    notice = AlertNotice(
        n, f"x:{n}", "theft_bypass", "warning", "open", "marketing", "A1", "area", "North", NOW, figures, "m-1",
        f"https://c/alerts/{n}",
    )  # fmt: skip
    return AlertWebhook(kind, NOW, notice)  # type: ignore[arg-type]


class TestReach:
    def test_roles_to_which_alerts_lead_and_nobody_listens(self) -> None:
        routes = (Route(Role.MARKETING, tiers=(Tier(60, Role.METERING),)),)
        assert Routing(routes=routes).unreached() == ["control_room", "marketing", "metering"]
        some = (Channel("desk", frozenset({"marketing", "control_room"})),)
        assert Routing(some, routes).unreached() == ["metering"]
        assert Routing((*some, Channel("all")), routes).unreached() == []


class TestForms:
    def test_one_is_itself_and_several_are_a_group(self) -> None:
        one = compose(None, "g", [event(1)], None)
        assert (one["type"], one["data"]["alert_id"]) == ("alert.opened", 1)
        two = compose(one, "g", [event(2)], "https://c")
        assert (two["type"], two["data"]["count"]) == ("alert.group", 2)
        assert [e["data"]["alert_id"] for e in events_of(two)] == [1, 2]

    @given(st.lists(st.integers(0, 80), min_size=1, max_size=5))
    def test_all_are_counted_and_a_bound_of_them_told(self, sizes: list[int]) -> None:
        body, total = None, 0
        for size in sizes:
            body = compose(body, "g", [event(n) for n in range(total, total + size)], None) if size else body
            total += size
        if body is not None:
            assert len(events_of(body)) == min(total, MAX_EVENTS)
            assert total == (body["data"]["count"] if body["type"] == "alert.group" else 1)

    def test_a_receiver_with_a_list_of_its_own_learns_of_every_end(self) -> None:
        opened = [event(n) for n in range(150)]
        ends = [event(n, "alert.resolved") for n in range(150)]
        body = compose(compose(None, "g", opened, None, every_end=True), "g", ends, None, every_end=True)
        kinds = [e["type"] for e in events_of(body)]
        assert (kinds.count("alert.opened"), kinds.count("alert.resolved")) == (MAX_EVENTS, 150)
        assert body["data"]["count"] == 300
        many = compose(body, "g", ends * 100, None, every_end=True)
        assert (len(events_of(many)), many["data"]["count"]) == (MAX_ENDS, 15_300)

    def test_alertmanager_takes_the_newest_of_each(self) -> None:
        body = compose(None, "g", [event(1), event(2), event(1, "alert.resolved")], None)
        first, second = to_alertmanager(body)
        assert first["labels"]["code"] == "x:1"
        assert first["endsAt"] == "2026-11-22T12:00:00Z"
        assert second["endsAt"] == "2026-11-29T12:00:00Z"
        assert "severity" not in first["labels"]  # it changes, and would be another alert

    def test_a_cloud_event_has_what_the_standard_asks_for(self) -> None:
        made = to_cloud_event(compose(None, "g", [event(1)], None), "id-1", "/meterline/alerts")
        assert {"specversion", "id", "source", "type"} <= set(made)
        assert made["specversion"] == "1.0"
        assert all(isinstance(made[name], str) and made[name] for name in made if name != "data")

    def test_texts_for_people_are_short(self) -> None:
        title, body = to_text(compose(None, "theft_bypass:F1", [event(n) for n in range(60)], "https://c"))
        assert title == "60 events: theft_bypass:F1"
        assert body.endswith("- and 40 more\nhttps://c")
        assert len(to_annotation(compose(None, "g", [event(n) for n in range(60)], None), "d")["tags"]) <= 50
