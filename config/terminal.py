"""What the environment says about the terminal in front of a command.

Takes   NO_COLOR, TERM
Gives   wants_no_colour()
Raises  nothing
Not     whether there is a terminal at all (app/commands/screen.py)
Source  https://no-color.org
"""

import os


def wants_no_colour() -> bool:
    """Tell whether colours are asked away: NO_COLOR set to anything, or a terminal that knows none."""
    return bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") == "dumb"
