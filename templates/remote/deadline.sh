# deadline: write a word that the watchers of the boot script act on. Variables: base (our folder there), name
# (deadline: epoch seconds, 0 is never; peers: addresses of the other nodes), text.
# The start line tells whether that watcher lives; it looks every 10 s.
watcher='' guard=missing
if [ -r "${GPUCLOUD_BOOT_ROOT:-}/run/gpucloud/deadline.pid" ]; then
    read -r watcher _ <"${GPUCLOUD_BOOT_ROOT:-}/run/gpucloud/deadline.pid"
fi
if [ -n "$watcher" ] && [ -d "/proc/$watcher" ]; then guard=alive; fi
# the nodes of several answer each other by python3, and ask with bash and timeout
has() { command -v "$1" >/dev/null; }
if [ "$name" = peers ] && ! { has python3 && has bash && has timeout; }; then guard=mute; fi
begin "guard=$guard"
{ mkdir -p "$base" && printf '%s\n' "$text" >"$base/$name.new" && mv -f "$base/$name.new" "$base/$name"; } || exit 73
echo ok
