# send_named: the NUL-ended paths of stdin as a packed tar stream. Variable: tar_py.
send_named() {
    case $archiver in
        gnu) tar --no-recursion --null -T - --hard-dereference --format=posix \
            --pax-option=exthdr.name=pax,delete=atime,delete=ctime -cf -;;
        bsd) tar -n --null -T - --format pax -cf -;;
        *) if [ -n "$python" ]; then python3 -c "$tar_py"; else tar -T - -cf -; fi;;
    esac | pack
}
