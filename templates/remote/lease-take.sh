# take: lease $want of the GPUs in $eligible (INDEX:UUID …) for a deployment, all of them or none, and make its folder.
# The same token again finds what it has and completes it. Further variables: left (seconds to the deadline, or
# empty), smi (yes: ask for foreign processes), watch_text, environment_text.
begin
end=0
if [ -n "$left" ]; then end=$((now + left)); fi
fresh=
umask 077
if [ -L "$PWD/gpucloud/$dir" ]; then fail home "$base is a symbolic link, which is not trusted"; fi
why=$(mkdir -p "$PWD/gpucloud" 2>&1) || fail home "$why"
if why=$(mkdir "$base" 2>&1); then fresh=1
elif [ ! -d "$base" ]; then fail home "$why"
fi
undo() {
    give_back
    if [ -n "$fresh" ]; then rm -rf "$base"; rmdir "$PWD/gpucloud" 2>/dev/null; fi
}
if [ -r "$base/lease" ]; then
    read -r there rest <"$base/lease"
    if [ "$there" != "$token" ]; then fail taken "$base belongs to another attempt"; fi
elif ! why=$({ echo "$token $payload" >"$base/lease.new" && mv "$base/lease.new" "$base/lease"; } 2>&1); then
    undo; fail home "$why"
fi

busy=
if [ "$want" -gt 0 ]; then
    shelf_why=$(shelf_ready)
    if [ -n "$shelf_why" ]; then undo; echo "$shelf_why"; exit 0; fi
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
    if [ $have_n -ge "$want" ]; then break; fi
    if [ $((have_n + free_n)) -lt "$want" ] || [ $tries -ge 200 ]; then
        # who won a race against us may yet give back what is of no use alone
        if [ -n "$lost" ] && [ $tries -lt 5 ]; then tries=$((tries + 1)); sleep 0.1; now=$(date +%s); continue; fi
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
        have_n=$((have_n + 1))
    done
done
list=
for one in $mine; do list="$list${list:+,}$one"; done
quoted=$(printf %s "$base" | sed "s/'/'\\\\''/g")
if ! why=$({
    echo $end >"$base/until" && printf '%s\n' "gpucloud_base='$quoted' gpucloud_gpus='$list' gpucloud_lease=':$dir:'" \
        "$environment_text" >"$base/environment.new" && mv "$base/environment.new" "$base/environment" &&
        echo "$list" >"$base/gpus.new" && mv "$base/gpus.new" "$base/gpus"
} 2>&1); then undo; fail home "$why"; fi
rm -f "$base/ended"
if [ $end != 0 ]; then watch; fi
echo "took $end $list"
echo "done"
