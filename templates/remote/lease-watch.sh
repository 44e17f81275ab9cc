# Waits on the host for a lease's deadline, and for idleness: then it ends the runs and gives the GPUs back, nothing
# else. Idle is a lease whose account has for the whole time no run or command of it, no SSH connection, and no
# process and less than 5 % use on its GPUs; what cannot be told counts as use, and so does the time of `hold`.
born $$
echo "$$ $ticks" >"$base/watcher" || exit 73
first "$base/idle"
case $word in *[!0-9]*) idle=0;; *) idle=$word;; esac
last=$now

in_use() {
    groups
    [ -n "$groups$strays" ] || connected || gpus_used
}
# connected: this account has an SSH connection: a session, a copy or a forward
connected() {
    titles=$(titles) || return 0
    IFS=$newline; set -- $titles; IFS=$blanks
    for title; do
        case $title in *']'*) ;;
            "sshd: $user" | "sshd: $user@"* | "sshd-session: $user" | "sshd-session: $user@"*) return 0;;
        esac
    done
    return 1
}
titles() {
    if [ ! -r /proc/self/cmdline ]; then ps -axo args=; return; fi
    cat $(set +f; echo /proc/[0-9]*/cmdline) 2>/dev/null | tr '\000' '\n'
}
gpus_used() {
    first "$base/gpus"
    if [ "$word" = - ]; then return 1; fi
    PATH=$PATH:/usr/local/bin:/usr/bin:/usr/local/nvidia/bin:/usr/lib/wsl/lib
    if ! have nvidia-smi; then return 1; fi
    use=$(limited nvidia-smi -i "$word" --query-gpu=utilization.gpu --format=csv,noheader,nounits 2>/dev/null) &&
        apps=$(limited nvidia-smi -i "$word" --query-compute-apps=pid --format=csv,noheader 2>/dev/null) || return 0
    for percent in $use; do
        case $percent in '' | *[!0-9]*) return 0;; esac
        if [ "$percent" -ge 5 ]; then return 0; fi
    done
    [ -n "$apps" ]
}
# rested: nobody has used it for $idle seconds; how long is left is in $rest
rested() {
    if in_use; then last=$now; fi
    held=$(stat -c %Y "$base/hold" 2>/dev/null || stat -f %m "$base/hold" 2>/dev/null)
    rest=$((last + idle - now))
    if [ $((${held:-0} + idle - now)) -gt $rest ]; then rest=$((held + idle - now)); fi
    [ $rest -le 0 ]
}

while [ -e "$base/gpus" ]; do
    read -r pid _ <"$base/watcher"
    if [ "$pid" != $$ ]; then exit 0; fi
    read -r until <"$base/until"
    now=$(date +%s) pause=15
    if [ "$until" = 0 ] && [ "$idle" = 0 ]; then exit 0; fi
    if [ "$until" != 0 ] && [ "$now" -ge "$until" ]; then
        end_runs INT 10
        echo deadline >"$base/ended"
        give_back
        exit 0
    fi
    if [ "$idle" != 0 ]; then
        if rested; then
            echo idle >"$base/ended" # from here on no command begins
            groups
            if [ -z "$groups$strays" ]; then give_back; exit 0; fi
            rm -f "$base/ended"
            last=$now rest=$idle
        fi
        if [ $rest -lt $pause ]; then pause=$rest; fi
    fi
    if [ "$until" != 0 ]; then
        if [ $((until - now)) -le 600 ]; then echo "$until" >"$base/ending-soon"; fi
        if [ $((until - now)) -lt $pause ]; then pause=$((until - now)); fi
    fi
    if [ $pause -lt 1 ]; then pause=1; fi
    sleep $pause
done
