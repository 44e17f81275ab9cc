# tar.py: packs the NUL-ended paths of stdin, for machines without a tar that reads such lists.
import os, sys, tarfile

with tarfile.open(fileobj=sys.stdout.buffer, mode="w|", format=tarfile.PAX_FORMAT) as archive:
    archive.dereference = False
    for path in sys.stdin.buffer.read().split(b"\0"):
        if not path:
            continue
        name = os.fsdecode(path)
        archive.inodes = {}
        try:
            archive.add(name, recursive=False)
        except OSError as e:
            sys.stderr.write("%s: %s\n" % (name, e.strerror))
