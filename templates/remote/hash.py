# hash.py: `SHA256  PATH` NUL for each NUL-ended path of stdin.
import hashlib, sys

for path in sys.stdin.buffer.read().split(b"\0"):
    if not path:
        continue
    try:
        total = hashlib.sha256()
        with open(path, "rb") as f:
            for piece in iter(lambda: f.read(1 << 20), b""):
                total.update(piece)
        sys.stdout.buffer.write(total.hexdigest().encode() + b"  " + path + b"\0")
    except OSError:
        pass
