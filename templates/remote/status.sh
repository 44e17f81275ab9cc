# status: one status line per run, in order. Variables: runs (quoted words).
begin
eval "set -- $runs"
for run; do tell "$run"; echo "$line"; done
