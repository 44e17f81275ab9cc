# take: lease $want of the GPUs in $eligible (INDEX:UUID …) for a deployment, all of them or none, and make its folder.
# The same token again finds what it has and completes it. Further variables: left (seconds to the deadline, or
# empty), idle (seconds without use after which it ends, or empty), smi (yes: ask for foreign processes), watch_text, environment_text.
begin
end=0
if [ -n "$left" ]; then end=$((now + left)); fi
fresh=
umask 077
if [ -L "$PWD/gpucloud/$dir" ]; then fail home "$base is a symbolic link, which is not trusted"; fi
n=0
while [ ! -d "$base" ] && [ $n -lt 3 ]; do # again: the end of another deployment may remove the empty folder above
    fresh=1 n=$((n + 1))
    mkdir -p "$base" 2>/dev/null
done
if [ ! -d "$base" ]; then fail home "$(mkdir -p "$base" 2>&1)"; fi
# keep FILE TEXT…: write it in one go, a line each; else $why
keep() {
    file=$1; shift
    if { printf '%s\n' "$@" >"$file"; } 2>/dev/null; then return 0; fi
    why=$({ printf '%s\n' "$@" >"$file"; } 2>&1)
    why=${why:-$file cannot be written}
    return 1
}
undo() {
    give_back
    if [ -n "$fresh" ]; then rm -rf "$base"; rmdir "$PWD/gpucloud" 2>/dev/null; fi
}
if [ -r "$base/lease" ]; then
    read -r there rest <"$base/lease"
    if [ "$there" != "$token" ]; then fail taken "$base belongs to another attempt"; fi
elif ! keep "$base/lease" "$token $payload"; then gone=$why; undo; fail home "$gone"
fi

busy=
if [ "$want" -gt 0 ]; then
    shelf_ready || { shelf_why=$why; undo; fail shelf "$shelf_why"; }
    if [ "$smi" = yes ]; then
        PATH=$PATH:/usr/local/bin:/usr/bin:/usr/local/nvidia/bin:/usr/lib/wsl/lib
        busy=$(running)
    fi
fi
occupied() { case $busy in *"$1"*) [ "$1" != - ];; *) false;; esac; }

mine= tries=0 lost=
while [ "$want" -gt 0 ]; do
    scan
    mine= have_n=0 free= free_n=0
    for one in $eligible; do
        verdict "${one%%:*}"
        if [ $is = mine ]; then mine="$mine ${one%%:*}"; have_n=$((have_n + 1))
        elif [ $is = free ] && ! occupied "${one#*:}"; then free="$free $one"; free_n=$((free_n + 1))
        fi
    done
    if [ $((have_n + free_n)) -lt "$want" ] || [ $tries -ge 60 ]; then
        # who won a race against us may yet give back what is of no use alone
        if [ -n "$lost" ] && [ $tries -lt 3 ]; then tries=$((tries + 1)); sleep 0.1; now=$(date +%s); continue; fi
        undo
        scan
        echo full; tops; echo "done"
        exit 0
    fi
    tries=$((tries + 1))
    for one in $free; do
        if [ $have_n -ge "$want" ]; then break; fi
        # stop at the first that is gone: going on from an old picture could take what then is of no use
        put "${one%%:*}" held "$end" "$now" "$user" "${one#*:}" "$id" "$token" "$payload" || { lost=1; break; }
        mine="$mine ${one%%:*}" have_n=$((have_n + 1))
    done
    if [ $have_n -ge "$want" ]; then break; fi
done
list=
for one in $mine; do list="$list${list:+,}$one"; done
quoted=$base
case $base in *"'"*) quoted=$(printf %s "$base" | sed "s/'/'\\\\''/g");; esac
if ! { keep "$base/until" "$end" && keep "$base/idle" "${idle:-0}" && keep "$base/environment" \
    "gpucloud_base='$quoted' gpucloud_gpus='$list' gpucloud_lease=':$dir:'" "$environment_text" &&
    keep "$base/gpus" "$list"; }; then # the last says that all is there
    gone=$why; undo; fail home "$gone"
fi
if [ -e "$base/ended" ]; then rm -f "$base/ended"; fi
if [ $end != 0 ] || [ -n "$idle" ]; then watch; fi
echo "took $end $list"
echo "done"
