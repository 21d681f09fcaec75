#!/usr/bin/env bash
# Builds, tests and shows camiohookd from a checkout; "./build.sh --help" lists the ways.
# Everything lands in .venv, .build and dist, made from the lock files with their hashes; nothing outside the checkout is
# changed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

readonly VENV=.venv
readonly LOCK=requirements.lock
readonly TEST_LOCK=tests/requirements.lock
readonly BENCH_LOCK=tests/bench/requirements.lock
readonly INSTALLED=$VENV/installed # hashes of the files that the environment was made from
readonly READY_SECONDS=60

usage() {
  cat <<'END'
Usage: ./build.sh [deb] [--arch amd64|arm64] [--install-deps]
                                               make the Debian package, dist/camiohookd_VERSION_ARCH.deb
       ./build.sh reproducible [...]           make it twice, and see that the two are the same to the byte
       ./build.sh venv                         make .venv with the command .venv/bin/camiohookd
       ./build.sh demo [LABELER.py]            label photographs through a daemon of its own, also with your own code
       ./build.sh test [--long] [PYTEST ARGS]  lint, types, layers, tests and the queue's figures
       ./build.sh test-appliance [--long] [PYTEST ARGS]
                                               install the package on booted machines, as root; --long has arm64, too
       ./build.sh bench [NAME...] [--quick]    measure how fast it is on this machine, against what it could be
       ./build.sh bench scaling                draw how that grows with cameras, pictures, threads, backlog
       ./build.sh bench soak [--minutes N]     load with kills, outages and bad input, and what it leaves behind
       ./build.sh docs                         write the generated parts of docs/ and debian/
       ./build.sh lock [PACKAGE...]            pin the newest versions that pyproject.toml allows, of all or of these
       ./build.sh sbom                         list what is shipped and others wrote: dist/camiohookd_VERSION.cdx.json
The variable PYTHON chooses the interpreter that .venv is made with; without it, the first python3 that is new enough.
END
}

main() {
  case ${1:-} in
    "" | --arch | --install-deps) set -- deb "$@" ;;
  esac
  local command=$1
  shift
  case $command in
    deb | reproducible) "$command" "$@" ;;
    venv | docs | sbom)
      (($# == 0)) || wrong_usage
      "$command"
      ;;
    lock)
      [[ ${1:-} != -* ]] || wrong_usage
      lock "$@"
      ;;
    demo)
      [[ $# -le 1 && ${1:-} != -* ]] || wrong_usage
      demo "$@"
      ;;
    test) run_tests "$@" ;;
    test-appliance) test_appliance "$@" ;;
    bench) bench "$@" ;;
    -h | --help) usage ;;
    *) wrong_usage ;;
  esac
}

say() { printf '%s\n' "$*" >&2; }

die() {
  say "build.sh: $*"
  exit 1
}

wrong_usage() {
  usage >&2
  exit 2
}

# --- the environment ------------------------------------------------------------------------------------------------

venv() {
  ensure "$LOCK"
  say "ready: $VENV/bin/camiohookd"
}

ensure() { # LOCK_FILE
  if ! has "$1"; then
    has "$LOCK" || make_venv
    say "installing what $1 lists; this may take a minute ..."
    pip install --require-hashes --only-binary :all: --requirement "$1"
    note "$LOCK"
    note "$1"
  fi
  if ! has pyproject.toml debian/changelog; then
    pip install --no-deps --no-build-isolation --editable .
    note pyproject.toml debian/changelog
  fi
}

make_venv() {
  local python
  python=$(find_python)
  "$python" -c 'import ensurepip, venv' 2>/dev/null ||
    die "$python cannot make virtual environments; on Debian and Ubuntu: sudo apt install python3-venv"
  say "making $VENV with $("$python" --version) ..."
  "$python" -m venv --clear "$VENV"
}

find_python() {
  local candidates=(python3 python3.13 python3.12 python3.11) candidate
  [[ -z ${PYTHON:-} ]] || candidates=("$PYTHON")
  for candidate in "${candidates[@]}"; do
    if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      printf '%s\n' "$candidate"
      return
    fi
  done
  die "${candidates[0]} is missing or older than 3.11; on Debian 12, Ubuntu 24.04 and newer:" \
    "sudo apt install python3 python3-venv"
}

pip() { "$VENV/bin/python" -m pip --quiet --no-input --disable-pip-version-check "$@"; }

# Whether the environment works and was made from these files as they are now.
has() { "$VENV/bin/python" -c '' 2>/dev/null && grep -qsxF "$(cat "$@" | sha256sum)" "$INSTALLED"; }

note() { cat "$@" | sha256sum >>"$INSTALLED"; }

# --- tests ----------------------------------------------------------------------------------------------------------

run_tests() { # [--long] [PYTEST_ARGUMENT...]
  ensure "$TEST_LOCK"
  "$VENV/bin/ruff" check .
  "$VENV/bin/ruff" format --check .
  "$VENV/bin/mypy"
  "$VENV/bin/lint-imports"
  if command -v shellcheck >/dev/null; then
    shellcheck build.sh .ci/run debian/fetch debian/needs debian/camiohookd.{preinst,postinst,prerm,postrm} \
      debian/tests/labels
  fi
  "$VENV/bin/pytest" "$@"
  if [[ $* == "" || $* == --long ]]; then # of the whole, not of a part
    "$VENV/bin/python" -m tests.bench accept_depth --quick --json /dev/null
  fi
}

test_appliance() { # [--long] [PYTEST_ARGUMENT...]
  ensure "$TEST_LOCK"
  local architectures
  architectures=$(dpkg --print-architecture)
  [[ " $* " != *" --long "* || $architectures == arm64 ]] || architectures+=" arm64"
  local arch
  for arch in $architectures; do
    has_package "$arch" || (deb --arch "$arch")
  done
  "$VENV/bin/pytest" tests/appliance "$@"
}

# Whether dist/ holds a package of the files as they are now.
has_package() { # ARCH
  local package
  package=$(find dist -name "camiohookd_*_$1.deb" 2>/dev/null | head -n 1)
  [[ -n $package && -z $(git ls-files -z --deduplicate -- ':!tests' ':!.ci' | xargs -0 -I{} find {} -newer "$package") ]]
}

bench() { # [NAME...] [--quick] | scaling [--quick] | soak [--minutes N]
  ensure "$BENCH_LOCK"
  "$VENV/bin/python" -m tests.bench "$@"
}

# --- the package ----------------------------------------------------------------------------------------------------

deb() { # [--arch ARCH] [--install-deps]
  local arch='' install=''
  while (($# > 0)); do
    case $1 in
      --install-deps) install=yes ;;
      --arch)
        [[ ${2:-} == amd64 || ${2:-} == arm64 ]] || wrong_usage
        arch=$2
        shift
        ;;
      *) wrong_usage ;;
    esac
    shift
  done
  command -v apt-get >/dev/null || die "a Debian package is made on Debian 12 or newer"
  build_dependencies "$install"
  mkdir -p dist
  # As dpkg-buildpackage says it, from debian/control: any user may do this.
  DEB_RULES_REQUIRES_ROOT=no DEB_HOST_ARCH=${arch:-$(dpkg --print-architecture)} debian/rules clean binary
  (cd dist && sha256sum -- camiohookd_* >SHA256SUMS && cat SHA256SUMS)
}

build_dependencies() { # [yes]: to have them installed
  local wanted missing
  wanted=$(sed -n 's/^Build-Depends: //p' debian/control)
  if [[ -n ${1:-} ]]; then
    as_root apt-get --quiet update
    as_root apt-get --quiet --yes --no-install-recommends satisfy "$wanted"
  fi
  missing=$(apt-get --simulate --quiet=2 --no-install-recommends satisfy "$wanted") ||
    die "apt cannot find all of what is needed, $wanted; sudo apt-get update may help"
  missing=$(sed -n 's/^Inst \([^ ]*\).*/\1/p' <<<"$missing" | tr '\n' ' ')
  [[ -z $missing ]] || die "packages are missing: sudo apt-get install --no-install-recommends $missing" \
    "(or ./build.sh deb --install-deps, which does that)"
}

as_root() {
  if [[ $EUID == 0 ]]; then "$@"; else sudo -- "$@"; fi
}

# The second one is made in another folder, under another umask, in another time zone and by a Python that leaves compiled
# files behind, of inputs that are fetched anew.
reproducible() { # as for deb
  local other package
  deb "$@"
  other=$(mktemp -d "${TMPDIR:-/tmp}/camiohookd-again.XXXXXX")
  tar --create --exclude-vcs --exclude=./.build --exclude=./dist --exclude=./.venv . | tar --extract --directory "$other"
  (
    umask 077
    unset PYTHONDONTWRITEBYTECODE
    TZ=Pacific/Kiritimati LC_ALL=C "$other/build.sh" deb "$@"
  )
  for package in "$other"/dist/camiohookd_*; do
    cmp "$package" "dist/${package##*/}" || die "the second $package is not the same as the first in dist"
    say "two builds of ${package##*/} are the same to the byte"
  done
  rm -r "$other"
}

# --- the demonstration ----------------------------------------------------------------------------------------------

folder='' daemon='' hook='' admin='' camio='' # of the demonstration: its folder, its daemon's pid, its three ports

demo() { # [LABELER.py]
  local script=${1:-} images=()
  if [[ -n $script ]]; then
    [[ -r $script ]] || die "$script cannot be read; expected is a file with your compute_labels"
  fi
  ensure "$LOCK"
  folder=$(mktemp -d "${TMPDIR:-/tmp}/camiohookd-demo.XXXXXX")
  read -r hook admin camio < <(free_ports)
  demo_settings
  if [[ -n $script ]]; then
    export CAMIOHOOKD_LABELER_KIND=python CAMIOHOOKD_LABELER_SCRIPT=$script
    cp -r camiohookd/samples "$folder/pictures" # a copy, so that no particular labels are expected of them
    images=(--images "$folder/pictures")
  fi
  trap demo_failed EXIT
  "$VENV/bin/camiohookd" serve --config /dev/null 2>"$folder/daemon.log" &
  daemon=$!
  wait_until_ready "http://127.0.0.1:$admin/readyz"
  "$VENV/bin/camiohookd" simulate --config /dev/null --url "http://127.0.0.1:$hook" --listen "127.0.0.1:$camio" \
    "${images[@]}"
  "$VENV/bin/camiohookd" label --annotate "$folder/annotated" camiohookd/samples/*.jpg
  stop_daemon || die "the daemon did not stop as it should"
  trap - EXIT
  rm -r "$folder/state"
  say "The pictures with their boxes and names are in $folder/annotated, the daemon's log is $folder/daemon.log."
}

# The daemon's settings, and nothing of those that whoever runs this may have.
demo_settings() {
  unset "${!CAMIOHOOKD_@}" CONFIGURATION_DIRECTORY RUNTIME_DIRECTORY NOTIFY_SOCKET
  export STATE_DIRECTORY=$folder/state
  export CAMIOHOOKD_HOOK_LISTEN=127.0.0.1:$hook
  export CAMIOHOOKD_ADMIN_LISTEN=127.0.0.1:$admin
  export CAMIOHOOKD_CALLBACK_ALLOW_HOSTS="[\"http://127.0.0.1:$camio\"]"
  CAMIOHOOKD_HOOK_API_KEY=$(od -An -N24 -tx1 /dev/urandom | tr -d ' \n')
  export CAMIOHOOKD_HOOK_API_KEY
  mkdir -m 0700 "$folder/state"
}

free_ports() {
  "$VENV/bin/python" - <<'END'
import socket

sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(3)]
print(*(each.getsockname()[1] for each in sockets))
END
}

wait_until_ready() { # URL
  local deadline=$((SECONDS + READY_SECONDS))
  until answers "$1"; do
    kill -0 "$daemon" 2>/dev/null || die "the daemon did not start"
    ((SECONDS < deadline)) || die "the daemon is not ready after $READY_SECONDS seconds"
    sleep 0.2
  done
}

answers() { # URL
  no_proxy='*' "$VENV/bin/python" -c 'import sys, urllib.request as r; r.urlopen(sys.argv[1], timeout=5)' "$1" 2>/dev/null
}

stop_daemon() {
  local pid=$daemon
  daemon=
  kill -TERM "$pid" 2>/dev/null && wait "$pid"
}

demo_failed() {
  [[ -z $daemon ]] || stop_daemon || true
  say "The demonstration failed. The daemon's log ($folder/daemon.log):"
  cat "$folder/daemon.log" >&2
}

# --- generated files ------------------------------------------------------------------------------------------------

docs() {
  ensure "$LOCK"
  "$VENV/bin/camiohookd" example-config >debian/camiohookd.toml
  "$VENV/bin/python" - <<'END'
from pathlib import Path

from camiohookd.config.reference import with_table

page = Path("docs/configure.md")
page.write_text(with_table(page.read_text()))
END
  "$VENV/bin/python" -m tests.support.document_links
}

# One lock for every platform and Python; the tests' and the benchmarks' hold the same versions, and their own on top.
lock() { # [PACKAGE...]
  command -v uv >/dev/null || die "uv is needed for this; pip install uv"
  local compile=(uv pip compile --quiet --universal --python-version 3.11 --generate-hashes
    --no-header --no-emit-index-url --no-annotate pyproject.toml --extra build "${@/#/--upgrade-package=}")
  (($# > 0)) || compile+=(--upgrade)
  "${compile[@]}" --output-file "$LOCK"
  "${compile[@]}" --extra test --constraint "$LOCK" --output-file "$TEST_LOCK"
  "${compile[@]}" --extra bench --constraint "$TEST_LOCK" --output-file "$BENCH_LOCK"
}

# Whoever packages it can call debian/sbom.py directly: it has options for that.
sbom() {
  ensure "$LOCK"
  "$VENV/bin/python" debian/sbom.py
}

main "$@"
