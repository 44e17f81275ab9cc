# tar.py: packs the NUL-ended paths of stdin, for machines without a tar that reads such lists.
import os, sys, tarfile

with tarfile.open(fileobj=sys.stdout.buffer, mode="w|", format=tarfile.PAX_FORMAT) as archive:
    for path in sys.stdin.buffer.read().split(b"\0"):
        if not path:
            continue
        name = os.fsdecode(path)
        archive.inodes = {}
        try:
            s = os.lstat(name)
            m = archive.gettarinfo(name)
            m.mtime = s.st_mtime_ns // 10**9
            m.pax_headers = {"mtime": "%d.%09d" % divmod(s.st_mtime_ns, 10**9)}
            if m.isreg():
                with open(name, "rb") as f:
                    archive.addfile(m, f)
            else:
                archive.addfile(m)
        except OSError as e:
            sys.stderr.write("%s: %s\n" % (name, e.strerror))
