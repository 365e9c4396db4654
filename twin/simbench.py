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
#: The same of all three scenarios: present, near future and far future.
NETWORKS = tuple(f"1-complete_data-mixed-all-{scenario}-sw" for scenario in range(3))
#: Quarter-hours of the profiles' leap year.
PROFILE_ROWS = 366 * 96
#: The first row's instant: local midnight in Germany. Rows follow each other by 15 minutes of real time, through
#: both changes to and from summer time, so a row is an instant and not a reading of the clock on the wall.
PROFILE_START = datetime(2015, 12, 31, 23, tzinfo=UTC)

#: Profiles under these names are in the tables of loads, generators and storages alike.
_SHARED = ("lv_", "mv_")
_RES, _STORAGE = "RES_", "Storage_"
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


def generation_profile(name: str) -> str:
    """Name of a generator's profile, told apart from a load's of the same name (``lv_…``, ``mv_…``)."""
    return f"{_RES}{name}" if name.startswith(_SHARED) else name


def storage_profile(name: str) -> str:
    """Name of a storage's profile, told apart in the same way."""
    return f"{_STORAGE}{name}" if name.startswith(_SHARED) else name


def read_profiles(folder: Path, names: list[str]) -> Profiles:
    """Read the load, generation and storage profiles that are wanted, in the order of `names`.

    Equivalents have loads, generators and storages whose profiles share a name: see `generation_profile` and
    `storage_profile` for how these are named here.
    """
    loads = _numbers(folder / "LoadProfile.csv", [f"{n}_{part}" for n in names for part in ("pload", "qload")])
    generation = _own_names(folder / "RESProfile.csv", names, _RES)
    if any(name.startswith(_STORAGE) for name in names):
        generation |= _own_names(folder / "StorageProfile.csv", names, _STORAGE)
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


def _own_names(path: Path, names: list[str], prefix: str) -> dict[str, NDArray[np.float64]]:
    column_of = {n: n.removeprefix(prefix) if n.startswith(tuple(prefix + s for s in _SHARED)) else n for n in names}
    columns = _numbers(path, list(dict.fromkeys(column_of.values())))
    return {name: columns[column] for name, column in column_of.items() if column in columns}


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
