"""How every verb of the package runs: on one BLAS thread, and until it is interrupted."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from threading import RLock, current_thread, main_thread
from types import FrameType
from typing import Any

from threadpoolctl import threadpool_limits

# The thread that limits BLAS, which limits it for the whole process.
_LIMITING = RLock()


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """BLAS on one thread, as a context or as a decorator.

    The package factors many small matrices in loops. With several threads each call wakes all of them for less work
    than waking them takes, and on a machine that others use they wait for each other. The limit holds for the whole
    process; where Python threads overlap, the one that set it lifts it, or what the last one restores would be the
    limit of the first.
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
    """What a signal handler raises leaves this block, whatever a library within it makes of the exception.

    Samplers catch the KeyboardInterrupt of Ctrl-C and return the draws that they have, with NaN for the others; an
    exception raised in a callback or a finaliser may get lost. The block then ends in the exception all the same, and
    no result of it goes any further. Where nobody handles a signal, or in a thread that receives none, nothing changes.

    Raises
    ------
    KeyboardInterrupt
        The process received SIGINT and handles it as Python does by default.
    BaseException
        What any other handler of SIGINT or SIGTERM raised.
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

    # Only the main thread receives signals, and may say who handles them.
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
    """SIGTERM raises SystemExit here, with the exit code that shells give it: files that are being written are cleaned
    up, which a process that the signal kills cannot do."""
    def end(number: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before or signal.SIG_DFL)


def verb[**P, R](function: Callable[P, R]) -> Callable[P, R]:
    """A function that users call: it runs on one BLAS thread, and an interrupt ends it whatever a library does."""
    @wraps(function)
    def run(*args: P.args, **named: P.kwargs) -> R:
        with interruptible(), one_blas_thread():
            return function(*args, **named)
    return run
