# What follow, signal and status share. A run's folder holds: log, sup (supervisor's pid), born (its start time),
# pid (the job's process group), boot (which boot of the machine), started, ended, exit, setup (while it runs),
# live (a pipe that the supervisor holds open as long as it lives), cap (bytes the log may have), capped (bytes it has for good once that was reached).
boot() {
    cat /proc/sys/kernel/random/boot_id 2>/dev/null || sysctl -n kern.boottime 2>/dev/null
    born 1
}
# born PID: its start time in ticks, so that a recycled pid is not taken for ours
born() {
    stat=
    if [ -r "/proc/$1/stat" ]; then read -r stat <"/proc/$1/stat"; fi
    set -- ${stat##*) } -
    case $1 in [ZX]) echo dead; return;; esac # nobody has fetched its exit code: many containers' pid 1 never does
    if [ $# -ge 21 ]; then shift 19; echo "$1"; else echo -; fi
}
# first FILE: its first word
first() {
    word=
    if [ -r "$1" ]; then read -r word _ <"$1"; fi
    echo "${word:--}"
}
now_booted=$(boot)
# alive RUN: its supervisor lives
alive() {
    if [ ! -s "$1/sup" ] || [ "$(cat "$1/boot")" != "$now_booted" ]; then return 1; fi
    read -r sup <"$1/sup"
    kill -0 "$sup" 2>/dev/null && [ "$(born "$sup")" = "$(first "$1/born")" ]
}
# tell RUN: its status line
tell() {
    state=none code=-
    if [ ! -s "$1/exit" ] && alive "$1"; then
        state=running; if [ -e "$1/setup" ]; then state=setup; fi
    elif [ -s "$1/exit" ]; then
        state=exited code=$(first "$1/exit"); if [ -e "$1/setup" ]; then state=setup-failed; fi
    elif [ -d "$1" ]; then state=lost
    fi
    size=0; if [ -r "$1/log" ]; then size=$(wc -c <"$1/log"); fi
    echo "$state $code" $size "$(first "$1/started")" "$(first "$1/ended")"
}
