"""Who sits at the keyboard, for what is written down of a command.

Takes   SUDO_USER, the process's user id
Gives   login_name()
Raises  nothing
Not     proof: whoever may run the commands may write the database, too
Source  sudo(8) "ENVIRONMENT"
"""

import os
import pwd


def login_name() -> str | None:
    """Name the person behind sudo, or the user of the process; None where the system knows no name for it."""
    behind_sudo = os.environ.get("SUDO_USER")
    if behind_sudo:
        return behind_sudo
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return None
