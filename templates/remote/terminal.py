# Gives a command a terminal and copies what it shows to stdout, where util-linux's `script` is missing.
# The command is shell text in GPUCLOUD_TTY_START; its exit code is passed on, 128 + signal where one killed it.
import os, pty, select, time

pid, terminal = pty.fork()
if pid == 0:
    os.execv("/bin/sh", ["sh", "-c", 'eval "$GPUCLOUD_TTY_START"'])


def copy(wait_s):
    """Whether something was shown within that time."""
    if not select.select([terminal], [], [], wait_s)[0]:
        return False
    try:
        shown = os.read(terminal, 65536)
    except OSError:  # nobody holds the other end any more, or not yet again
        time.sleep(min(wait_s, 0.02))
        return False
    try:
        while shown:
            shown = shown[os.write(1, shown) :]
    except OSError:  # a full disk drops output; it must not stop the job
        pass
    return True


done = 0
while not done:
    if not copy(0.2):
        done, status = os.waitpid(pid, os.WNOHANG)
while copy(0):
    pass
os._exit(128 + os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status))
