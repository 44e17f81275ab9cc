# extract FOLDER: unpack the client's stream, read from stdin, into the present folder through the stage FOLDER.
# Its last member says that it is whole; without it nothing more happens, and what arrived whole stays.
extract() {
    mkdir -p "$1" || exit 73
    { unpack || : >"$1/broken"; } | case $archiver in
        gnu|bsd|other) tar -xpof -;;
        python) python3 -c "$untar_py";;
        *) cat >/dev/null; die "this machine has neither tar nor python3: command not found";;
    esac
    rc=$?
    if [ "$rc" != 0 ] || [ -e "$1/broken" ] || [ ! -e "$1/end" ]; then
        rm -rf "$1"; rmdir .gpucloud-stage 2>/dev/null
        if [ "$rc" = 0 ]; then die 'the stream was cut'; fi
        exit 74
    fi
}
