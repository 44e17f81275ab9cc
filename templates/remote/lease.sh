# Leases of GPUs on a host that several accounts share: what every lease script begins with (docs/own-machines.md).
#
# The shelf is one folder for all accounts. Each GPU has a chain of symbolic links there, gpu-INDEX.GENERATION,
# whose target is not a path but the lease itself; the highest generation tells how that GPU stands:
#
#   held UNTIL SINCE USER UUID DEPLOYMENT TOKEN PAYLOAD        (UNTIL 0: no end)
#   free 0 SINCE USER - - - -
#
# To take, extend or give back a GPU is to make the next generation. Making a link is one system call that fails
# when the name is there, follows nothing and carries its whole content, so of any number of racing processes one
# wins, and a killed one leaves a whole lease or none. Nothing is ever changed or needs deleting by others: the
# sticky bit forbids that, and an expired lease is simply passed over. See docs/decisions/own-machines.md.
#
# Variables: shelf, id (deployment), dir (our folder's name below gpucloud/), token, payload, grace (seconds).
unset TIME_STYLE QUOTING_STYLE LS_COLORS BLOCK_SIZE
newline='
' blanks=$IFS
keep_s=${keep_s:-600} # an entry is deleted by its owner once its successor is that old: no listing takes so long
now=$(date +%s) me=$(id) # uid=1000(alice) gid=…
me=${me#uid=} me=${me%% *} user=${me#*(}
me=${me%%(*} user=${user%)}
case $user in '' | *[!A-Za-z0-9._-]*) user=$me;; esac
base=$PWD/gpucloud/$dir seen= old=
fail() { printf '%s\n' "fail $*"; exit 0; }

# shelf_ready: whether the shelf exists, is no trap, and we may write there; else $why
shelf_ready() {
    why=
    if [ ! -e "$shelf" ] && [ ! -L "$shelf" ]; then mkdir -m 1777 "$shelf" 2>/dev/null; fi
    if [ -L "$shelf" ]; then why="$shelf is a symbolic link, which is not trusted"
    elif [ ! -d "$shelf" ]; then why="$shelf is not there and $user may not make it"
    elif [ ! -w "$shelf" ] || [ ! -x "$shelf" ]; then why="$user may not write to $shelf"
    elif [ ! -k "$shelf" ]; then
        mode=$(ls -ldn "$shelf")
        case ${mode%% *} in ????????w[!tT]*)
            why="everybody may delete in $shelf: it lacks the sticky bit (chmod +t)";;
        esac
    fi
    [ -z "$why" ]
}

# scan: the highest generation of every GPU, in gen_I uid_I state_I until_I since_I user_I uuid_I id_I token_I payload_I;
# their numbers in $seen, and names of ours that nobody needs any more in $old. `ls` sorts generations in order.
scan() {
    for i in $seen; do eval "gen_$i="; done
    seen= old=
    rows=$(ls -lnq "$shelf" 2>/dev/null | awk -v me="$me" -v now="$now" -v keep="$keep_s" '
        $9 ~ /^gpu-[0-9]+\.[0-9]+$/ { # what is no lease but has the name of one keeps its GPU from everybody
            at = index($9, "."); i = substr($9, 5, at - 5); g = substr($9, at + 1)
            if (length(g) != 10) next
            good = g < 9999999999 && $1 ~ /^l/ && $10 == "->" && $12 ~ /^[0-9]+$/ && $13 ~ /^[0-9]+$/
            if ((i in gen) && uid[i] == me && good && now - $13 >= keep) print "old", name[i]
            gen[i] = g; uid[i] = $3; name[i] = $9; lease[i] = "odd 0 0 ? - - - -"
            if (good && NF >= 18) lease[i] = $11 " " $12 " " $13 " " $14 " " $15 " " $16 " " $17 " " $18
        }
        END { for (i in gen) print "top", i, gen[i], uid[i], lease[i] }')
    IFS=$newline; set -- $rows; IFS=$blanks
    for row; do
        set -- $row
        if [ "$1" = old ]; then old="$old $2"; continue; fi
        i=$2 seen="$seen $2"
        shift 2
        eval "gen_$i=\$1 uid_$i=\$2 state_$i=\$3 until_$i=\$4 since_$i=\$5 user_$i=\$6
            uuid_$i=\$7 id_$i=\$8 token_$i=\$9 payload_$i=\${10}"
    done
}
# verdict I: $is is free, mine or held
verdict() {
    eval "g=\${gen_$1-} state=\${state_$1-} ends=\${until_$1-} of=\${id_$1-} by=\${token_$1-} uid=\${uid_$1-}"
    is=held
    if [ -z "$g" ] || [ "$state" = free ]; then is=free
    elif [ "$state" != held ]; then :
    elif [ "$of" = "$id" ] && [ "$uid" = "$me" ] && { [ -z "$token" ] || [ "$by" = "$token" ]; }; then is=mine
    elif [ "$ends" != 0 ] && [ $((ends + grace)) -le "$now" ]; then is=free
    fi
}
# put I WORDS…: make the next generation; fails when somebody else has
put() {
    i=$1; shift
    eval "g=\${gen_$i-}"
    g=$((1${g:-0000000000} + 1)); made=$shelf/gpu-$i.${g#1}
    if [ -d "$made" ]; then return 1; fi # ln would make the link inside it
    ln -sn "$*" "$made" 2>/dev/null || return 1
    # Ours only if it is the newest: the generations we passed over may have been deleted before.
    set +f; set -- "$shelf/gpu-$i".[0-9][0-9][0-9][0-9][0-9][0-9][0-9][0-9][0-9][0-9]; set -f
    while [ $# -gt 1 ]; do shift $(($# - 1)); done
    [ "$1" = "$made" ] && [ -L "$made" ]
}
# give_back: all GPUs of this deployment that are still ours, and what is left of earlier ones
give_back() {
    if [ ! -d "$shelf" ]; then return; fi
    scan
    for one in $seen; do
        verdict "$one"
        if [ $is = mine ]; then put "$one" free 0 "$now" "$user" - - - -; fi
    done
    for one in $old; do rm -f "$shelf/$one"; done
}
# tops: how every GPU with a chain stands, for the client
tops() {
    for i in $seen; do
        eval "printf '%s\\n' \"top $i \$uid_$i \$state_$i \$until_$i \$since_$i \$user_$i \$uuid_$i \$id_$i \$token_$i \$payload_$i\""
    done
}
# driver: sets $smi (yes, no, broken) and $shown, what nvidia-smi -L says
driver() {
    PATH=$PATH:/usr/local/bin:/usr/bin:/usr/local/nvidia/bin:/usr/lib/wsl/lib
    smi=no shown=
    if ! have nvidia-smi; then return; fi
    smi=yes
    shown=$(limited nvidia-smi -L 2>&1) || smi=broken
}
limited() { if have timeout; then timeout 30 "$@"; else "$@"; fi; } # a broken driver makes nvidia-smi hang
# running: lines `UUID, PID` of what computes on the GPUs
running() { limited nvidia-smi --query-compute-apps=gpu_uuid,pid --format=csv,noheader 2>/dev/null; }

# groups: the process groups of our runs that live, in $groups, and processes that left them, in $strays
groups() {
    groups= strays=
    set +f
    for run in "$base"/runs/*; do
        if [ -s "$run/exit" ] || ! alive "$run"; then continue; fi
        first "$run/pid"
        if [ "$word" != - ]; then groups="$groups $word"; fi
    done
    for one in $(grep -l "GPUCLOUD_LEASE=:$dir:" /proc/[0-9]*/environ 2>/dev/null); do
        one=${one#/proc/}; strays="$strays ${one%%/*}"
    done
    set -f
}
signal_all() {
    for one in $groups; do kill -s "$1" -- "-$one" 2>/dev/null; done
    for one in $strays; do kill -s "$1" "$one" 2>/dev/null; done
}
# end_runs SIGNAL SECONDS: ask them to end, wait, kill what is left; fails when something outlives that
end_runs() {
    groups; signal_all "$1"
    n=0
    while [ -n "$groups$strays" ] && [ $n -lt $(($2 * 10)) ]; do sleep 0.1; n=$((n + 1)); groups; done
    n=0
    while [ -n "$groups$strays" ] && [ $n -lt 50 ]; do signal_all KILL; sleep 0.1; n=$((n + 1)); groups; done
    [ -z "$groups$strays" ]
}
# watch: (re)start the process that ends the runs at the deadline
watch() {
    stop_watch
    printf '%s\n' "$watch_text" >"$base/watch.sh" || return
    if have setsid; then setsid sh "$base/watch.sh" </dev/null >/dev/null 2>&1 &
    else sh "$base/watch.sh" </dev/null >/dev/null 2>&1 &
    fi
}
stop_watch() {
    if [ -r "$base/watcher" ]; then
        read -r pid ticks_then <"$base/watcher"
        born "$pid"
        if [ "$ticks" = "$ticks_then" ] && [ "$ticks" != - ]; then kill -- "-$pid" 2>/dev/null || kill "$pid" 2>/dev/null; fi
    fi
}
