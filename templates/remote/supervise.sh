# Keeps one run: starts its job in a session of its own, holds the log to its cap, records the exit code.
# Arguments: the run's folder, how to make a session and a terminal (or none), session.py, terminal.py.
# stdin: the job as shell text.
run=$1 how=$2 tty=$3 session_py=$4 terminal_py=$5
trap '' HUP INT
job=$(cat)
exec </dev/null 2>/dev/null
set -f
born $$
me=$ticks
echo "$now_booted" >"$run/boot" && echo "$me" >"$run/born" && echo $$ >"$run/sup" || exit 73
mkfifo "$run/live" && exec 5<>"$run/live" # who reads it sees its end when this process ends, however it does
echo ready
exec >/dev/null

session() {
    case $how in
        setsid) setsid "$@";;
        python) python3 -c "$session_py" "$@";;
        perl) perl -e 'use POSIX; setsid(); exec @ARGV' "$@";;
    esac
}
# The login environment comes from the profile of the login shell where that speaks sh, else from sh's. What a
# profile prints is dropped. The job's text comes through descriptor 3: no list of processes ever shows it.
case ${SHELL##*/} in bash | zsh | ksh) login=$SHELL flag=-lc profile=;;
    *) login=sh flag=-c profile='for p in /etc/profile "$HOME/.profile"; do if [ -r "$p" ]; then . "$p"; fi; done; ';;
esac
inner=$profile'exec >>"$0/log" 2>&1; job=$(cat <&3); exec 3<&-; cd "$1"; eval "$job"'
inner_tty=$profile'exec >&4 2>&4 4>&-; job=$(cat <&3); exec 3<&-; cd "$1"; eval "$job"'
announce='echo $$ >"$0/pid"; '

# The log may grow past its cap between two looks; it is cut back to the cap and a mark. The last of what was cut is
# kept beside it and put behind the mark when the job has ended: there stands why it failed.
first "$run/cap"; cap=$word
kept=65536; if [ "$cap" -lt $kept ]; then kept=$cap; fi
mark="
[gpucloud: the log has reached its cap of $cap bytes; of what follows only the last $kept bytes are kept, until the end]
"
total=$((cap + ${#mark}))
hold_log() {
    if [ "$cap" = 0 ]; then return; fi
    size=$(wc -c <"$run/log")
    if [ "$size" -le "$cap" ]; then return; fi
    if [ ! -s "$run/capped" ]; then
        cut_log "$cap"
        printf %s "$mark" | dd of="$run/log" bs=4096 oflag=seek_bytes seek="$cap" conv=notrunc 2>/dev/null ||
            printf %s "$mark" | dd of="$run/log" bs=1 seek="$cap" conv=notrunc
        echo $total >"$run/capped"
    elif [ "$size" -gt $total ]; then cut_log $total
    fi
}
# cut_log BYTES: all that is beyond. What is printed between tail's last look and dd's cut is gone without a trace.
cut_log() {
    first "$run/cut"
    if [ "$word" = - ]; then word=0; fi
    echo $((word + size - $1)) >"$run/cut.new"
    { if [ -r "$run/tail" ]; then cat "$run/tail"; fi; tail -c "+$(($1 + 1))" "$run/log"; } |
        tail -c "$kept" >"$run/tail.new"
    dd if=/dev/null of="$run/log" bs=1 seek="$1"
    mv "$run/tail.new" "$run/tail"; mv "$run/cut.new" "$run/cut"
}
end_log() {
    first "$run/cut"; cut=$word
    if [ "$cut" = - ]; then return; fi
    left=$((cut - $(wc -c <"$run/tail")))
    { if [ $left -gt 0 ]; then echo "[gpucloud: $left bytes are left out here]"; fi; cat "$run/tail"; } >>"$run/log"
    echo $(($(wc -c <"$run/log"))) >"$run/capped.new" && mv "$run/capped.new" "$run/capped"
    rm -f "$run/tail" "$run/cut"
}
# A look is two forks: one a second, but ten while the log grows so fast that it would meet its cap in four.
watch_log() {
    size=0 pause=0.1 looks=10 over=
    trap over=1 TERM # a cut under way is finished
    while was=$size; do
        sleep "$pause" & wait $!
        born $$
        if [ -n "$over" ] || [ "$ticks" != "$me" ]; then break; fi
        hold_log
        if [ $((size + 4 * looks * (size - was))) -gt "$cap" ] && [ "$size" != "$was" ]; then pause=0.1 looks=10
        else pause=1 looks=1
        fi
        if [ "$size" -gt $total ]; then size=$total; fi
    done
}
watcher=
if [ "$cap" -gt 0 ]; then watch_log 5>&- & watcher=$!; fi
trap - INT

if [ -z "$tty" ]; then
    printf '%s\n' "$job" 5>&- | session sh -c "exec 3<&0 </dev/null; $announce"'exec "$1" "$2" "$3" "$0" "$4"' \
        "$run" "$login" "$flag" "$inner" "$PWD" 5>&-
    code=$?
else
    # `script`, or terminal.py, gives the job a terminal and passes its exit code on; SHELL is what it runs that with
    export GPUCLOUD_TTY_RUN="$run" GPUCLOUD_TTY_SHELL="$SHELL" GPUCLOUD_TTY_INNER="$inner_tty" \
        GPUCLOUD_TTY_LOGIN="$login" GPUCLOUD_TTY_FLAG="$flag" GPUCLOUD_TTY_START='
        echo $$ >"$GPUCLOUD_TTY_RUN/pid"
        SHELL=$GPUCLOUD_TTY_SHELL run=$GPUCLOUD_TTY_RUN inner=$GPUCLOUD_TTY_INNER
        login=$GPUCLOUD_TTY_LOGIN flag=$GPUCLOUD_TTY_FLAG; export SHELL
        unset GPUCLOUD_TTY_RUN GPUCLOUD_TTY_SHELL GPUCLOUD_TTY_INNER GPUCLOUD_TTY_LOGIN GPUCLOUD_TTY_FLAG
        unset GPUCLOUD_TTY_START
        exec 4>&1 >/dev/null 2>&1
        exec "$login" "$flag" "$inner" "$run" "$PWD"'
    printf '%s\n' "$job" 5>&- | SHELL=/bin/sh session sh -c 'exec 3<&0 </dev/null >>"$GPUCLOUD_TTY_RUN/log" 2>&1
        if [ "$1" = python ]; then exec python3 -c "$2"; fi
        exec script -qfec '\''eval "$GPUCLOUD_TTY_START"'\'' /dev/null' gpucloud-tty "$tty" "$terminal_py" 5>&-
    code=$?
fi
if [ -n "$watcher" ]; then kill "$watcher"; wait "$watcher"; fi
hold_log
end_log
if ! printf %4096s '' >"$run/room.new"; then mv "$run/room" "$run/full"; fi
rm -f "$run/room.new"
date +%s 1<>"$run/ended"
printf %s "$code" 1<>"$run/exit.new"
mv "$run/exit.new" "$run/exit"
