# The set-up step of a job: runs once per stamp, in a shell of its own; other runs wait for it.
# Variables: setup_text, setup_stamp, setup_run (the run's folder).
gpucloud_setup() {
    if [ -e "$setup_stamp" ]; then return 0; fi
    : >"$setup_run/setup"
    mkdir -p "${setup_stamp%/*}" || return 1
    while ! mkdir "$setup_stamp.lock" 2>/dev/null; do
        setup_holder=$(cat "$setup_stamp.lock/pid" 2>/dev/null)
        if [ -n "$setup_holder" ] && ! kill -0 "$setup_holder" 2>/dev/null; then rm -rf "$setup_stamp.lock"
        else sleep 0.2
        fi
    done
    echo $$ >"$setup_stamp.lock/pid"
    setup_code=0
    if [ ! -e "$setup_stamp" ]; then
        (set -e; eval "$setup_text")
        setup_code=$?
        if [ $setup_code = 0 ]; then : >"$setup_stamp"; fi
    fi
    rm -rf "$setup_stamp.lock"
    if [ $setup_code = 0 ]; then rm -f "$setup_run/setup"; fi
    return $setup_code
}
gpucloud_setup
setup_code=$?
if [ $setup_code != 0 ]; then
    echo "gpucloud: the set-up failed with exit code $setup_code; the command was not started" >&2
    exit $setup_code
fi
unset setup_text setup_stamp setup_run setup_code setup_holder
