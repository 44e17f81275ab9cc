# send_named: the NUL-ended paths of stdin as a packed tar stream. Variable: tar_py.
# A tar without such lists (BusyBox) is called for as many names as fit, which gives several archives in a row; it
# would also walk into folders, so the client names none then.
send_named() {
    case $archiver in
        gnu)
            case $walker in # the client has fractions of a second from the manifest: one header per file, not three
                gnu|python) set -- --format=gnu;;
                *) set -- --format=posix --pax-option=exthdr.name=pax,delete=atime,delete=ctime;;
            esac
            tar --no-recursion --null -T - --hard-dereference "$@" -cf -;;
        bsd) tar -n --null -T - --format pax -cf -;;
        *) if [ -n "$python" ]; then python3 -c "$tar_py"
            else xargs -0 tar -cf -
            fi;;
    esac | pack
}
