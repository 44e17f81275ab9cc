#!/bin/sh
# Train through interruptions, from this computer: a machine, the run, a copy of out/ every minute; and when the
# machine was taken back, a new one that goes on from the newest copy. Ends with the training's own exit code.
#
#   sh through.sh [NAME]     TRIES=20 machines at most, EVERY_S=60 seconds between the copies, RUN_OPTIONS for
#                            gpucloud run
#
# Every machine has the price and time limits of gpucloud.yaml. Ctrl-C leaves the machine to them: gpucloud down NAME.
set -u
name=${1:-resume}
tries=${TRIES:-20}
copier=

end_copies() {
    if [ -n "$copier" ]; then kill "$copier" 2>/dev/null; wait "$copier" 2>/dev/null; copier=; fi
}
trap 'end_copies; echo "$name may still bill: gpucloud down $name" >&2; exit 130' INT TERM

fetch() { gpucloud --quiet pull "$name" out out >/dev/null 2>&1; }

while [ "$tries" -gt 0 ]; do
    tries=$((tries - 1))
    gpucloud up "$name" --yes || exit $?
    (trap 'exit 0' TERM; while sleep "${EVERY_S:-60}"; do fetch; done) &
    copier=$!
    # shellcheck disable=SC2086
    gpucloud run --on "$name" ${RUN_OPTIONS:-}
    code=$?
    end_copies
    fetch
    gpucloud down "$name" --yes || exit $?
    case $code in
        # 75: it was told to end and saved. 125: the machine is gone or cannot be reached. 137, 143: killed.
        75 | 125 | 137 | 143) echo "through: cut off with $code, $tries tries left" >&2 ;;
        *) exit "$code" ;;
    esac
done
echo "through: no tries left" >&2
exit 75
