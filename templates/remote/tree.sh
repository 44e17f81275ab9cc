# What push and pull share: the codec and tools of this machine, and how it lists a tree as manifest records.
# Variables: accept (the client's codecs), git (list .git too), walk_py.
codec=none
for one in $accept; do
    case $one in none) break;; *) if have "$one"; then codec=$one; break; fi;; esac
done
pack() { case $codec in zstd) zstd -1 -q -c;; gzip) gzip -1 -c;; *) cat;; esac; }
unpack() { case $codec in zstd) zstd -d -q -c;; gzip) gzip -d -c;; *) cat;; esac; }
python=; if have python3; then python=1; fi
# An archiver that keeps fractions of a second: GNU tar, bsdtar or Python's.
archiver=none fine=
if have tar; then
    case $(tar --version 2>&1) in
        *'GNU tar'*) archiver=gnu fine=1;;
        *bsdtar*) archiver=bsd fine=1;;
        *) archiver=other;;
    esac
elif [ -n "$python" ]; then archiver=python fine=1
fi
r='%y %m %s %T@ %P\0'
case $(find . -maxdepth 0 -printf '%T@' 2>/dev/null) in
    *[0-9].[0-9]*) walker=gnu;;
    *) walker=names; have find || walker=shell
        if [ -n "$python" ] && python3 -c '' 2>/dev/null; then walker=python; else python=; fi;;
esac
# The same without find. $1: a path; the names below a folder come after it.
tell() {
    case ${1##*/} in .gpucloud-stage) return;; .git) if [ -z "$git" ]; then return; fi;; esac
    if [ -h "$1" ]; then printf 'l - - - %s\0\0' "$1"
    elif [ -d "$1" ]; then printf 'd - - - %s\0' "$1"; tell_below "$1"
    elif [ -f "$1" ]; then printf 'f - - - %s\0' "$1"
    fi
}
tell_below() {
    for one in "$1"/* "$1"/.[!.]* "$1"/..?*; do tell "$one"; done
}
# walk START [find's depth option and number]: the records of everything there, then END
walk() {
    case $walker in
    gnu)
        if [ -n "$git" ]; then
            find "$@" -name .gpucloud-stage -prune -o -type l -printf "$r"'%l\0' -o -printf "$r"
        else
            find "$@" '(' -name .gpucloud-stage -o -name .git ')' -prune \
                -o -type l -printf "$r"'%l\0' -o -printf "$r"
        fi;;
    python) python3 -c "$walk_py" "$git" "$@";;
    # Names and types only: the client then sends everything again. A link's target is unknown too.
    names)
        skip=; if [ -z "$git" ]; then skip=.git; fi
        for type in d f; do
            find "$@" '(' -name .gpucloud-stage -o -name "$skip" ')' -prune \
                -o -type $type -exec printf "$type - - - %s\\0" {} +
        done
        find "$@" '(' -name .gpucloud-stage -o -name "$skip" ')' -prune \
            -o -type l -exec printf 'l - - - %s\0\0' {} +;;
    shell) set +f; if [ "${2-}" = -maxdepth ]; then tell "$1"; else tell_below "$1"; fi; set -f;;
    esac
    printf 'END gpucloud\0'
}
