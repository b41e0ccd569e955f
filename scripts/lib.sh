# Sourced by the other scripts: one virtual environment in the checkout, made when it is missing or out of date.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
ROOT=$PWD
VENV=$ROOT/.venv
PATH=$VENV/bin:$PATH
export PIP_DISABLE_PIP_VERSION_CHECK=1
# uv brings certificates of its own and ignores the machine's, which an inspecting proxy needs; pip reads them.
# The second is what older versions of uv call it.
export UV_SYSTEM_CERTS=1 UV_NATIVE_TLS=1
# All that is tried here listens on loopback, also where a proxy leads to the package index.
export NO_PROXY=127.0.0.1,localhost${NO_PROXY:+,$NO_PROXY} no_proxy=127.0.0.1,localhost${no_proxy:+,$no_proxy}

say() { printf '== %s\n' "$*"; }

# find_python [versions]: print the first Python that has one of them; without any, one that the package supports.
find_python() {
    local wanted=${1:-3.11 3.12 3.13 3.14} candidates candidate version
    read -ra candidates <<<"${PYTHON:-} ${wanted//3./python3.} python3"
    for version in $wanted; do # those beside PATH
        candidates+=("${PYENV_ROOT:-$HOME/.pyenv}/versions/$version".*/bin/python)
        candidates+=("$(uv python find --quiet --system --no-python-downloads "$version" 2>/dev/null || true)")
    done
    for candidate in "${candidates[@]}"; do
        version=$("$candidate" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null) || continue
        if [[ " $wanted " == *" $version "* ]]; then
            echo "$candidate"
            return
        fi
    done
    echo "No Python ${wanted// /, } found; set PYTHON to one." >&2
    return 1
}

setup() {
    local stamp=$VENV/.stamp wanted
    wanted=$(cat pyproject.toml constraints.txt | cksum)
    if [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ]; then return; fi
    say "Setting up $VENV (a minute or two on first use)"
    rm -rf "$VENV"
    "$(find_python)" -m venv "$VENV"
    "$VENV/bin/pip" install --quiet --constraint constraints.txt uv
    "$VENV/bin/uv" pip install --quiet --python "$VENV/bin/python" --constraint constraints.txt \
        --editable '.[s3,sandbox]' --group dev
    echo "$wanted" >"$stamp"
}

# A private Airflow: nothing of the machine's or the user's own gets in, and nothing is left behind.
private_airflow() {
    unset "${!AIRFLOW_@}"
    AIRFLOW_HOME=$(mktemp -d "${TMPDIR:-/tmp}/wisdomgate-airflow.XXXXXX")
    export AIRFLOW_HOME AIRFLOW__CORE__LOAD_EXAMPLES=False AIRFLOW__CORE__UNIT_TEST_MODE=False
    trap 'rm -rf "$AIRFLOW_HOME"' EXIT
}
