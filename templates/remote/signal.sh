# signal: send $signal to the process group of the run's job. Variables: run, signal.
begin
n=0
while [ ! -s "$run/pid" ] && [ $n -lt 50 ] && alive "$run"; do n=$((n + 1)); sleep 0.02; done
if [ ! -s "$run/exit" ] && [ -s "$run/pid" ] && alive "$run" && kill -s "$signal" -- "-$(first "$run/pid")"; then
    echo ok
else echo gone
fi
