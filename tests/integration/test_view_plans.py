"""How the database finds what a worker holds of the grid model: by keys, whatever its statistics say."""

from __future__ import annotations

from typing import Any

from store.connection import connect
from store.sql import load_queries

_ARGUMENTS = {"unit_ids": [1, 2], "meters": ["M1"], "codes": ["A1"], "known_at": "infinity"}


def test_views_are_not_read_through_indexes_on_periods(database: Any) -> None:
    """Such an index leads through nearly all rows for each member, as was seen after a model had been loaded."""
    with connect(str(database.conninfo("app")), "test") as connection:
        connection.execute("set enable_seqscan = off")  # else a small table is read whole, whatever there is
        gist = {
            row[0]
            for row in connection.execute(
                "select c.relname from pg_index i join pg_class c on c.oid = i.indexrelid"
                " join pg_am a on a.oid = c.relam where a.amname = 'gist'"
            )
        }
        assert {"meter_state_once", "member_one_at_a_time"} <= gist
        plans = {
            name: "\n".join(row[0] for row in connection.execute(f"explain {query}", _ARGUMENTS))
            for name, query in load_queries("views").items()
        }
        assert "member_pkey" in plans["members"]
        assert {name: used for name, plan in plans.items() if (used := {i for i in gist if i in plan})} == {}
