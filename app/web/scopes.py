"""Every scope of this API, with the sentence that a consent page shows (T20).

The README's list for the tenant's dashboard and the development tenant's registry are tested against it.
"""

SCOPES: dict[str, str] = {
    "read:profile": "Read your profile",
    "read:email": "Read your e-mail address",
    "write:profile": "Change your profile",
    "read:preferences": "Read your preferences",
    "write:preferences": "Change your preferences",
    "read:records": "Read what your apps have stored for you",
    "write:records": "Store, change and delete it",
    "export:account": "Download all that is stored of you",
    "delete:account": "Delete your account and all that is stored in it",
}
