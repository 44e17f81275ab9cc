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
keep_s=600 # an entry is deleted by its owner once its successor is that old: no listing takes so long
now=$(date +%s) me=$(id -u) user=$(id -un 2>/dev/null)
case $user in '' | *[!A-Za-z0-9._-]*) user=$me;; esac
base=$PWD/gpucloud/$dir seen= old=
fail() { printf '%s\n' "fail $*"; exit 0; }

# shelf_ready: the shelf exists, is no trap, and we may write there
shelf_ready() {
    if [ ! -e "$shelf" ] && [ ! -L "$shelf" ]; then mkdir -m 1777 "$shelf" 2>/dev/null; fi
    if [ -L "$shelf" ]; then fail shelf "$shelf is a symbolic link, which is not trusted"; fi
    if [ ! -d "$shelf" ]; then fail shelf "$shelf is not there and $user may not make it"; fi
    if [ ! -w "$shelf" ] || [ ! -x "$shelf" ]; then fail shelf "$user may not write to $shelf"; fi
    set -- $(ls -ldn "$shelf")
    case $1 in ????????w[!tT]*) fail shelf "everybody may delete in $shelf: it lacks the sticky bit (chmod +t)";; esac
}

# scan: the highest generation of every GPU, in gen_I uid_I state_I until_I since_I user_I uuid_I id_I token_I payload_I
scan() {
    for i in $seen; do eval "gen_$i="; done
    seen= old= last= last_uid= last_name=
    rows=$(ls -lnq "$shelf" 2>/dev/null)
    IFS=$newline; set -- $rows; IFS=$blanks
    for row; do
        set -- $row
        case $1${9-} in l*gpu-[0-9]*.??????????) ;; *) continue;; esac
        i=${9#gpu-} name=$9 uid=$3; g=${i##*.} i=${i%.*}
        case $i$g in *[!0-9]*) continue;; esac
        shift 10
        case ${2:-x}${3:-x} in *[!0-9]*) set -- odd 0 0 '?' - - - -;; esac
        if [ "$i" = "$last" ]; then
            if [ "$last_uid" = "$me" ] && [ $((now - $3)) -ge $keep_s ]; then old="$old $last_name"; fi
        else seen="$seen $i"
        fi
        last=$i last_uid=$uid last_name=$name
        state=$1 ends=$2 since=$3 who=$4 uuid=$5 of=$6 by=$7 load=${8--}
        eval "gen_$i=\$g uid_$i=\$uid state_$i=\$state until_$i=\$ends since_$i=\$since user_$i=\$who
            uuid_$i=\$uuid id_$i=\$of token_$i=\$by payload_$i=\$load"
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
    g=$((1${g:-0000000000} + 1))
    ln -sn "$*" "$shelf/gpu-$i.${g#1}" 2>/dev/null
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
