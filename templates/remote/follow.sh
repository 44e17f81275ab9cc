# follow: the log of a run from byte $offset on, until it ends ($wait) or as far as it is. stdout carries log bytes
# only; the last line of stderr is the run's status. The client stops reading at `limit` and asks again.
# Variables: run, offset, wait.
if [ ! -d "$run" ]; then begin limit=0; echo "gpucloud-status none - 0 - -" >&2; exit 0; fi
limit() {
    first "$run/cap"
    if [ -s "$run/capped" ]; then first "$run/capped"; fi
    limit=$word
}
limit
begin "limit=$limit"
rest() { if [ -r "$run/log" ]; then tail -c "+$((offset + 1))" "$run/log"; fi; }
if [ -z "$wait" ]; then tell "$run"; rest; echo "gpucloud-status $line" >&2; exit 0; fi
if [ -s "$run/exit" ] || ! alive "$run"; then rest
elif [ "$limit" != 0 ] && [ "$offset" -ge "$limit" ]; then # nothing more comes, but perhaps the mark and the end
    while alive "$run"; do
        was=$limit; limit
        if [ "$limit" != "$was" ]; then break; fi
        sleep 0.2
    done
    limit
    if [ "$offset" -lt "$limit" ]; then exit 0; fi # the client asks again
else
    case $(if [ -p "$run/live" ]; then tail --version 2>/dev/null; fi) in
    *'GNU coreutils'*)
        # tail ends after a last look when `ended` does: at the end of the supervisor, whose pid may linger as a
        # zombie; the second look is for one that died before the pipe was opened.
        cat "$run/live" >/dev/null 2>&1 & ended=$!
        pause=0.05
        while sleep $pause; do pause=1; if [ -s "$run/exit" ] || ! alive "$run"; then kill "$ended"; fi; done >/dev/null 2>&1 &
        guard=$!
        # tail takes overlayfs for a remote file system and polls it, so the interval is the latency there
        tail -c "+$((offset + 1))" -s 0.01 -f --pid="$ended" "$run/log"
        kill "$ended" "$guard" 2>/dev/null;;
    *)
        while :; do
            alive "$run"; ended=$?
            size=$(wc -c <"$run/log")
            if [ "$size" -gt "$offset" ]; then rest | head -c "$((size - offset))"; offset=$((size)); fi
            if [ "$ended" != 0 ]; then break; fi
            sleep 0.1
        done;;
    esac
fi
tell "$run"
echo "gpucloud-status $line" >&2
