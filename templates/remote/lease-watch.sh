# Waits on the host for a lease's deadline: then it ends the runs and gives the GPUs back, nothing else.
born $$
echo "$$ $ticks" >"$base/watcher" || exit 73
while [ -e "$base/gpus" ]; do
    read -r pid _ <"$base/watcher"
    if [ "$pid" != $$ ]; then exit 0; fi
    read -r until <"$base/until"
    now=$(date +%s)
    if [ "$until" = 0 ]; then exit 0; fi
    if [ "$now" -ge "$until" ]; then
        end_runs INT 10
        echo deadline >"$base/ended"
        give_back
        exit 0
    fi
    pause=$((until - now))
    if [ $pause -le 600 ]; then echo "$until" >"$base/ending-soon"; fi
    if [ $pause -gt 15 ]; then pause=15; fi
    sleep $pause
done
