# walk.py GIT START [OPTION DEPTH]: manifest records of a tree, for machines whose find cannot print them.
import os, stat, sys

git, start, depth = sys.argv[1], os.fsencode(sys.argv[2]), sys.argv[3:]
out = sys.stdout.buffer
kinds = {stat.S_IFREG: b"f", stat.S_IFDIR: b"d", stat.S_IFLNK: b"l", stat.S_IFIFO: b"p", stat.S_IFSOCK: b"s"}


def tell(path, shown):
    try:
        s = os.lstat(path)
        kind = kinds.get(stat.S_IFMT(s.st_mode), b"b")
        target = os.readlink(path) + b"\0" if kind == b"l" else b""
    except OSError:
        return b""
    out.write(
        b"%s %o %d %d.%09d %s\0%s"
        % (kind, s.st_mode & 0o7777, s.st_size, s.st_mtime_ns // 10**9, s.st_mtime_ns % 10**9, shown, target)
    )
    return kind


def walk(folder, shown):
    try:
        names = os.listdir(folder)
    except OSError as e:
        sys.stderr.write("%s: %s\n" % (os.fsdecode(folder), e.strerror))
        return
    for name in names:
        if name == b".gpucloud-stage" or (name == b".git" and not git):
            continue
        if tell(os.path.join(folder, name), shown + name) == b"d":
            walk(os.path.join(folder, name), shown + name + b"/")


if depth == ["-maxdepth", "0"]:
    tell(start, b"")
else:
    walk(start, b"")
