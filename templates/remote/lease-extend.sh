# extend: move the deadline to $left seconds from now (empty: none). Further variables: want, watch_text.
begin
if [ ! -e "$base/gpus" ]; then fail gone "$base is not there"; fi
if [ -e "$base/ended" ]; then fail gone "the lease has ended"; fi
end=0
if [ -n "$left" ]; then end=$((now + left)); fi
read -r token payload <"$base/lease"
read -r gpus_there <"$base/gpus"
IFS=,; set -- $gpus_there; IFS=$blanks
if [ $# -gt 0 ]; then shelf_ready || fail shelf "$why"; fi
for one; do
    scan
    verdict "$one"
    if [ $is != mine ]; then fail gone "GPU $one is somebody else's now"; fi
    eval "uuid=\$uuid_$one"
    put "$one" held $end "$now" "$user" "$uuid" "$id" "$token" "$payload" || fail gone "GPU $one is somebody else's now"
done
echo $end >"$base/until.new" && mv "$base/until.new" "$base/until" || fail home "$base cannot be written"
rm -f "$base/ending-soon"
first "$base/idle"
if [ $end != 0 ] || [ "$word" != 0 ]; then watch; else stop_watch; fi
echo "took $end"
echo "done"
