from dataclasses import replace

import pytest

from streams.steps.usage_decide import (
    INNOCENT,
    AccountFacts,
    Conclusion,
    Evidence,
    UsageKind,
    UsageLimits,
    decide,
    suspicion,
    theft_log_ratio,
)

QUIET = Evidence(
    fall=-5, rise=-5, share=0.2, growth=0.2, usual_w=500, recent_w=480, since_days=3, zero_run=0, flat_run=1,
    negative_run=0, slots=96,
)  # fmt: skip
FELL = replace(QUIET, fall=12.0, share=0.7, recent_w=150, since_days=28)
BLAMED = replace(FELL, blame=300.0, blamed_wh=200_000, area_loss_wh=400_000)


#: The loss follows it.
LESS = replace(QUIET, undercount=20.0, undercount_wh=9_000.0, blame=0.0)


@pytest.mark.parametrize(
    ("evidence", "facts", "kind"),
    [
        (QUIET, AccountFacts(), None),
        (QUIET, AccountFacts(active=False), UsageKind.NO_CONTRACT),
        (FELL, AccountFacts(vacant=True), UsageKind.VACANCY),
        (FELL, AccountFacts(moved=True), UsageKind.VACANCY),
        (FELL, AccountFacts(tariff_changed=True), UsageKind.TARIFF_CHANGE),
        (FELL, AccountFacts(meter_changed=True), UsageKind.METER_FAULT),
        (FELL, AccountFacts(), UsageKind.UNEXPLAINED),
        (BLAMED, AccountFacts(), UsageKind.THEFT),
        (BLAMED, AccountFacts(vacant=True), UsageKind.THEFT),
        (BLAMED, AccountFacts(meter_changed=True), UsageKind.METER_FAULT),
        (replace(BLAMED, blame=5.0), AccountFacts(), UsageKind.UNEXPLAINED),
        (replace(BLAMED, blamed_wh=100.0), AccountFacts(), UsageKind.UNEXPLAINED),
        (LESS, AccountFacts(), UsageKind.THEFT),
        (LESS, AccountFacts(meter_changed=True), UsageKind.METER_FAULT),
        (replace(LESS, undercount=11.0), AccountFacts(), None),
        (replace(LESS, undercount=11.0, fall=5.0), AccountFacts(), UsageKind.THEFT),
        (replace(LESS, undercount=0.0, fall=20.0), AccountFacts(vacant=True), UsageKind.VACANCY),
        (replace(BLAMED, misplaced=True), AccountFacts(), UsageKind.WRONG_RECORD),
        (replace(QUIET, zero_run=3, current_present=True), AccountFacts(), UsageKind.METER_FAULT),
        (replace(QUIET, flat_run=96 * 4), AccountFacts(), UsageKind.METER_FAULT),
        (replace(QUIET, zero_run=96 * 4, flat_run=96 * 4), AccountFacts(), None),
        (replace(QUIET, negative_run=96), AccountFacts(), UsageKind.METER_FAULT),
        (replace(QUIET, rise=9.0), AccountFacts(), UsageKind.APPLIANCE),
        (replace(QUIET, fall=float("nan"), rise=float("nan"), usual_w=float("nan")), AccountFacts(), None),
    ],
)
def test_what_it_is(evidence: Evidence, facts: AccountFacts, kind: UsageKind | None) -> None:
    said = decide(evidence, facts)
    assert (None if said is None else said.kind) == kind
    if said is not None:
        assert 0 < said.confidence < 1
        assert said.reasons
        assert said.kind not in INNOCENT or said.expected_wh == 0


def concluded(evidence: Evidence, facts: AccountFacts, *limits: UsageLimits) -> Conclusion:
    said = decide(evidence, facts, *limits)
    assert said is not None
    return said


def test_what_would_be_recovered() -> None:
    assert concluded(BLAMED, AccountFacts()).expected_wh == 200_000
    assert concluded(FELL, AccountFacts()).expected_wh == pytest.approx(350 * 24 * 28)
    assert concluded(FELL, AccountFacts(), UsageLimits(days=14)).expected_wh == pytest.approx(350 * 24 * 14)


def test_an_excuse_makes_a_theft_less_sure_and_a_fall_makes_it_surer() -> None:
    sure = concluded(BLAMED, AccountFacts()).confidence
    assert concluded(BLAMED, AccountFacts(vacant=True)).confidence < sure
    assert concluded(replace(BLAMED, fall=0.0), AccountFacts()).confidence < sure


def test_a_flag_is_evidence_and_no_proof() -> None:
    away = AccountFacts(vacant=True)
    assert suspicion(10.0, away) == 10.0 - UsageLimits().flag
    assert suspicion(10.0, AccountFacts()) == 10.0
    assert suspicion(10.0, away) > suspicion(5.0, AccountFacts()), "who fell far stays above who hardly fell"
    far, near = (concluded(replace(FELL, fall=fall), away) for fall in (20.0, 7.0))
    assert far.kind is near.kind is UsageKind.VACANCY
    assert far.confidence < near.confidence


def test_two_witnesses_add_up_and_one_that_only_fell_says_nothing() -> None:
    assert theft_log_ratio(10.0, 3.0) == 13.0
    assert theft_log_ratio(10.0, -3.0) == theft_log_ratio(10.0, float("nan")) == 10.0
    assert theft_log_ratio(0.0, 30.0) == 0.0, "an empty home leaves no loss"
    assert theft_log_ratio(10.0, 30.0) == theft_log_ratio(10.0, 300.0), "how far honest homes fall is known less well"


def test_confidence_follows_what_both_say() -> None:
    near = concluded(replace(LESS, undercount=15.5), AccountFacts())
    sure = concluded(LESS, AccountFacts())
    assert near.confidence < concluded(replace(LESS, undercount=15.5, fall=4.0), AccountFacts()).confidence
    assert near.confidence < sure.confidence < 1.0
    assert sure.expected_wh == 9_000.0
    assert sure.reasons == ("loss_follows_it",)
    assert concluded(replace(BLAMED, undercount=20.0), AccountFacts()).reasons[:2] == (
        "explains_loss",
        "loss_follows_it",
    )
