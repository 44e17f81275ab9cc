# blocks.py: takes and gives the changed blocks of large files. Commands on stdin, each a line, some followed by bytes:
#   hash BLOCK N, N bytes of path   -> SIZE NL, SHA-256 of each block of what is here (an interrupted copy or the
#                                      file), then the place that blocks go to: N NL, N bytes
#   into N, N bytes of place           for a connection that only puts
#   put AT N, N bytes                  write at that offset of the place
#   sync                            -> ok NL, when all before is written
#   give BLOCK N, N bytes of path   -> SIZE MODE MTIME_NS NL, SHA-256 of each block of the file (SIZE -1: it is gone)
#   open N, N bytes of path            for a connection that only takes
#   take AT SIZE                    -> N NL, N bytes of the file from there
#   still                           -> SIZE MODE MTIME_NS NL of the file that was opened, now
#   done SIZE MODE MTIME_NS N, path -> ok NL, the place has become the file
import contextlib, hashlib, os, shutil, sys, threading

FICLONE = 0x40049409


def read_exactly(source, count):
    data = b""
    while len(data) < count:
        piece = source.read(count - len(data))
        if not piece:
            raise EOFError
        data += piece
    return data


def place_of(root, path):
    folder = os.path.join(root, b".gpucloud-stage/parts")
    if not os.path.isdir(folder):
        os.makedirs(folder)
    return os.path.join(folder, hashlib.sha256(path).hexdigest().encode())


def copy(source, target, failed):
    new = target + b".new"
    try:
        with open(source, "rb") as s, open(new, "wb") as t:
            try:
                import fcntl

                fcntl.ioctl(t.fileno(), FICLONE, s.fileno())
            except (OSError, ImportError):
                shutil.copyfile(source, new)
        os.rename(new, target)
    except OSError as e:
        failed.append(e)


def look(given):
    s = os.fstat(given.fileno())
    return s.st_size, s.st_mode & 0o7777, s.st_mtime_ns


def give(given, target, block):
    size, mode, mtime_ns = look(given)
    target.write(b"%d %d %d\n" % (size, mode, mtime_ns))
    for _ in range(0, size, block):
        target.write(hashlib.sha256(given.read(block)).digest())


def serve(source, target, root):
    with contextlib.ExitStack() as opened:
        answer(source, target, root, opened)


def answer(source, target, root, opened):
    place = given = None
    while True:
        line = source.readline().split()
        if not line:
            return
        word, numbers = line[0], [int(one) for one in line[1:]]
        if word == b"hash":
            block, count = numbers
            path = os.path.join(root, read_exactly(source, count))
            name = place_of(root, path)
            if os.path.dirname(path) and not os.path.isdir(os.path.dirname(path)):
                os.makedirs(os.path.dirname(path))
            base = name if os.path.exists(name) else path
            copying = None
            if base == path and os.path.isfile(path) and not os.path.islink(path):
                failed = []
                copying = threading.Thread(target=copy, args=(path, name, failed))
                copying.start()
            elif base == path:
                base = None
            size = os.path.getsize(base) if base else 0
            target.write(b"%d\n" % size)
            if base:
                with open(base, "rb", 0) as f:
                    for _ in range(0, size, block):
                        target.write(hashlib.sha256(f.read(block)).digest())
            if copying:
                copying.join()
                if failed:
                    raise failed[0]
            target.write(b"%d\n" % len(name) + name)
            target.flush()
        elif word in (b"give", b"open"):
            path = os.path.join(root, read_exactly(source, numbers[-1]))
            if given:
                given.close()
            there = os.path.exists(path)
            given = opened.enter_context(open(path if there else os.devnull, "rb", 0))
            if word == b"give" and there:
                give(given, target, numbers[0])
            elif word == b"give":
                target.write(b"-1 0 0\n")
            target.flush()
        elif word == b"still":
            target.write(b"%d %d %d\n" % look(given))
            target.flush()
        elif word == b"take":
            given.seek(numbers[0])
            data = given.read(numbers[1])
            target.write(b"%d\n" % len(data) + data)
            target.flush()
        if word in (b"hash", b"into"):
            if word == b"into":
                name = read_exactly(source, numbers[0])
            if place:
                place.close()
            place = opened.enter_context(os.fdopen(os.open(name, os.O_WRONLY | os.O_CREAT, 0o600), "wb", 0))
        elif word == b"put":
            at, data = numbers[0], read_exactly(source, numbers[1])
            place.seek(at)
            while data:
                data = data[place.write(data) :]
        elif word == b"done":
            size, mode, mtime_ns, count = numbers
            path = os.path.join(root, read_exactly(source, count))
            place.truncate(size)
            place.close()
            os.chmod(name, mode)
            os.utime(name, ns=(mtime_ns, mtime_ns))
            os.rename(name, path)
            for folder in (b".gpucloud-stage/parts", b".gpucloud-stage"):
                try:
                    os.rmdir(os.path.join(root, folder))
                except OSError:
                    break
        if word in (b"done", b"sync"):
            target.write(b"ok\n")
            target.flush()


if __name__ == "__main__":
    try:
        serve(sys.stdin.buffer, sys.stdout.buffer, b".")
    except EOFError:
        pass
    except OSError as e:
        sys.exit("%s: %s" % (e.filename, e.strerror))
