# start: begin a run that outlives this connection. stdin: the job as shell text, ended by `#gpucloud-end`.
# Variables: run (its folder), work, tty, cap, run_sh, supervise_sh, session_py, terminal_py.
# mkdir is the lock: a start that is repeated after a lost answer finds the run and leaves it alone.
job=$(cat)
case $job in *'#gpucloud-end') ;; *) die 'the job was cut';; esac
terminal=
if [ -n "$tty" ]; then
    case $(script --version 2>/dev/null) in *util-linux*) terminal=script;; *)
        if have python3; then terminal=python; else die 'a terminal needs the program script, or python3'; fi;;
    esac
fi
begin
case $run in /*) ;; *) run=$PWD/$run;; esac
if [ ! -d "${run%/*}" ] || [ ! -d "$work" ]; then mkdir -p "${run%/*}" "$work" || exit 73; fi
if ! mkdir "$run" 2>/dev/null; then
    if [ ! -d "$run" ]; then mkdir "$run" || exit 73; fi # says why
    n=0
    until [ -s "$run/sup" ] || [ $n -ge 100 ]; do n=$((n + 1)); sleep 0.05; done
    echo ok
    exit 0
fi
# Blanks that are overwritten in place at the end, and a name to change: a disk that is full by then must not cost
# the exit code, and is told of.
{ : >"$run/log" && : >"$run/room" && echo '                ' >"$run/exit.new" && echo '                ' >"$run/ended" &&
    echo "$cap" >"$run/cap" && date +%s >"$run/started" 2>/dev/null; } || {
    dd if=/dev/zero of="$run/room" bs=4096 count=1 # says why: dash's echo knows only "I/O error"
    rm -rf "$run"; exit 73
}
cd "$work" || exit 73
# Never `&`: a background job of a shell without job control has SIGINT ignored for good.
detach() {
    case $how in
        setsid) setsid -f "$@";;
        python) python3 -c "$session_py" fork "$@";;
        perl) perl -e 'use POSIX; fork and exit; setsid(); exec @ARGV' "$@";;
    esac
}
for how in setsid python perl; do # busybox has a setsid that cannot fork
    ready=$(printf '%s\n' "$job" |
        detach sh -c "$run_sh$supervise_sh" gpucloud-run "$run" "$how" "$terminal" "$session_py" "$terminal_py" 2>/dev/null)
    if [ "$ready" = ready ]; then echo ok; exit 0; fi
done
rm -rf "$run"
die 'the supervisor did not start: neither setsid, python3 nor perl: command not found'
