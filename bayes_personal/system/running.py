"""How every verb of the package runs: on one BLAS thread, and interruptible."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from threading import RLock, current_thread, main_thread
from types import FrameType
from typing import Any

from threadpoolctl import threadpool_limits

# Held by the thread that limits BLAS; the limit holds for the whole process.
_LIMITING = RLock()


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Run BLAS on one thread, as a context or as a decorator.

    The package factors many small matrices in loops. With several threads, waking them takes longer than
    the work of each call, and on a machine with other load they wait for each other. The limit holds for the whole
    process. Where Python threads overlap, only the thread that set the limit lifts it; otherwise the last thread would
    restore the limit that the first one set.
    """
    if not _LIMITING.acquire(blocking=False):
        yield
        return
    try:
        with threadpool_limits(1, user_api="blas"):
            yield
    finally:
        _LIMITING.release()


@contextmanager
def interruptible() -> Iterator[None]:
    """Let an exception raised by a signal handler leave this block, even if a library inside catches it.

    Samplers catch the KeyboardInterrupt of Ctrl-C and return the draws made so far, with NaN for the remaining ones; an
    exception raised in a callback or a finaliser may get lost. The block then still ends with the exception, and its
    result is discarded. Where a signal has no handler, or in a thread that receives none, nothing changes.

    Raises
    ------
    KeyboardInterrupt
        The process received SIGINT and handles it as Python does by default.
    BaseException
        An exception that any other handler of SIGINT or SIGTERM raised.
    """
    raised: list[BaseException] = []

    def recording(handler: Callable[[int, FrameType | None], Any]) -> Callable[[int, FrameType | None], None]:
        def handle(number: int, frame: FrameType | None) -> None:
            try:
                handler(number, frame)
            except BaseException as error:
                raised.append(error)
                raise
        return handle

    # Only the main thread receives signals and may set their handlers.
    numbers = (signal.SIGINT, signal.SIGTERM) if current_thread() is main_thread() else ()
    handlers = {number: handler for number in numbers if callable(handler := signal.getsignal(number))}
    for number, handler in handlers.items():
        signal.signal(number, recording(handler))
    try:
        yield
    except BaseException as error:
        if raised and error is not raised[0]:
            raise raised[0] from error
        raise
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    if raised:
        raise raised[0]


@contextmanager
def terminable() -> Iterator[None]:
    """Make SIGTERM raise SystemExit, with the exit code that shells give it.

    A process that the signal killed directly could not clean up the files it is writing.
    """
    def end(number: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    handler = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, handler or signal.SIG_DFL)


def verb[**P, R](function: Callable[P, R]) -> Callable[P, R]:
    """Mark a function that users call: it runs on one BLAS thread, and an interrupt always ends it."""
    @wraps(function)
    def run(*args: P.args, **named: P.kwargs) -> R:
        with interruptible(), one_blas_thread():
            return function(*args, **named)
    return run
