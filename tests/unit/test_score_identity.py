"""Which records the system takes to be one thing, against what they are."""

from meterline.score.identity import Named, score_identity
from twin.truth_files import Inconsistency

KINDS = {
    ("pms", "switches"): "switch", ("cim", "Breaker"): "switch", ("scada", "points"): "point",
    ("marketing", "meters"): "meter", ("gis", "meters"): "meter",
}  # fmt: skip
REFERENCES = {(system, table, f"{system}{n}"): f"S{n}" for system, table in list(KINDS)[:2] for n in range(6)}
POINT = ("scada", "points", "p0")
METERS = (("marketing", "meters", "m7"), ("gis", "meters", "g7"))
TOGETHER = {place: int(code[1:]) for place, code in REFERENCES.items()}


def of(kind: str, system: str, table: str, key: str, code: str) -> Inconsistency:
    return Inconsistency(system, table, key, code, kind, "name", "right", "wrong")


def test_what_is_with_the_others_of_its_thing_is_matched_and_what_is_with_another_s_is_wrong() -> None:
    truth = [of("renamed", "pms", "switches", f"pms{n}", f"S{n}") for n in range(3)]
    truth.append(of("misspelt", "cim", "Breaker", "cim3", "S3"))
    # 1 is by itself, and 2 with those of 5; of 4 nothing was renamed.
    entities = TOGETHER | {("pms", "switches", "pms1"): 11, ("pms", "switches", "pms2"): 5}
    found = score_identity(truth, REFERENCES, entities, KINDS)
    assert found.named["renamed"] == Named(things=3, matched=1, wrong=1)
    assert found.named["misspelt"] == Named(things=1, matched=1, wrong=0)
    # Those of 1 and 2 are alone, of 5 there are three.
    assert (found.records, found.wrong) == (9, 1)


def test_what_no_other_system_has_isn_t_counted_and_what_keys_tell_apart() -> None:
    references = {**REFERENCES, POINT: "S0", METERS[0]: "M7", METERS[1]: "M7"}
    entities = {**TOGETHER, POINT: 20, METERS[0]: 21, METERS[1]: 21}
    truth = [of("renamed", *POINT, "S0"), of("misspelt", *METERS[1], "M7"), of("missing", "pms", "switches", "x", "S9")]
    found = score_identity(truth, references, entities, KINDS)
    assert found.named == {
        "renamed": Named(0, 0, 0), "misspelt": Named(0, 0, 0), "misspelt_keyed": Named(1, 1, 0),
    }  # fmt: skip
    assert (found.records, found.wrong) == (14, 0)


def test_a_record_that_is_in_no_entity_is_not_matched() -> None:
    entities = {place: entity for place, entity in TOGETHER.items() if place[2] != "pms4"}
    found = score_identity([of("renamed", "pms", "switches", "pms4", "S4")], REFERENCES, entities, KINDS)
    assert found.named["renamed"] == Named(1, 0, 0)
