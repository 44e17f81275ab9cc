# signal: send $signal to the process group of the run's job. Variables: run, signal, others (set: because the run
# failed on another node, which is noted first, so that everybody who asks knows whose doing the exit code is).
begin
n=0
while [ ! -s "$run/pid" ] && [ $n -lt 50 ] && alive "$run"; do n=$((n + 1)); sleep 0.02; done
first "$run/pid"; pid=$word
note() { if [ -n "$others" ] && [ ! -s "$run/others" ]; then date +%s >"$run/others"; fi; }
if [ ! -s "$run/exit" ] && [ "$pid" != - ] && alive "$run" && { note; kill -s "$signal" -- "-$pid"; }; then
    echo ok
else echo gone
fi
