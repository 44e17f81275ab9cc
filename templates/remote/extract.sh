# extract FOLDER: unpack the client's stream, read from stdin, into the present folder through the stage FOLDER.
# Its last member says that it is whole; without it nothing more happens, and what arrived whole stays.
# GNU tar goes on after an error and would link a half file, of a disk that is full, to its real name. So its stderr
# is a pipe that nobody reads: the first complaint kills it on the spot, and `why` finds the reason again.
# On a file system without hard links (FAT, many network folders) Python renames what a tar would link.
extract() {
    mkdir -p "$1" || exit 73
    mute=
    if have ln && ! { : >"$1/one" && ln "$1/one" "$1/two"; } 2>/dev/null; then
        archiver=python
        if [ -z "$python" ]; then
            rm -rf "$1"; rmdir .gpucloud-stage 2>/dev/null
            die 'no hard links on this file system, and no python3: command not found'
        fi
    fi
    if [ "$archiver" = gnu ] && mkfifo "$1/mute" 2>/dev/null; then
        exec 8<>"$1/mute" 9>"$1/mute" 8<&-
        rm -f "$1/mute"; mute=1
    else exec 9>&2
    fi
    { unpack 9>&- || : >"$1/broken"; } | case $archiver in
        gnu) tar --warning=no-timestamp -xpof - 2>&9;;
        bsd|other) tar -xpof -;;
        python) python3 -c "$untar_py";;
        *) cat >/dev/null; die "this machine has neither tar nor python3: command not found";;
    esac
    rc=$?
    exec 9>&-
    if [ "$rc" != 0 ] || [ -e "$1/broken" ] || [ ! -e "$1/end" ]; then
        reason='the stream was cut'
        if [ "$rc" != 0 ]; then reason=${mute:+$(why "$1")}; fi
        rm -rf "$1"; rmdir .gpucloud-stage 2>/dev/null
        if [ -n "$reason" ]; then die "$reason"; fi
        exit 74
    fi
}
why() {
    if said=$(dd if=/dev/zero of="$1/probe" bs=65536 count=1 2>&1); then
        closed=$(find . -name .gpucloud-stage -prune -o -type d ! -perm -200 -print | head -n 3)
        if [ -n "$closed" ]; then echo "$closed: Permission denied"; else echo "tar ended with status $rc"; fi
    else printf '%s\n' "$said" | grep dd:
    fi
}
