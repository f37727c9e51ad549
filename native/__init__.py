"""A small native app for the terminal: logs in through the system browser and calls the API.

    python -m native login | whoami | me | call METHOD PATH | token | refresh | logout

    settings    what the commands are told            transport   the one way out: HTTP sessions
    discovery   the issuer's and the API's metadata   loopback    catches the browser's answer (pages: what it shows)
    login       Authorization Code + PKCE             id_token    is this ID token ours?
    store       where tokens live                     lock        one process at a time
    session     a valid access token, renewed         problem     reads the API's refusals
    api         calls the API and obeys its answers   show        prints for people
    errors      what can go wrong, with exit codes    options     flags and environment
    __main__    the commands, in click

It knows the API by HTTP only: nothing of the API, its settings or the development tenant is imported.
"""
