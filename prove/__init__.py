"""The proof: what `make prove` does beyond the tests, in minutes instead of seconds. Nothing imports it.

fuzz           the door: each target in a process of its own, for a bounded time
fuzz_process   one instrumented process: a target under atheris
targets        what is called with made-up input, and what must hold of the outcome
material       keys, claims and tokens that the input is made into
mutants        mutation testing of the pure rooms, room by room, with a gate

Results that were really measured stand in docs/proof.md.
"""
