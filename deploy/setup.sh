# Sourced by ./run and ./test from the root of the checkout: `setup run` or `setup test`.
# Installs what the machine lacks and makes .venv from the lock files; a second call finds its stamp and returns.
# All it says goes to standard error, because standard output is for results.
# shellcheck shell=bash

python_min="3.11"

fail() {
  echo "meterline: $*" >&2
  exit 1
}

as_root() {
  if [[ $EUID -eq 0 ]]; then
    "$@"
  elif command -v sudo >/dev/null; then
    sudo "$@"
  else
    fail "installing packages needs root and sudo is not installed: run this as root, or install sudo"
  fi
}

have() {
  PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin" command -v "$1" >/dev/null
}

# Chromium for the tests of the console. Ubuntu's package of it is a snap, which a container can't run: there it is
# Playwright's own build.
has_browser() {
  have chromium || compgen -G "$HOME/.cache/ms-playwright/chromium*/INSTALLATION_COMPLETE" >/dev/null
}

# For tests only: a browser, a font with Chinese for what it shows, and an Alertmanager.
missing_test_packages() {
  have prometheus-alertmanager || have alertmanager || echo prometheus-alertmanager
  has_browser || grep -qs '^ID=ubuntu' /etc/os-release || echo chromium
  compgen -G '/usr/share/fonts/*/*/*CJK*' >/dev/null || compgen -G '/usr/share/fonts/truetype/wqy/*' >/dev/null ||
    echo fonts-wqy-microhei
}

# Packages of the distribution that are missing here, one a line.
missing_packages() {
  have python3 || echo python3
  python3 -c 'import ensurepip, venv' 2>/dev/null || echo python3-venv
  have java || echo default-jre-headless
  have mvn || echo maven
  have mosquitto || echo mosquitto
  if ! compgen -G '/usr/share/postgresql/1[78]/extension/timescaledb.control' >/dev/null; then
    have mmdebstrap || echo mmdebstrap
    [[ -e /usr/share/keyrings/debian-archive-keyring.gpg || -e /usr/share/keyrings/ubuntu-archive-keyring.gpg ]] ||
      echo debian-archive-keyring
  fi
}

install_packages() {
  local packages="$*" policy=/usr/sbin/policy-rc.d policed=""
  have apt-get || fail "install these with the machine's package manager, then try again: $packages"
  echo "meterline: installing $packages" >&2
  # The stack runs its own broker, and the tests their own Alertmanager; a package's service must not take a port when
  # it is installed or at a boot.
  local services=""
  [[ " $packages " != *" mosquitto "* ]] || services+=" mosquitto.service"
  [[ " $packages " != *" prometheus-alertmanager "* ]] || services+=" prometheus-alertmanager.service"
  if [[ -n $services && ! -e $policy ]]; then
    printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
    as_root chmod 755 "$policy"
    policed=yes
  fi
  local failed=""
  as_root apt-get update -qq || failed="apt-get update"
  # shellcheck disable=SC2086  # a list of names
  [[ -n $failed ]] || as_root env DEBIAN_FRONTEND=noninteractive \
    apt-get install -qq -y --no-install-recommends $packages >/dev/null || failed="apt-get install $packages"
  if [[ -n $policed ]]; then
    as_root rm -f "$policy"
    # shellcheck disable=SC2086  # a list of names
    [[ ! -d /run/systemd/system ]] || as_root systemctl disable --quiet $services || true
  fi
  [[ -z $failed ]] || fail "\`$failed\` failed: see above, mend it, then try again"
}

# Locks of packages whose data alone are read; their own dependencies serve calculations of theirs.
data_locks() {
  echo requirements/data.lock
  [[ $1 != test ]] || echo requirements/test-data.lock
}

# What .venv should be made of, as one line: another interpreter or another lock makes another.
wanted_stamp() {
  # shellcheck disable=SC2046  # a list of names
  "$1" -c 'import sys; print(sys.version)' | cat - "requirements/$2.lock" $(data_locks "$2") pyproject.toml |
    sha256sum
}

make_venv() {
  local kind=$1 python
  python=$(command -v python3)
  "$python" -c "import sys; sys.exit(sys.version_info < (${python_min/./, }))" ||
    fail "Python $python_min or newer is needed and $python is $("$python" -V): install one that python3 names"
  if [[ ! -x .venv/bin/python ]] || ! .venv/bin/python -c 'import pip' 2>/dev/null; then
    rm -rf .venv
    "$python" -m venv .venv || fail "cannot make .venv with $python"
  fi
  echo "meterline: installing requirements/$kind.lock into .venv" >&2
  local pip=(.venv/bin/python -m pip --disable-pip-version-check --quiet install)
  "${pip[@]}" --require-hashes -r "requirements/$kind.lock" || fail "pip cannot install requirements/$kind.lock"
  local lock
  for lock in $(data_locks "$kind"); do
    "${pip[@]}" --no-deps --require-hashes -r "$lock" || fail "pip cannot install $lock"
  done
  "${pip[@]}" --no-deps --no-build-isolation -e . || fail "pip cannot install the project"
  wanted_stamp .venv/bin/python "$kind" >".venv/$kind.stamp"
}

is_current() {
  [[ -x .venv/bin/python && -f .venv/$1.stamp ]] &&
    [[ $(wanted_stamp .venv/bin/python "$1") == "$(<".venv/$1.stamp")" ]]
}

# Numba compiles a function anew when its own file has changed, but not when only one that it calls has: what it has
# kept goes when any of these files is another.
drop_stale_kernels() {
  local stamp
  stamp=$(grep -rlE --include='*.py' --exclude-dir='.?*' '\bnumba\b' . | LC_ALL=C sort | xargs sha256sum | sha256sum)
  [[ $(cat .meterline/kernels.stamp 2>/dev/null) != "$stamp" ]] || return 0
  find . -name '.?*' -prune -o \( -name '*.nbi' -o -name '*.nbc' \) -exec rm -f {} +
  echo "$stamp" >.meterline/kernels.stamp
}

setup() {
  local kind=$1 packages
  {
    packages=$( (missing_packages; [[ $kind != test ]] || missing_test_packages) | tr '\n' ' ')
    [[ -z ${packages// /} ]] || install_packages ${packages% }
    mkdir -p .meterline
    exec 9>.meterline/setup.lock
    flock 9
    # What serves the tests serves a run as well: test.lock holds all of run.lock.
    is_current "$kind" || { [[ $kind == run ]] && is_current test; } || make_venv "$kind"
    drop_stale_kernels
    if [[ $kind == test ]] && ! has_browser; then
      echo "meterline: installing a browser for the tests" >&2
      as_root .venv/bin/python -m playwright install-deps chromium &&
        .venv/bin/python -m playwright install chromium || fail "no browser for the tests: install chromium"
    fi
    exec 9>&-
  } >&2
}
