"""Digests by which copies are compared."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from sync.targets.contract import digest_of

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)
BODIES = st.dictionaries(st.text(max_size=3), VALUES, max_size=4)


@given(BODIES)
def test_a_copy_that_went_through_json_in_another_order_has_the_same_digest(body: dict[str, Any]) -> None:
    copy = json.loads(json.dumps(dict(reversed(body.items()))))
    assert digest_of(copy) == digest_of(body)


@given(BODIES, BODIES)
def test_others_have_another(one: dict[str, Any], other: dict[str, Any]) -> None:
    same = json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True)
    assert (digest_of(one) == digest_of(other)) == same


def test_what_a_target_answers_without_sense_has_one_too() -> None:
    answered = json.loads('{"name": "\\ud800", "value": 1e400}')
    assert digest_of(answered) not in {digest_of({"name": None, "value": None}), digest_of({})}
