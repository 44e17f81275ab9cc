# signal: send $signal to the process group of the run's job. Variables: run, signal.
begin
n=0
while [ ! -s "$run/pid" ] && [ $n -lt 50 ] && alive "$run"; do n=$((n + 1)); sleep 0.02; done
first "$run/pid"; pid=$word
if [ ! -s "$run/exit" ] && [ "$pid" != - ] && alive "$run" && kill -s "$signal" -- "-$pid"; then
    echo ok
else echo gone
fi
