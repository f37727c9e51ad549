"""The development tenant: an authorization server on this machine, in Auth0's dialect, for development only.

settings        environment → one frozen object; refuses an address that is not loopback
registry        registry.toml → APIs, applications, users
callbacks       which redirect addresses belong to an application
clock, faults   what /_dev turns: time, lifetimes, outages
keys            the signing keys: current, next, previous; kept on disk
store           SQLite: sessions, authorization requests, codes, grants, refresh tokens
tokens          access tokens (four dialects), opaque tokens, ID tokens
server          Authlib's authorization server, with Auth0's errors and JSON bodies
grants, refresh the grants: code + PKCE, client credentials; refresh with rotation and reuse detection
authorize       /authorize        login, consent, logout   the pages
token_endpoint  /oauth/token, /oauth/revoke    userinfo    discovery    dev    log
context, app    what a request needs; the composition root

It never imports app/, and app/ never imports it: they meet by HTTP.
"""
