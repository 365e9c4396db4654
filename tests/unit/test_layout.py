"""The house rules that no tool checks by itself: names, layers, the pure core, and what must not stand in a file."""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = (
    "grid",
    "kernels",
    "ingest",
    "streams",
    "store",
    "alerts",
    "sync",
    "benefit",
    "twin",
    "console",
    "meterline",
    "deploy",
)
#: Time, state and bytes arrive here as arguments.
PURE = (
    "grid/**/*.py",
    "kernels/**/*.py",
    "ingest/checks.py",
    "ingest/decode*.py",
    "ingest/decode/**/*.py",
    "ingest/gaps.py",
    "ingest/gather.py",
    "ingest/collect.py",
    "ingest/place_table.py",
    "ingest/reading_kernel.py",
    "ingest/reading_lines.py",
    "streams/steps*.py",
    "streams/steps/**/*.py",
    "alerts/rules*.py",
    "alerts/lifecycle*.py",
    "alerts/sense.py",
    "alerts/routing.py",
    "alerts/outages.py",
    "alerts/formats.py",
    "alerts/messages.py",
    "store/breaker.py",
    "benefit/flow_*.py",
    "benefit/comparison.py",
    "benefit/economics.py",
    "benefit/effect.py",
    "benefit/ledger.py",
    "benefit/matching.py",
    "benefit/parameters.py",
    "benefit/reliability.py",
    "benefit/split.py",
    "sync/plan*.py",
    "sync/authority.py",
    "sync/conflicts/*.py",
    "sync/identity/*.py",
    "sync/mapping.py",
    "sync/naming.py",
    "sync/reading.py",
    "sync/proposals/lifecycle.py",
    "sync/proposals/plan.py",
    "sync/rollout/assessment.py",
    "sync/rollout/criteria.py",
    "sync/rollout/plan.py",
    "sync/rollout/report_words.py",
    "sync/rollout/signing.py",
    "sync/rollout/tickets.py",
    "sync/rollout/timetable.py",
)
#: What the packages at the bottom may rest on, besides the standard library and themselves.
FOUNDATION = {"grid": {"numpy", "pyarrow"}, "kernels": {"numpy", "numba"}}
CLOCKS = {
    "time": {"time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns", "sleep", "localtime"},
    "datetime": {"now", "utcnow", "today"},
    "date": {"today"},
}


def configuration() -> dict[str, object]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def pure_files() -> list[Path]:
    return sorted({path for pattern in PURE for path in ROOT.glob(pattern)})


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def locked_names() -> list[str]:
    text = "".join(path.read_text(encoding="utf-8") for path in sorted((ROOT / "requirements").glob("*.lock")))
    return sorted(set(re.findall(r"^([A-Za-z0-9._-]+)==", text, re.MULTILINE)))


def top_level_modules(name: str) -> set[str]:
    try:
        files = distribution(name).files or []
    except PackageNotFoundError:  # locked for another platform or extra
        return set()
    tops = {file.parts[0] for file in files if file.suffix in {".py", ".so", ".pyd"} and ".." not in file.parts}
    return {top.split(".", maxsplit=1)[0] for top in tops}


def test_no_locked_dependency_has_one_of_our_names() -> None:
    names = locked_names()
    assert "psycopg" in names
    shipped = {name: top_level_modules(name) & {*PACKAGES, "tests", "benchmarks"} for name in names}
    assert {name: taken for name, taken in shipped.items() if taken} == {}


def test_every_package_is_distributed_and_linted() -> None:
    settings = configuration()
    tool = settings["tool"]
    assert isinstance(tool, dict)
    assert {name.removesuffix("*") for name in tool["setuptools"]["packages"]["find"]["include"]} == set(PACKAGES)
    assert set(tool["importlinter"]["root_packages"]) == set(PACKAGES)
    assert {name for name in PACKAGES if not (ROOT / name / "py.typed").is_file()} == set()
    found = {path.parent.name for path in ROOT.glob("*/__init__.py")}
    assert found - {"tests", "benchmarks"} <= set(PACKAGES)


def test_import_contracts_hold() -> None:
    linter = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([linter, "--no-logo", "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_import_contract_of_the_pure_core_names_all_of_it() -> None:
    tool = configuration()["tool"]
    assert isinstance(tool, dict)
    (contract,) = [c for c in tool["importlinter"]["contracts"] if c["name"] == "the pure core does no I/O"]
    named = tuple(contract["source_modules"])
    missing = [m for m in map(module_of, pure_files()) if not any(m == n or m.startswith(n + ".") for n in named)]
    assert missing == [], "add them to the contract in pyproject.toml"


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            yield node.module or ""


@pytest.mark.parametrize("package", FOUNDATION)
def test_foundation_rests_on_few_libraries(package: str) -> None:
    allowed = FOUNDATION[package] | sys.stdlib_module_names | {package}
    used = {name.split(".")[0] for path in (ROOT / package).rglob("*.py") for name in imports(path)}
    assert used - allowed == set()


def clock_readings(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "time":
            yield from (f"time.{alias.name}" for alias in node.names if alias.name in CLOCKS["time"])
        elif isinstance(node, ast.Attribute):
            owner = node.value
            name = owner.attr if isinstance(owner, ast.Attribute) else owner.id if isinstance(owner, ast.Name) else ""
            if node.attr in CLOCKS.get(name, ()):
                yield f"{name}.{node.attr}"


@pytest.mark.parametrize("path", pure_files(), ids=module_of)
def test_pure_core_reads_no_clock(path: Path) -> None:
    assert list(clock_readings(ast.parse(path.read_text(encoding="utf-8")))) == []


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("import time\ntime.monotonic()", ["time.monotonic"]),
        ("from time import perf_counter", ["time.perf_counter"]),
        ("import datetime\nx = datetime.datetime.now(tz)", ["datetime.now"]),
        ("from datetime import datetime\nf(clock=datetime.now)", ["datetime.now"]),
        ("batch.time\nclock.now()", []),
    ],
)
def test_the_search_for_clocks_finds_them(source: str, found: list[str]) -> None:
    assert list(clock_readings(ast.parse(source))) == found


# A letter of each stands in brackets, so that this file doesn't contain what it looks for.
FORBIDDEN = {
    "package registry": re.compile(
        r"py[p]i\.|pythonho[s]ted|repo1?\.mave[n]|npm[j]s|deb\.debi[a]n|security\.debi[a]n"
        r"|(archive|ports|security)\.ubunt[u]|[^a-z](docker|ghcr|quay)\.i[o]\b"
    ),
    "path of one machine": re.compile(r"(?<![\w.~-])/(wor[k]|roo[t]|tmp/[x]|home/[a-z]+)/"),
    "private key": re.compile(r"-----BEGIN [A-Z ]*PRIVATE KE[Y]-----"),
    "token": re.compile(r"\b(AKI[A][0-9A-Z]{16}|gh[pousr]_[A-Za-z0-9]{36}|gl[s]a_[A-Za-z0-9]{32})"),
}


def tracked_files() -> list[Path]:
    listing = ["git", "-c", "safe.directory=*", "ls-files", "-z"]
    done = subprocess.run(listing, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip("not a git checkout")
    paths = [ROOT / name for name in done.stdout.split("\0") if name]
    return [path for path in paths if path.is_file()]


@pytest.mark.parametrize("what", FORBIDDEN)
def test_no_file_contains(what: str) -> None:
    pattern = FORBIDDEN[what]
    found = []
    for path in tracked_files():
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), start=1):
            if match := pattern.search(line):
                found.append(f"{path.relative_to(ROOT)}:{number}: {match.group()}")
    assert found == []


def test_no_environment_or_secret_file_is_tracked() -> None:
    names = {path.name for path in tracked_files()}
    assert {name for name in names if name == ".env" or name.endswith((".pem", ".key", ".p12"))} == set()
