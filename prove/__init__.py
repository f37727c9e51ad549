"""The proof: what `make prove` does beyond the tests, in minutes instead of seconds. Nothing imports it.

fuzz           the door: each target in a process of its own, for a bounded time
fuzz_process   one instrumented process: a target under atheris
targets        what is called with made-up input, and what must hold of the outcome
material       keys, claims and tokens that the input is made into
mutants        mutation testing of the pure rooms, room by room, with a gate
race           writers and readers over HTTP, on three databases; the naive API must lose
kills          workers, connections and PostgreSQL are killed under load; what fails must fail
chaos          what the API stands on breaks under load, one thing after the other: what users see of it
chaos_faults   what breaks, and how it is mended
soak           one worker's memory under mixed traffic
databases      a fresh database for a race

Results that were really measured stand in docs/proof.md.
"""
