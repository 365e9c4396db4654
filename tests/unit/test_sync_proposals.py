"""Who may do what with a proposal, and what it comes to."""

from datetime import UTC, datetime, timedelta
from itertools import product

import pytest

from sync.authority import Authority, AuthorityRow
from sync.conflicts.vote import Said, minority
from sync.proposals.lifecycle import Action, ProposalState, RefusedActionError, Standing, next_state
from sync.proposals.plan import Conflict, NothingToProposeError, plan_proposal

AT = datetime(2026, 6, 1, tzinfo=UTC)


def standing(
    state: ProposalState = ProposalState.OPEN, *approved: str, needed: int = 2, model: bool = True
) -> Standing:
    return Standing(state, "wang", approved, needed, model)


def test_two_others_approve() -> None:
    assert next_state(standing(), Action.APPROVE, "li") is ProposalState.OPEN
    assert next_state(standing(ProposalState.OPEN, "li"), Action.APPROVE, "zhao") is ProposalState.APPLIED
    assert next_state(standing(ProposalState.OPEN, "li", model=False), Action.APPROVE, "zhao") is ProposalState.APPROVED
    for by, approved in (("wang", ()), ("li", ("li",))):
        with pytest.raises(RefusedActionError):
            next_state(standing(ProposalState.OPEN, *approved), Action.APPROVE, by)


def test_one_is_enough_where_one_is_asked_for() -> None:
    assert next_state(standing(needed=1), Action.APPROVE, "wang") is ProposalState.APPLIED


def test_every_state_takes_just_these_actions() -> None:
    possible = set()
    for state, action in product(ProposalState, Action):
        try:
            next_state(standing(state, "x"), action, "wang" if action is Action.WITHDRAW else "li")
            possible.add((state.value, action.value))
        except RefusedActionError:
            pass
    assert possible == {
        ("open", "approve"), ("open", "correct"), ("open", "reject"), ("open", "withdraw"), ("approved", "reject"),
        ("approved", "withdraw"), ("applied", "undo"),
    }  # fmt: skip


def test_only_who_proposed_it_withdraws_it() -> None:
    assert next_state(standing(), Action.WITHDRAW, "wang") is ProposalState.WITHDRAWN
    with pytest.raises(RefusedActionError, match="wang has proposed it"):
        next_state(standing(), Action.WITHDRAW, "li")


def test_who_corrected_a_proposal_does_not_approve_it() -> None:
    corrected = Standing(ProposalState.OPEN, "wang", (), 2, changes_model=True, corrected_by="li")
    with pytest.raises(RefusedActionError, match="li has corrected it"):
        next_state(corrected, Action.APPROVE, "li")
    with pytest.raises(RefusedActionError, match="another system"):
        next_state(standing(model=False), Action.CORRECT, "li")


def conflict(**said: str | None) -> Conflict:
    values = {name.replace("__", "."): value for name, value in said.items()}
    return Conflict("relation_differs", "meter", "M1", "area", "model", "meter", "M1", "A2", "A1", values)


def test_the_model_follows_what_the_systems_say_together() -> None:
    plan = plan_proposal(conflict(marketing__meters="A2", gis__meters="A2", model="A1"), Authority(), AT)
    assert plan.target == "model"
    assert plan.change == {
        "kind": "meter_move", "meter": "M1", "unit": "A2", "leaving": "A1", "valid_from": AT.isoformat(),
    }  # fmt: skip
    assert plan.inverse == {
        "kind": "meter_move", "meter": "M1", "unit": "A1", "leaving": "A2", "valid_from": AT.isoformat(),
    }  # fmt: skip


def test_the_only_believed_system_is_followed_and_another_is_corrected() -> None:
    def tariff(system: str) -> Conflict:
        said = {f"{system}.customers/7": "commercial", "model": "household"}
        return Conflict(
            "field_differs", "account", "A7", "tariff_class", system, "customers", "7", "household", "commercial", said
        )

    followed = plan_proposal(tariff("marketing"), Authority(), AT)
    assert followed.target == "model"
    assert followed.change is not None
    assert followed.change["tariff_class"] == "commercial"
    corrected = plan_proposal(tariff("scada"), Authority(), AT)
    assert corrected.target == "scada"
    assert corrected.change is None
    assert corrected.after["tariff_class"] == "household"


def test_what_no_change_mends_is_not_proposed() -> None:
    said = {"pms.transformers/1": "North", "gis.transformers/1": "North", "model": "South"}
    of = Conflict("field_differs", "area", "A1", "name", "model", "area", "A1", "North", "South", said)
    with pytest.raises(NothingToProposeError, match="area name"):
        plan_proposal(of, Authority(), AT)
    half = Conflict(
        "field_differs", "meter", "M1", "multiplier", "model", "meter", "M1", "1.5", "1", {"a.b/1": "1.5", "model": "1"}
    )
    with pytest.raises(NothingToProposeError, match=r"1\.5"):
        plan_proposal(half, Authority(), AT)


def test_authority_holds_from_when_it_is_valid() -> None:
    row = AuthorityRow("meter", "area", ("gis",), AT, AT)
    assert Authority([row], AT).order("meter", "area") == ("gis",)
    assert Authority([row], AT - timedelta(days=1)).order("meter", "area") == ("marketing", "gis")
    assert Authority().order("meter", "multiplier") == ("marketing", "gis")


def test_the_minority_differs_and_a_tie_goes_by_the_model_then_by_rank() -> None:
    a, b, m = Said("pms", "t", 0, 1.0), Said("gis", "t", 0, 2.0), Said("model", None, None, 1.0)
    assert minority([a, b, m], ("gis",)) == (1.0, [b])
    assert minority([b, m], ("gis",)) == (1.0, [b])
    assert minority([a, b], ("gis", "pms")) == (2.0, [a])
    assert minority([a], ()) == (1.0, [])
    believed, others = minority([Said("x", "t", 0, 0.1 + 0.2), Said("y", "t", 0, 0.3)], ())
    assert believed == pytest.approx(0.3)
    assert others == []
