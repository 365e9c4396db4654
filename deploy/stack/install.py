"""Fetches what the native stack needs and no package of the distribution gives; made once, shared by all stacks."""

from __future__ import annotations

import fcntl
import hashlib
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from deploy.stack.errors import StackError
from deploy.stack.host import find_tool, is_root, need_tool, privileged, progress, run
from deploy.stack.spec import StackSpec

KAFKA_VERSION: Final = "4.1.0"
KAFKA_POM: Final = Path(__file__).parent / "kafka" / "pom.xml"
POSTGRES_MAJORS: Final = (17, 18)
COPY_JARS: Final = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies"


@dataclass(frozen=True, slots=True)
class Release:
    """A release of a distribution whose packages hold TimescaleDB."""

    origin: str
    suite: str
    components: str
    postgres_major: int

    @property
    def package(self) -> str:
        return f"postgresql-{self.postgres_major}-timescaledb"


RELEASES: Final = (
    Release("Debian", "trixie", "main", 17),
    Release("Ubuntu", "resolute", "main universe", 18),
    Release("Ubuntu", "questing", "main universe", 17),
)


@dataclass(frozen=True, slots=True)
class PostgresPlace:
    """A PostgreSQL with TimescaleDB: under `root` ("/" is the machine itself), programs in `bin_dir` as seen inside."""

    root: Path
    bin_dir: str

    @property
    def is_host(self) -> bool:
        return self.root == Path("/")


def kafka_libs(spec: StackSpec) -> Path:
    """Directory of Kafka's jars, there or not; another list of jars has another directory."""
    key = hashlib.sha256(KAFKA_POM.read_bytes()).hexdigest()[:8]
    return spec.cache / f"kafka-{KAFKA_VERSION}-{key}" / "libs"


def ensure_kafka(spec: StackSpec) -> Path:
    """Kafka's jars, fetched through Maven if they aren't cached."""
    libs = kafka_libs(spec)
    if not libs.is_dir():
        with _locked(spec.cache / "kafka.lock"):
            if not libs.is_dir():
                mvn = need_tool("mvn", "maven")
                with progress(f"fetch Kafka {KAFKA_VERSION}"):
                    _make(libs.parent, lambda directory: _fetch_jars(mvn, directory))
    return libs


def _fetch_jars(mvn: Path, directory: Path) -> None:
    pom = directory / "pom.xml"
    shutil.copyfile(KAFKA_POM, pom)
    options = ["-q", "-B", "-C", "-f", str(pom), COPY_JARS, f"-DoutputDirectory={directory / 'libs'}"]
    run([str(mvn), *options], what="fetching Kafka's jars with Maven")
    if not (directory / "libs" / f"kafka_2.13-{KAFKA_VERSION}.jar").is_file():
        raise StackError("Maven ended well but gave no Kafka jar: check Maven's settings (~/.m2/settings.xml)")


def host_postgres() -> PostgresPlace | None:
    """PostgreSQL with TimescaleDB on the machine itself, if it has one."""
    for major in reversed(POSTGRES_MAJORS):
        control = Path(f"/usr/share/postgresql/{major}/extension/timescaledb.control")
        bin_dir = Path(f"/usr/lib/postgresql/{major}/bin")
        if control.is_file() and (bin_dir / "postgres").is_file():
            return PostgresPlace(Path("/"), str(bin_dir))
    return None


def cached_postgres(spec: StackSpec) -> PostgresPlace | None:
    """PostgreSQL with TimescaleDB in a root file system of its own, if it was made."""
    for release in RELEASES:
        place = _place(spec, release)
        if place.root.is_dir():
            return place
    return None


def ensure_postgres(spec: StackSpec) -> PostgresPlace:
    """PostgreSQL with TimescaleDB: the machine's own, or a root file system made of its distribution's packages."""
    found = host_postgres() or cached_postgres(spec)
    if found:
        return found
    with _locked(spec.cache / "timescaledb.lock"):
        return cached_postgres(spec) or _make_root(spec)


def _place(spec: StackSpec, release: Release) -> PostgresPlace:
    name = f"timescaledb-{release.suite}-pg{release.postgres_major}"
    return PostgresPlace(spec.cache / name, f"/usr/lib/postgresql/{release.postgres_major}/bin")


def _make_root(spec: StackSpec) -> PostgresPlace:
    need_tool("mmdebstrap", "mmdebstrap")
    mirrors = package_mirrors()
    wanted = [(release, mirror) for release in RELEASES for mirror in mirrors.get(release.origin, ())]
    if not wanted:
        raise StackError(
            "no Debian or Ubuntu mirror in apt's sources: install PostgreSQL 17 or 18 with TimescaleDB on this machine"
        )
    failures = []
    for release, mirror in wanted:
        place = _place(spec, release)
        try:
            with progress(f"make a file system with {release.package} of {release.origin} {release.suite}"):
                _make(place.root, lambda directory, r=release, m=mirror: _bootstrap(r, m, directory))  # type: ignore[misc]
        except StackError as error:
            failures.append(f"{release.suite}: {error}")
        else:
            return place
    raise StackError(
        f"TimescaleDB cannot be had from this machine's mirrors ({'; '.join(failures)}); "
        "install PostgreSQL 17 or 18 with TimescaleDB, or use ./run --docker"
    )


def package_mirrors() -> dict[str, list[str]]:
    """The mirrors that apt uses for the distribution itself, by origin; neither security's nor third parties'."""
    need_tool("apt-get", "apt")
    form = "$(ORIGIN)|$(LABEL)|$(REPO_URI)"
    command = ["apt-get", "indextargets", "--format", form, "Created-By: Packages"]
    mirrors = parse_mirrors(run(command, what="reading apt's sources"))
    if not mirrors:
        # Images of distributions come without lists, and the origin stands in those.
        run(privileged(["apt-get", "update", "-qq"]), what="apt-get update")
        mirrors = parse_mirrors(run(command, what="reading apt's sources"))
    return mirrors


def parse_mirrors(output: str) -> dict[str, list[str]]:
    """Mirrors by origin out of lines `origin|label|uri`."""
    mirrors: dict[str, list[str]] = {}
    for line in output.splitlines():
        origin, label, uri = [*line.split("|"), "", ""][:3]
        own = origin in {"Debian", "Ubuntu"} and origin == label
        if own and re.match(r"https?://", uri) and "security" not in uri and uri not in mirrors.setdefault(origin, []):
            mirrors[origin].append(uri)
    return mirrors


# What a server doesn't read: 60 MB less to unpack. The locales stay: the builtin provider needs none, users may.
EXCLUDED: Final = (
    "/usr/share/doc/*",
    "/usr/share/man/*",
    "/usr/share/info/*",
    "/usr/share/locale/*",
    "/usr/lib/*/perl/*",
)


def _bootstrap(release: Release, mirror: str, directory: Path) -> None:
    options = [
        "--mode=root",
        "--variant=minbase",
        f"--include={release.package},tzdata",
        *(f"--dpkgopt=path-exclude={pattern}" for pattern in EXCLUDED),
        '--aptopt=APT::Install-Recommends "false"',
        # A package that makes a cluster at its installation would only have it lie there.
        '--essential-hook=mkdir -p "$1/etc/postgresql-common"',
        '--essential-hook=echo create_main_cluster = false > "$1/etc/postgresql-common/createcluster.conf"',
    ]
    source = f"deb {mirror} {release.suite} {release.components}"
    root = directory / "root"
    tool = find_tool("mmdebstrap")
    run(privileged([str(tool), *options, release.suite, str(root), source]), what=f"mmdebstrap of {release.suite}")
    run(privileged(["chmod", "755", str(root)]), what="opening the file system")


def _make(target: Path, fill: Callable[[Path], None]) -> None:
    """Fill a directory beside `target`, then rename it, so that what is there is always whole."""
    target.parent.mkdir(parents=True, exist_ok=True)
    directory = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        fill(directory)
        made = directory / "root"
        if made.is_dir():
            # Root's directory: an ordinary user may not give it another parent.
            run(privileged(["mv", "-T", str(made), str(target)]), what=f"moving {target.name} into the cache")
        else:
            directory.rename(target)
    finally:
        if directory.exists():
            remove_tree(directory)


def remove_tree(directory: Path) -> None:
    """Remove a directory that may hold root's files."""
    if is_root():
        shutil.rmtree(directory, ignore_errors=True)
    else:
        run(privileged(["rm", "-rf", "--one-file-system", str(directory)]), what=f"removing {directory}")


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """One at a time: two stacks that start together fetch once."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
