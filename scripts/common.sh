# What the scripts for pipelines share; sourced.

# The one that was built here, else the one that is installed.
if [ -z "${CANARYCTL:-}" ] && [ -x "$here/../build/canaryctl" ]; then
    canaryctl=$here/../build/canaryctl
else
    canaryctl=${CANARYCTL:-canaryctl}
fi

colour= plain=

if [ -t 2 ] && [ -z "${NO_COLOR:-}" ]; then
    colour=$'\033[1m' plain=$'\033[0m'
fi

say() { printf '%s\n' "$colour${0##*/}:$plain $*" >&2; }

die() {
    say "$@"
    exit 1
}

die_usage() {
    say "$@" "(see ${0##*/} --help)"
    exit 2
}

# The comment at the head of the script.
usage() { sed -n '2,/^$/s/^#\( \|$\)//p' "$0"; }

need() { [ $# -ge 2 ] && [ -n "$2" ] || die_usage "$1 needs a value"; }

tools() {
    local tool

    for tool in "$canaryctl" jq; do
        command -v "$tool" >/dev/null || die "$tool is not installed"
    done
}

# One upstream as JSON.
upstream_state() {
    local all one

    all=$("$canaryctl" status --json) || exit 1
    one=$(jq -c --arg u "$1" '.upstreams[] | select(.upstream == $u)' \
        <<<"$all")

    if [ -z "$one" ]; then
        die "no node reports an upstream $1; there are:" \
            "$(jq -r '[.upstreams[].upstream] | join(", ")' <<<"$all")"
    fi

    printf '%s\n' "$one"
}
