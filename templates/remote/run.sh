# What follow, signal and status share. A run's folder holds: log, sup (supervisor's pid), born (its start time),
# pid (the job's process group), boot (which boot of the machine), started, ended, exit, setup (while it runs),
# live (a pipe that the supervisor holds open as long as it lives), cap (bytes the log may have), capped (bytes it
# has for good once that was reached), tail and cut (the last of what was cut since, and how much that was), room (full: the disk was when it ended), others (when it was told to end, as
# the run had failed on another node). Results are left in variables: a subshell would cost a fork each.
# first FILE: its first word in $word
first() {
    word=''
    if [ -r "$1" ]; then read -r word _ <"$1"; fi
    word=${word:--}
}
# born PID: its start time in $ticks, so that a recycled pid is not taken for ours
born() {
    stat='' ticks=-
    if [ -r "/proc/$1/stat" ]; then read -r stat <"/proc/$1/stat"; fi
    set -- ${stat##*) } -
    # Z: nobody has fetched its exit code; many containers' pid 1 never does
    case $1 in [ZX]) ticks=dead; return;; esac
    if [ $# -ge 21 ]; then shift 19; ticks=$1; fi
}
# which boot of the machine this is, in $boot
boot() {
    first /proc/sys/kernel/random/boot_id; boot=$word
    if [ "$boot" = - ]; then boot=$(sysctl -n kern.boottime 2>/dev/null | tr -d ' '); fi
    born 1
    boot=$boot/$ticks
}
boot
now_booted=$boot
# alive RUN: its supervisor lives; its pid is in $sup
alive() {
    first "$1/sup"; sup=$word
    if [ "$sup" = - ]; then return 1; fi
    first "$1/boot"
    if [ "$word" != "$now_booted" ]; then return 1; fi
    first "$1/born"
    born "$sup"
    [ "$word" = "$ticks" ] && kill -0 "$sup" 2>/dev/null
}
# tell RUN: its status in $line
tell() {
    state=none code=-
    if [ ! -s "$1/exit" ] && alive "$1"; then
        state=running; if [ -e "$1/setup" ]; then state=setup; fi
    elif [ -s "$1/exit" ]; then
        first "$1/exit"; state=exited code=$word; if [ -e "$1/setup" ]; then state=setup-failed; fi
    elif [ -d "$1" ]; then state=lost
    fi
    size=0; if [ -r "$1/log" ]; then size=$(wc -c <"$1/log"); fi
    first "$1/started"; started=$word
    first "$1/ended"
    full=-; if [ -e "$1/full" ]; then full=full; fi
    closed=$word
    first "$1/others"
    line="$state $code $((size)) $started $closed $(date +%s 2>/dev/null || echo -) $full $word"
}
