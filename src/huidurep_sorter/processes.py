"""What a sorting owes to the processes around it: one to a folder, workers that end with it, an end that cleans up."""

import contextlib
import ctypes
import logging
import multiprocessing
import os
import signal
import socket
import sys
import threading
from contextlib import contextmanager
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows: folders aren't claimed there
    fcntl = None

logger = logging.getLogger(__name__)

PR_SET_PDEATHSIG = 1  # of Linux: a signal that a process gets when the one that made it ends
prctl = getattr(ctypes.CDLL(None), "prctl", None) if sys.platform == "linux" else None

_claims = {}  # file of a claim -> (file descriptor, thread)
_guard = threading.Lock()
_sorting = {}  # thread that sorts -> id of its process, signals that it handles


ENDS = [signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else [])]  # asked to, and the terminal closed


class FolderInUse(RuntimeError):
    """Raised where another run sorts into a folder; the message is for the user."""


class Terminated(BaseException):
    """Raised in the middle of a sorting by a signal of `ENDS`, so that what is temporary is removed."""


def claim(folder):
    """Claim a folder for this thread until `release`, or until the process ends, however it ends.

    The claim is a lock on a hidden file beside the folder, which the system takes back from a process that was killed.
    Where the file system knows no locks, there is none.

    Raises
    ------
    FolderInUse
        If another thread or process has claimed it.
    """
    path = claim_file(folder)
    with _guard:
        file, thread = _claims.get(path, (None, None))
        if file is None:
            _claims[path] = lock_file(path, folder), threading.get_ident()
        elif thread != threading.get_ident() and thread in {other.ident for other in threading.enumerate()}:
            raise FolderInUse(in_use(folder, "another thread of this process"))
        else:  # claimed by a run that never came to its end
            _claims[path] = file, threading.get_ident()


def release(folder):
    """Release a folder, if this thread has claimed it."""
    path = claim_file(folder)
    with _guard:
        file, thread = _claims.get(path, (None, None))
        if file is not None and thread == threading.get_ident():
            del _claims[path]
            path.unlink(missing_ok=True)  # while it is locked: who waits for it sees that it is another file
            os.close(file)


def claim_file(folder):
    """Give the file that stands for a claim of a folder; it lies beside it, since the folder itself may be removed."""
    folder = Path(folder).resolve()
    return folder.with_name(f".{folder.name}.sorting")


def lock_file(path, folder):
    """Lock a file, which is made, and return its descriptor."""
    path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            if fcntl is not None:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.read(file, 200).decode(errors="replace")
            os.close(file)
            raise FolderInUse(in_use(folder, owner or "another process")) from None
        except OSError as error:
            logger.info("%s can't be locked (%s): nothing keeps another run away from %s", path, error, folder)
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(file), os.stat(path)):  # else it was removed by the one who had it
                os.ftruncate(file, 0)
                os.write(file, f"process {os.getpid()} on {socket.gethostname()}".encode())
                return file
        os.close(file)


def in_use(folder, owner):
    """Say that a folder is in use."""
    return f"{owner} is sorting into {folder}, which is left alone: wait for it, or give another folder"


@contextmanager
def ends_cleanly():
    """Let worker processes end with this one, and signals of `ENDS` remove what is temporary before they end it.

    A process that gets one ends without any `finally`. So within this context it raises `Terminated` in the main
    thread; at the end the process gets it again, and ends by it as it would have. Ctrl-C doesn't wait for what the
    workers have begun. Both are left as they are in a worker of somebody else, who may wait for it, and where the user
    handles the signal.
    """
    thread, theirs, received = threading.get_ident(), set(multiprocessing.active_children()), []
    is_main = threading.current_thread() is threading.main_thread() and multiprocessing.parent_process() is None
    usual = dict.fromkeys(ENDS, signal.SIG_DFL) | {signal.SIGINT: signal.default_int_handler}
    usual = {number: handler for number, handler in usual.items() if is_main and signal.getsignal(number) == handler}

    def end(number, frame):
        signal.signal(number, usual[number])  # a second one ends at once
        received.append(number)
        for worker in set(multiprocessing.active_children()) - theirs:
            worker.kill()
        raise KeyboardInterrupt if number == signal.SIGINT else Terminated(signal.Signals(number).name)

    _sorting[thread] = os.getpid(), list(usual)
    for number in usual:
        signal.signal(number, end)
    try:
        yield
    finally:
        for number, handler in usual.items():
            signal.signal(number, handler)
        _sorting.pop(thread, None)
        for number in set(received) - {signal.SIGINT}:
            os.kill(os.getpid(), number)


def after_fork():
    """Make a worker of a sorting end with it, even if that is killed; and leave the folder to who claimed it."""
    global _guard
    parent, converted = _sorting.get(threading.get_ident(), (None, ()))
    for file, _ in _claims.values():
        with contextlib.suppress(OSError):
            os.close(file)
    _claims.clear()
    _sorting.clear()
    _guard = threading.Lock()
    if parent is None:
        return
    for number in converted:
        signal.signal(number, signal.SIG_IGN if number == signal.SIGINT else signal.SIG_DFL)  # Ctrl-C: it is ended
    if prctl is not None:
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it ended in between
            os._exit(1)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=after_fork)
