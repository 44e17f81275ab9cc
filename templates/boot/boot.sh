#!/bin/sh
# boot.sh - everything a cloud machine does for gpucloud by itself. gpucloud/core/boot.py fills in the facts.
#
# Without words it sets itself up and returns at once, at the first boot and at every other: it copies itself (less
# the token) to /var/lib/gpucloud and starts three watchers, as systemd units or as processes of their own:
#
#   prove     the login user and key, then the proof of sshd's host key (remote/proof.sh) as soon as that exists
#   deadline  the absolute end, 10 min notice in `ending-soon`; a machine that boots too late waits 15 min
#   idle      no run, no SSH connection, GPU < 5 %, load < 0.5, disk < 1 MiB/s, network < 32 KiB/s for the whole
#             window; what cannot be told is busy; the time of `hold` counts as work, and may lie in the future.
#             Nodes of one deployment end together: each shows the others when it was last busy (watcher `serve`)
#
# A watcher that ends the machine ends its runs (INT, TERM, KILL, 10 s between), runs $ending, then `poweroff`, then
# forced, then the kernel's own switch. What belongs to root is below GPUCLOUD_BOOT_ROOT (tests), and the login
# user's files are in ~/gpucloud/DEPLOYMENT: deadline (epoch seconds, 0 = never, may be rewritten at any time),
# hold, ending-soon, gpucloud-proof, peers (addresses of the other nodes), runs/. Needs a POSIX sh (dash, busybox) and what every image has.
deployment=@DEPLOYMENT@
instance=@INSTANCE@
login=@LOGIN@
key=@KEY@
proof_token=@TOKEN@
boot_deadline=@DEADLINE@
idle=@IDLE@
at_end=@AT_END@
nodes=@NODES@
ending=@ENDING@

LC_ALL=C
PATH=$PATH:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export LC_ALL PATH
umask 022
root=${GPUCLOUD_BOOT_ROOT:-}
lib=$root/var/lib/gpucloud
run=$root/run/gpucloud
pace=${GPUCLOUD_BOOT_PACE:-10}
grace=${GPUCLOUD_BOOT_GRACE:-10}
self=$lib/boot.sh

# include remote/run.sh before # tell RUN

prove() (
    # include remote/proof.sh
)
say() { echo "$(date -u +%Y-%m-%dT%H:%M:%SZ) $*" >>"$lib/log"; }
clock() { now=$(date +%s); }
nap() { sleep "$1" 2>/dev/null || sleep 1; }
whole() { case $1 in '' | *[!0-9]*) return 1 ;; esac; }
# put FILE TEXT: whole or not at all, and never through a link
put() { printf '%s\n' "$2" >"$1.new.$$" && mv -f "$1.new.$$" "$1"; }

# account: the login user's home in $home and our folder there in $base
account() {
    line=$(getent passwd "$login" 2>/dev/null || grep "^$login:" "$root/etc/passwd" 2>/dev/null) || return 1
    line=${line%:*}
    home=${line##*:}
    line=${line%:*:*}
    gid=${line##*:}
    base=$home/gpucloud/$deployment
    [ -n "$home" ]
}
# theirs FILE...: they belong to the login user
theirs() { chown -h "$login:$gid" "$@"; }

# the word under which the client proves us, in $instance
ask_instance() {
    if [ -n "$instance" ]; then return; fi
    first "$root/var/lib/cloud/data/instance-id"
    case $word in
    i-*) instance=$word ;;
    *)
        imds=${AWS_EC2_METADATA_SERVICE_ENDPOINT:-http://169.254.169.254}
        pass=$(curl -sf -m 5 -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 60' "$imds/latest/api/token") &&
            instance=$(curl -sf -m 5 -H "X-aws-ec2-metadata-token: $pass" "$imds/latest/meta-data/instance-id")
        ;;
    esac
    [ -n "$instance" ]
}

make_login() {
    useradd -m -s /bin/bash "$login" 2>/dev/null || adduser -D -s /bin/sh "$login" || return 1
    say "made the user $login"
}
# cloud images let their user become root without a password
let_sudo() {
    if [ "$login" != root ]; then
        (umask 0337 && put "$root/etc/sudoers.d/90-gpucloud" "$login ALL=(ALL) NOPASSWD:ALL")
    fi
}
write_deadline() {
    put "$base/deadline" "$1"
    theirs "$base/deadline"
}
let_in() {
    mkdir -p "$home/.ssh" "$base" && chmod 700 "$home/.ssh" || return 1
    keys=$home/.ssh/authorized_keys
    if ! grep -qxF "$key" "$keys" 2>/dev/null; then
        if [ -s "$keys" ] && [ -n "$(tail -c 1 "$keys")" ]; then echo >>"$keys"; fi
        echo "$key" >>"$keys"
    fi
    chmod 600 "$keys"
    if [ ! -e "$base/deadline" ]; then first "$lib/deadline" && write_deadline "$word"; fi
    theirs "$home/.ssh" "$keys" "$home/gpucloud" "$base"
}
# cloud-init makes users and host keys anew at the first boot; before that there is nothing to sign
settled() {
    init=$root/run/cloud-init
    [ ! -d "$init" ] || [ -e "$init/disabled" ] || [ -e "$init/result.json" ] ||
        [ -e "$root/var/lib/cloud/instance/sem/config_ssh" ]
}
# Some images make their host keys late and once more, so the key is looked at for ten minutes.
watch_key() {
    n=0 signed=
    public=$root/etc/ssh/ssh_host_ed25519_key.pub
    while [ $n -lt 1200 ]; do
        n=$((n + 1))
        if { settled || [ $n -ge 240 ]; } && { account || { make_login && account; }; } && [ -s "$public" ] &&
            read -r shown <"$public" && [ "$shown" != "$signed" ] && ask_instance; then
            let_sudo
            if let_in && cp "$lib/token" "$lib/token.once" &&
                prove "$deployment" "$instance" "$lib/token.once" "$base/gpucloud-proof" "$public"; then
                signed=$shown
                theirs "$base/gpucloud-proof"
                say "proved $instance"
            fi
        fi
        nap 0.5
    done
    rm -f "$lib/token"
}

# known: the deadline in $end, 0 for none; ours is remembered, should the login user's file be lost
known() {
    first "$lib/deadline"
    end=$word
    if account; then
        first "$base/deadline"
        if whole "$word" && [ "$word" != "$end" ]; then end=$word && put "$lib/deadline" "$end"; fi
    fi
    whole "$end" || end=0
}
# notice EPOCH: runs can read when they end; 0 is never
notice() {
    if [ ! -d "$base" ]; then return; fi
    if [ "$1" -gt 0 ] && [ $((now + 600)) -ge "$1" ]; then
        first "$base/ending-soon"
        if [ "$word" != "$1" ]; then
            put "$base/ending-soon" "$1" && theirs "$base/ending-soon"
        fi
    elif [ -e "$base/ending-soon" ]; then rm -f "$base/ending-soon"
    fi
}
watch_deadline() {
    clock
    started='' booted=''
    if [ -r "$run/born" ]; then read -r started booted <"$run/born"; fi
    if [ "$booted" != "$now_booted" ]; then started=$now && put "$run/born" "$now $now_booted"; fi
    while :; do
        clock
        known
        limit=$end reason=deadline
        if [ "$end" -gt 0 ] && [ "$end" -le "$started" ]; then limit=$((started + 900)) reason=late; fi
        notice "$limit"
        if [ "$end" -gt 0 ] && [ "$now" -ge "$limit" ]; then finish "$reason"; fi
        sleep "$pace"
    done
}

# going [SIGNAL]: some run is; it goes to all of them
going() {
    found=1
    for folder in "$base"/runs/*/; do
        folder=${folder%/}
        if [ -d "$folder" ] && [ ! -s "$folder/exit" ] && alive "$folder"; then
            found=0
            first "$folder/pid"
            if [ -n "${1:-}" ] && [ "$word" != - ]; then kill -s "$1" -- "-$word" 2>/dev/null; fi
        fi
    done
    return $found
}
# connected: somebody has an SSH connection: a session, a copy or a forward. Others' attempts have [net] or [priv].
connected() {
    for command in "$root"/proc/[0-9]*/cmdline; do
        title=
        { IFS= read -r title <"$command"; } 2>/dev/null
        case $title in *']'*) ;; sshd:* | sshd-session:*) return 0 ;; esac
    done
    return 1
}
# A nvidia-smi that hangs holds this watcher up, which is as good as busy; the deadline is another one's work.
gpus_idle() {
    if ! command -v nvidia-smi >/dev/null; then
        [ ! -e "$root/proc/driver/nvidia" ]
        return
    fi
    use=$(nvidia-smi --query-gpu=utilization.gpu --format=csv,noheader,nounits 2>/dev/null) || return 1
    for percent in $use; do
        whole "$percent" && [ "$percent" -lt 5 ] || return 1
    done
    [ -n "$use" ]
}
# moved: sectors of whole disks in $disk, bytes of networks in $net
moved() {
    disk=0 net=0
    while read -r _ _ name _ _ got _ _ _ put _; do
        case $name in loop* | ram* | zram* | sr* | dm-* | md* | [svx]*[0-9] | *p[0-9]*) ;; *) disk=$((disk + got + put)) ;; esac
    done <"$root/proc/diskstats" || return 1
    while IFS=': ' read -r name got _ _ _ _ _ _ _ put _; do
        case $name in lo | face | *-*) ;; *) net=$((net + got + put)) ;; esac
    done <"$root/proc/net/dev"
} 2>/dev/null
busy() {
    if going || connected || ! gpus_idle; then return 0; fi
    first "$root/proc/loadavg"
    case $word in 0.[0-4]*) ;; *) return 0 ;; esac
    was_disk=$disk was_net=$net passed=$((now - looked))
    moved || return 0
    looked=$now
    [ "$passed" -lt 1 ] || [ $((disk - was_disk)) -ge $((2048 * passed)) ] ||
        [ $((net - was_net)) -ge $((32768 * passed)) ]
}
# ask ADDRESS: what that node shows, without headers (HTTP/0.9)
ask() { timeout 5 bash -c 'exec 3<>/dev/tcp/$0/$1&&printf "GET /last\n\n">&3&&tail -n1<&3' "$1" $port; }
# others_idle: every other node has been idle for the whole window too, and has looked just now. One that cannot be
# asked counts as busy, unless it has said that it ends.
port=7077
others_idle() {
    asked=1
    for peer in $(cat "$base/peers"); do
        asked=$((asked + 1))
        said=$(ask "$peer")
        if [ "$said" = ending ]; then : >"$run/ending-$peer"; fi
        if [ -e "$run/ending-$peer" ]; then continue; fi
        seen=${said#* } since=${said% *}
        whole "$seen" && whole "$since" && [ $((now - seen)) -le 90 ] && [ $((now - since)) -ge "$idle" ] ||
            return 1
    done
    [ "$asked" -ge "$nodes" ]
} 2>/dev/null
show() { if [ "$nodes" -gt 1 ]; then put "$run/shown/last" "$1"; fi; }
serve() { cd "$run/shown" && exec python3 -m http.server --bind "${GPUCLOUD_BOOT_ADDRESS:-0.0.0.0}" $port; }
watch_idle() {
    clock
    disk=0 net=0 looked=$now last=$now
    while sleep "$pace"; do
        was=$now
        clock
        if [ "$now" = "$was" ]; then continue; fi
        if ! account || busy; then last=$now; fi
        held=$(stat -c %Y "$base/hold" 2>/dev/null) rest=$last
        if [ "${held:-0}" -gt "$last" ]; then rest=$held; fi
        show "$rest $now"
        if [ $((now - rest)) -ge "$idle" ] && others_idle; then
            show ending
            if [ "$nodes" -gt 1 ]; then for _ in 1 2 3; do nap "$pace"; done; fi
            finish idle
            last=$now
        fi
    done
}

end_runs() {
    for signal in INT TERM KILL; do
        if ! going $signal; then return; fi
        n=0
        while going && [ $n -lt $((grace * 5)) ]; do
            n=$((n + 1))
            nap 0.2
        done
    done
}
all_pulled() {
    for folder in "$base"/runs/*/; do
        if [ -d "$folder" ] && [ ! -e "${folder}pulled" ]; then return 1; fi
    done
}
# bounded SECONDS COMMAND...
bounded() {
    seconds=$1 && shift
    "$@" &
    job=$!
    n=0
    while kill -0 $job 2>/dev/null && [ $n -lt $((seconds * 5)) ]; do n=$((n + 1)) && nap 0.2; done
    kill -9 $job 2>/dev/null
}
ending() { eval "$ending"; }
# finish REASON: this machine ends now; it returns only when nothing helped
finish() {
    reason=$1
    account && end_runs
    if ! all_pulled; then at_end=stop; fi
    say "ending: $reason, $at_end"
    bounded 60 sync
    if [ -n "$ending" ]; then bounded 120 ending; fi
    poweroff || systemctl poweroff || shutdown -h now
    sleep $((grace * 6))
    poweroff -f || systemctl poweroff -f -f
    sleep "$grace"
    if [ -e "$root/proc/sysrq-trigger" ]; then
        echo 1 >"$root/proc/sys/kernel/sysrq"
        for letter in s u o; do echo $letter >"$root/proc/sysrq-trigger" && sleep $((grace / 5)); done
    fi
} 2>/dev/null

# ---- setting up

unit() {
    put "$units/gpucloud-$1.service" "[Unit]
Description=gpucloud: $1
DefaultDependencies=no
After=local-fs.target
StartLimitIntervalSec=0
[Service]
ExecStart=/bin/sh $self $1
Restart=on-failure
RestartSec=5
OOMScoreAdjust=-1000
[Install]
WantedBy=basic.target"
}
with_systemd() {
    units=$root/etc/systemd/system
    for watcher; do unit "$watcher"; done
    systemctl daemon-reload
    for watcher; do
        systemctl enable "gpucloud-$watcher.service"
        systemctl restart --no-block "gpucloud-$watcher.service"
    done
}
without_systemd() {
    for watcher; do
        first "$run/$watcher.pid"
        if whole "$word"; then kill "$word" 2>/dev/null; fi
        setsid sh "$self" "$watcher" </dev/null >/dev/null 2>&1 &
    done
}
# a new instance (also one of an image that was made of such a machine) begins anew
first_boot() {
    rm -rf "$lib"
    mkdir -p "$lib" && chmod 700 "$lib" || exit 73
    put "$lib/instance" "$deployment $instance"
    (umask 077 && put "$lib/token" "$proof_token")
}
set_up() {
    ask_instance
    was='' of=''
    if [ -r "$lib/instance" ]; then read -r of was <"$lib/instance"; fi
    if [ "$of" != "$deployment" ] || [ "${was:-$instance}" != "${instance:-$was}" ]; then first_boot; fi
    mkdir -p "$run"
    first "$lib/boot-deadline"
    # a new one came with the boot data; else the client's counts. Watchers take it from the login user's file.
    if [ "$word" != "${boot_deadline:-0}" ]; then
        if account && [ -d "$base" ]; then write_deadline "${boot_deadline:-0}"; fi
        put "$lib/deadline" "${boot_deadline:-0}"
        put "$lib/boot-deadline" "${boot_deadline:-0}"
    fi
    grep -v '^proof_token=' "$0" >"$self.new" && mv -f "$self.new" "$self" || exit 73
    if [ -e "$lib/token" ]; then set -- prove; fi
    set -- "$@" deadline
    if [ "${idle:-0}" -gt 0 ]; then
        set -- "$@" idle
        if [ "$nodes" -gt 1 ]; then set -- "$@" serve; fi
    fi
    if [ -d "$root/run/systemd/system" ]; then with_systemd "$@"; else without_systemd "$@"; fi
}

case ${1:-} in
prove | deadline | idle | serve)
    mkdir -p "$run/shown"
    put "$run/$1.pid" $$
    case $1 in
    prove) if [ -e "$lib/token" ]; then watch_key; fi ;;
    deadline) watch_deadline ;;
    idle) watch_idle ;;
    serve) serve ;;
    esac
    ;;
*) set_up ;;
esac
