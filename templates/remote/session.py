# session.py [fork] PROGRAM ARGS...: what setsid (-f) does, where that is missing.
import os, signal, sys

words = sys.argv[1:]
if words[0] == "fork":
    words = words[1:]
    if os.fork():
        os._exit(0)
os.setsid()
signal.signal(signal.SIGPIPE, signal.SIG_DFL)
signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
os.execvp(words[0], words)
