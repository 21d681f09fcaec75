#!/usr/bin/env bash
# Builds, tests and demonstrates camiohookd from a checkout; "./build.sh --help" lists the commands.
# Writes to .venv, .build and dist only; installs what the lock files pin, and checks their hashes.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

readonly VENV=.venv
readonly LOCK=requirements.lock
readonly TEST_LOCK=tests/requirements.lock
readonly BENCH_LOCK=tests/bench/requirements.lock
readonly INSTALLED=$VENV/installed # the hashes of the files that the environment was made from
# Two processes more than cores, because many tests wait. A file stays in one process: its tests may share what is expensive.
readonly ON_ALL_CORES=(--numprocesses="$(($(nproc) + 2))" --dist=loadfile --no-loadscope-reorder)

usage() {
  cat <<'END'
Usage: ./build.sh [deb] [--arch amd64|arm64] [--install-deps]
                                               build the Debian package, dist/camiohookd_VERSION_ARCH.deb
       ./build.sh reproducible [...]           build it twice and compare the two byte for byte
       ./build.sh repository --key KEYID [--into DIR] [--url URL] [--valid-for DAYS]
                                               make a signed apt repository of the packages in dist/
       ./build.sh audit                        look for known vulnerabilities in what requirements.lock pins
       ./build.sh venv                         make .venv with the command .venv/bin/camiohookd
       ./build.sh demo [LABELER.py]            label sample photographs, with the model or with your own code
       ./build.sh test [--long] [PYTEST ARGS]  lint, types, layers, tests and the queue's figures
       ./build.sh test-appliance [--long] [PYTEST ARGS]
                                               test the package on booted machines, as root; --long includes arm64
       ./build.sh bench [NAME...] [--quick]    measure the speed on this machine and compare it with baselines
       ./build.sh bench --compare FILE         the same, and compare with an earlier bench.json and its spread
       ./build.sh bench scaling                draw how the speed changes with cameras, pictures, threads and backlog
       ./build.sh bench fleet                  compare the simulation of a fleet with 1, 2 and 3 daemons behind HAProxy
       ./build.sh bench soak [--minutes N]     run under load with kills, outages and bad input; draw what grows
       ./build.sh docs                         write the generated parts of docs/ and debian/
       ./build.sh lock [PACKAGE...]            pin the newest allowed versions, of these packages or of all
       ./build.sh sbom                         list third-party software in dist/camiohookd_VERSION.cdx.json
The variable PYTHON selects the interpreter for .venv; without it, the first python3 that is 3.11 or newer is used.
END
}

main() {
  case ${1:-} in
    "" | --arch | --install-deps) set -- deb "$@" ;;
  esac
  local command=$1
  shift
  case $command in
    deb | reproducible | repository) "$command" "$@" ;;
    venv | docs | sbom | audit)
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

# Whether the environment works and was made from the current contents of these files.
has() { "$VENV/bin/python" -c '' 2>/dev/null && grep -qsxF "$(cat "$@" | sha256sum)" "$INSTALLED"; }

note() { cat "$@" | sha256sum >>"$INSTALLED"; }

# --- tests ----------------------------------------------------------------------------------------------------------

run_tests() { # [--long] [PYTEST_ARGUMENT...]
  ensure "$TEST_LOCK"
  "$VENV/bin/ruff" check .
  "$VENV/bin/ruff" format --check .
  "$VENV/bin/mypy"
  "$VENV/bin/lint-imports"
  if [[ $* == "" || $* == --long ]]; then # all tests, not a part
    "$VENV/bin/python" -m tests.bench accept_depth --quick --json /dev/null
  fi
  "$VENV/bin/pytest" "${ON_ALL_CORES[@]}" "$@"
}

test_appliance() { # [--long] [PYTEST_ARGUMENT...]
  ensure "$TEST_LOCK"
  local architectures
  architectures=$(dpkg --print-architecture)
  [[ " $* " != *" --long "* || $architectures == arm64 ]] || architectures+=" arm64"
  local arch
  for arch in $architectures; do
    has_package "$arch" || debian/build "$arch"
  done
  "$VENV/bin/pytest" tests/appliance "$@"
}

# Whether dist/ holds a package that is newer than every file it is made of.
has_package() { # ARCH
  local package
  package=$(find dist -name "camiohookd_*_$1.deb" 2>/dev/null | head -n 1)
  [[ -n $package && -z $(git ls-files -z --deduplicate -- ':!tests' ':!.ci' | xargs -0 -I{} find {} -newer "$package") ]]
}

bench() { # [NAME...] [--quick] | scaling [--quick] | soak [--minutes N]
  ensure "$BENCH_LOCK"
  "$VENV/bin/python" -m tests.bench "$@"
}

demo() { # [LABELER.py]
  [[ -z ${1:-} || -r $1 ]] || die "cannot read $1; expected a file that defines compute_labels"
  ensure "$LOCK"
  tests/demonstration "$VENV/bin" "$@"
}

# --- the package ----------------------------------------------------------------------------------------------------

deb() { # [--arch ARCH] [--install-deps]
  local arch='' install=()
  while (($# > 0)); do
    case $1 in
      --install-deps) install=(--install-deps) ;;
      --arch)
        [[ ${2:-} == amd64 || ${2:-} == arm64 ]] || wrong_usage
        arch=$2
        shift
        ;;
      *) wrong_usage ;;
    esac
    shift
  done
  debian/build "${arch:-$(dpkg --print-architecture)}" "${install[@]}"
}

reproducible() { debian/reproducible "$@"; }

repository() { debian/repository "$@"; }

# pip-audit gets an environment of its own, because it needs many packages. Its exit status is the same for known
# vulnerabilities and for a failure of its own, so its text is read.
audit() {
  local tool=.build/audit answer unknown failed=''
  "$tool/bin/pip-audit" --version >/dev/null 2>&1 || {
    say "installing pip-audit ..."
    "$(find_python)" -m venv --clear "$tool"
    "$tool/bin/python" -m pip --quiet --no-input --disable-pip-version-check install 'pip-audit>=2.9,<3' ||
      die "NOT AUDITED: pip-audit cannot be installed; see the error above. Run this where the network allows it"
  }
  # The lock has all versions and hashes, so nothing is resolved or installed.
  answer=$("$tool/bin/pip-audit" --disable-pip --require-hashes --progress-spinner off --requirement "$LOCK" 2>&1) ||
    failed=yes
  if grep -qE '^Name +Version +ID' <<<"$answer"; then
    say "$answer"
    die "requirements.lock pins packages with known vulnerabilities, see above; raise them with ./build.sh lock PACKAGE"
  fi
  # pip-audit counts a package that it cannot look up as no failure.
  unknown=$(grep -c 'could not be audited' <<<"$answer") || true
  if [[ -n $failed || $unknown != 0 ]]; then
    say "$(tail -n 3 <<<"$answer")"
    die "NOT AUDITED: the public list of known vulnerabilities cannot be read from here (packages not found in it: $unknown);" \
      "run this where the network allows it"
  fi
  say "$answer"
}

# debian/sbom.py has options for other packagers.
sbom() {
  ensure "$LOCK"
  "$VENV/bin/python" debian/sbom.py
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

# Writes one lock for all platforms and Python versions; those of tests and benchmarks hold the same versions and more.
lock() { # [PACKAGE...]
  local PATH=$VENV/bin:$PATH
  command -v uv >/dev/null || die "uv is missing; install it: $VENV/bin/pip install uv"
  local compile=(uv pip compile --quiet --universal --python-version 3.11 --generate-hashes
    --no-header --no-emit-index-url --no-annotate pyproject.toml --extra build "${@/#/--upgrade-package=}")
  (($# > 0)) || compile+=(--upgrade)
  "${compile[@]}" --output-file "$LOCK"
  "${compile[@]}" --extra test --constraint "$LOCK" --output-file "$TEST_LOCK"
  "${compile[@]}" --extra bench --constraint "$TEST_LOCK" --output-file "$BENCH_LOCK"
}

main "$@"
