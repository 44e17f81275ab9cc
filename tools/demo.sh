#!/bin/sh
# The main job from end to end on this computer: compare, up, run, logs, pull, cost, down.
#
#   tools/demo.sh VENV [FOLDER]    VENV: an environment with gpucloud and numpy; `make demo` makes it
#
# Everything lies in FOLDER, .demo/ of the checkout if none is given; what an earlier demo left there goes first.
# However the demo ends, its machine is taken down.
set -eu
root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
venv=$1
case $venv in /*) ;; *) venv=$(CDPATH='' cd -- "$venv" && pwd) ;; esac
demo=${2:-$root/.demo}
case $demo in /*) ;; *) demo=$PWD/$demo ;; esac
began=$(date +%s)

# The demo shows defaults: no setting of the user's takes part.
for name in $(env | sed -n 's/^\(GPUCLOUD_[A-Z0-9_]*\)=.*/\1/p'); do unset "$name"; done
PATH=$venv/bin:$PATH
GPUCLOUD_HOME=$demo/home
GPUCLOUD_LOCAL_USD_PER_HOUR=0.36 # this computer is free: a price makes the bill worth looking at
export PATH GPUCLOUD_HOME GPUCLOUD_LOCAL_USD_PER_HOUR

bold='' plain=''
if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then bold=$(printf '\033[1m') plain=$(printf '\033[0m'); fi

say() { printf '\n%s\n' "$*"; }

shown() { printf '%s$ %s%s\n' "$bold" "$*" "$plain"; }

try() { # show a command as it would be typed, then run it; nobody is asked
    shown "gpucloud $*"
    gpucloud "$@" </dev/null
}

take_down() { gpucloud down --all --yes --quiet </dev/null >/dev/null; }

finish() { # at a failure or an interruption
    code=$?
    trap - EXIT
    trap '' INT TERM HUP
    [ -z "${1:-}" ] || code=$1
    say "The demo was cut short (exit code $code); taking its machine down."
    take_down || echo "It could not be taken down: see GPUCLOUD_HOME='$GPUCLOUD_HOME' gpucloud ls" >&2
    exit "$code"
}

if [ -e "$demo" ] && [ ! -e "$demo/.gpucloud-demo" ]; then
    echo "$demo is there already and was not made by a demo: it is left alone." >&2
    exit 2
fi
if [ -d "$GPUCLOUD_HOME" ]; then take_down || :; fi # left by a demo that was killed
rm -rf -- "$demo"
mkdir -p -- "$demo/digits"
: >"$demo/.gpucloud-demo"
trap finish EXIT
trap 'finish 130' INT
trap 'finish 143' TERM
trap 'finish 129' HUP
cd -- "$demo/digits"

say "1. What do eight A100s cost? From the catalog that ships with gpucloud: no network, no account."
try compare A100:8 --limit 8

say "2. A folder with something to train: a small network that reads handwritten digits."
try init demo

say "3. A machine. The local cloud is this computer: a real SSH server, a folder and time limits of its own."
try up --cloud local --yes

say "4. Copy the folder there, train, follow the log, bring the model back."
try run python train.py

say "5. The run and its log are still there, and so is every file."
try ps
shown "gpucloud logs demo/1 | tail -n 3"
gpucloud logs demo/1 </dev/null >"$demo/log"
tail -n 3 "$demo/log"
try pull demo out/metrics.json again/metrics.json

say "6. What it cost, as if this computer were rented at $GPUCLOUD_LOCAL_USD_PER_HOUR USD an hour."
try cost

say "7. Remove the machine. This ends when nothing of it is left."
try down --yes

say "8. Nothing is left: no deployment, nothing that bills, no process, no machine folder."
try ls
try gc
left=$(ls "$GPUCLOUD_HOME/local" 2>/dev/null || :)
[ -z "$left" ] || { echo "Left in $GPUCLOUD_HOME/local: $left" >&2; exit 1; }

trap - EXIT INT TERM HUP
summary='import json, sys; bill, metrics = json.load(sys.stdin), json.load(open("out/metrics.json"))
print("test accuracy {:.1%}, cost {:.4f} USD".format(metrics["test_accuracy"], bill["total_usd"]))'
result=$(gpucloud cost -o json | "$venv/bin/python" -c "$summary")
say "${bold}Done in $(($(date +%s) - began)) s: $result.${plain}"
echo "The results lie in $demo/digits/out: $(cd out && echo *)"
