# untar.py: what `tar -xpof -` does with a client's stream, for machines without tar.
import os, shutil, sys, tarfile

archive = tarfile.open(fileobj=sys.stdin.buffer, mode="r|")
for m in archive:
    folder = os.path.dirname(m.name)
    if folder:
        os.makedirs(folder, exist_ok=True)
    if m.isdir():
        os.makedirs(m.name, exist_ok=True)
        os.chmod(m.name, m.mode)
    elif m.islnk():
        os.replace(m.linkname, m.name)
    elif m.issym():
        if os.path.lexists(m.name):
            os.unlink(m.name)
        os.symlink(m.linkname, m.name)
    else:
        with open(m.name, "wb") as out:
            shutil.copyfileobj(archive.extractfile(m), out, 1 << 18)
        os.chmod(m.name, m.mode)
        when = m.pax_headers.get("mtime", str(int(m.mtime)))
        whole, _, part = when.partition(".")
        ns = int(whole) * 10**9 + int(part[:9].ljust(9, "0"))
        os.utime(m.name, ns=(ns, ns))
