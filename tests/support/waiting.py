"""Wait for what other threads do, for as long as a busy machine may need.

Takes   a condition
Gives   wait_until(…), when it has come true
Raises  AssertionError if it never does
Not     what a process of its own does, whose log tells more (server_process.py)
"""

import time
from collections.abc import Callable


def wait_until(condition: Callable[[], object], seconds: float = 30.0) -> None:
    """Ask again and again until it is so; `seconds` is when to give up, and nothing that a test may rely on."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never came true"
        time.sleep(0.005)
