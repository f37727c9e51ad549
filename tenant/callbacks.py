"""Decide whether a redirect address belongs to an application.

Takes   requested: the address in the request;  registered: the application's addresses
Gives   True or False
Raises  nothing
Not     what to answer (a wrong one is a page, never a redirect: authorize.py)
Source  D7; RFC 8252 §7.3, §8.4; RFC 9700 §2.1 (exact string comparison, but for the loopback port)
"""

import re
from collections.abc import Iterable

HIGHEST_PORT = 65535

# One pattern over the whole string, and no URL parser: parsers disagree about user info, backslashes and white space,
# and each disagreement has been an open redirect somewhere.
_LOOPBACK = re.compile(r"http://(?:127\.0\.0\.1|\[::1\])(?::(?P<port>[0-9]{1,5}))?(?P<rest>(?:/[!$&-;=?-Z_a-z~%]*)?)")


def is_allowed(requested: str, registered: Iterable[str]) -> bool:
    """Compare exactly; a registered loopback address without a port stands for every port on 127.0.0.1 and [::1]."""
    return any(requested == one or _differs_in_loopback_port_only(requested, one) for one in registered)


def form_action_source(address: str) -> str:
    """Return the CSP source for a redirect address: browsers apply `form-action` to the redirect after a form too."""
    scheme, _, rest = address.partition(":")
    if scheme not in {"http", "https"} or "[" in rest:
        return f"{scheme}:"  # a custom scheme has no host, and CSP has no way to write an IPv6 literal
    return f"{scheme}://{rest.lstrip('/').partition('/')[0].partition('?')[0]}"


def _differs_in_loopback_port_only(requested: str, registered: str) -> bool:
    theirs, ours = _LOOPBACK.fullmatch(requested), _LOOPBACK.fullmatch(registered)
    if theirs is None or ours is None or ours["port"] is not None:
        return False
    return theirs["rest"] == ours["rest"] and 0 < int(theirs["port"] or 80) <= HIGHEST_PORT
