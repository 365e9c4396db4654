"""The SimBench data set as it lies in its wheel: semicolon-separated tables, read without the package's own code.

The package itself cannot be imported: it is installed without its dependencies, for its data alone (ODbL).
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import csv

#: All voltage levels of the present-day scenario, with every switch.
NETWORK = "1-complete_data-mixed-all-0-sw"
#: Quarter-hours of the profiles' leap year.
PROFILE_ROWS = 366 * 96
#: The first row's instant: local midnight in Germany. Rows follow each other by 15 minutes of real time, through
#: both changes to and from summer time, so a row is an instant and not a reading of the clock on the wall.
PROFILE_START = datetime(2015, 12, 31, 23, tzinfo=UTC)

_QUARTER_S = 900
_DAY_S = 86_400


class DataMissingError(RuntimeError):
    """The SimBench data are not installed, or not the ones that are expected."""


def data_folder(network: str = NETWORK) -> Path:
    """Folder of one SimBench network in the installed wheel.

    Raises
    ------
    DataMissingError
        Saying what to install.
    """
    spec = importlib.util.find_spec("simbench")
    for location in (spec.submodule_search_locations or []) if spec else []:
        folder = Path(location) / "networks" / network
        if folder.is_dir():
            return folder
    raise DataMissingError(
        f"the SimBench network {network} is not installed: pip install --no-deps -r requirements/data.lock"
    )


def read_table(folder: Path, name: str, **types: pa.DataType) -> dict[str, list[object]]:
    """Columns of a table by name; a column is text unless `types` says otherwise, and NULL is None.

    Only the columns in `types` are read.
    """
    table = csv.read_csv(
        folder / f"{name}.csv",
        parse_options=csv.ParseOptions(delimiter=";"),
        convert_options=csv.ConvertOptions(
            column_types=types, include_columns=list(types), null_values=["NULL"], strings_can_be_null=True
        ),
    )
    return {column: table[column].to_pylist() for column in types}


@dataclass(frozen=True, slots=True)
class Profiles:
    """Profiles of a year in 15-minute means, as shares of a consumer's or generator's rated power.

    `active` and `reactive` have the shape (`PROFILE_ROWS`, profiles); generators run at unity power factor.
    """

    index: dict[str, int]
    active: NDArray[np.float64]
    reactive: NDArray[np.float64]


def read_profiles(folder: Path, names: list[str]) -> Profiles:
    """Read the load and generation profiles that are wanted, in the order of `names`."""
    loads = _numbers(folder / "LoadProfile.csv", [f"{n}_{part}" for n in names for part in ("pload", "qload")])
    generation = _numbers(folder / "RESProfile.csv", names)
    active = np.zeros((PROFILE_ROWS, len(names)))
    reactive = np.zeros((PROFILE_ROWS, len(names)))
    for i, name in enumerate(names):
        if f"{name}_pload" in loads:
            active[:, i] = loads[f"{name}_pload"]
            reactive[:, i] = loads[f"{name}_qload"]
        elif name in generation:
            active[:, i] = generation[name]
        else:
            raise DataMissingError(f"SimBench has no profile {name}")
    return Profiles({name: i for i, name in enumerate(names)}, active, reactive)


def _numbers(path: Path, wanted: list[str]) -> dict[str, NDArray[np.float64]]:
    with path.open(encoding="utf-8") as file:
        header = set(file.readline().strip().split(";"))
    columns = [name for name in wanted if name in header]
    table = csv.read_csv(
        path,
        parse_options=csv.ParseOptions(delimiter=";"),
        convert_options=csv.ConvertOptions(column_types=dict.fromkeys(columns, pa.float64()), include_columns=columns),
    )
    if table.num_rows != PROFILE_ROWS:
        raise DataMissingError(f"{path}: {table.num_rows} rows, not the {PROFILE_ROWS} of a leap year")
    return {name: table[name].to_numpy() for name in columns}


def profile_row(quarter: int) -> int:
    """Row of the profiles for the quarter-hour that begins `quarter` × 900 s after 1970-01-01 UTC.

    The calendar: the instant is moved by whole weeks to the data's year, by that number of weeks which brings
    1 January of its year nearest to 1 January 2016. So the weekday and the time of day are the instant's own and
    the day of the year is off by at most 4; what falls outside the data's year is moved by another 52 weeks.
    """
    start_s = int(PROFILE_START.timestamp())
    local_s = quarter * _QUARTER_S - start_s  # seconds of German winter time since 1 January 2016
    day, second = divmod(local_s, _DAY_S)
    day -= _shift_days((date(2016, 1, 1) + timedelta(days=day)).year)
    if day < 0:
        day += 364
    elif day >= PROFILE_ROWS // 96:
        day -= 364
    return day * 96 + second // _QUARTER_S


@lru_cache(maxsize=64)
def _shift_days(year: int) -> int:
    return round((date(year, 1, 1) - date(2016, 1, 1)).days / 7) * 7
