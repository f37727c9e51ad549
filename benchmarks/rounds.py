"""Interleaved rounds: every variant has its turn in each round, so that a busy moment of the machine meets all.

Takes   Credentials, how many rounds, how many requests of each variant in a round
Gives   Measured: the rounds, an idle worker's memory, and its memory after the load
Raises  WrongAnswer, ServerFailed
Not     the arithmetic (figures.py)
"""

import json
import multiprocessing
import random
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.credentials import AUDIENCE, ISSUER, Credentials, key_server
from benchmarks.figures import BARE, BARE_AGAIN, Round, Sample
from benchmarks.load import Load, WrongAnswer, get, send
from benchmarks.servers import Memory, Server, serving

HOT, MANY, UNSEEN, FORGED, QUICKSTART = "hot token", "many tokens", "unseen token", "bad signature", "quickstart"
VARIANTS = (BARE, HOT, MANY, UNSEEN, FORGED, QUICKSTART, BARE_AGAIN)
_PATH = "/v1/whoami"
_OK, _UNAUTHORIZED = 200, 401
_WARM_UP_REQUESTS = 200
_TURNS = 5


@dataclass(frozen=True, slots=True)
class Measured:
    """What all the rounds gave."""

    rounds: tuple[Round, ...]
    idle: Memory
    loaded: Memory


@dataclass(frozen=True, slots=True)
class _Variant:
    server: Server
    status: int
    requests: Callable[[int], list[bytes]]


@dataclass(frozen=True, slots=True)
class _Turn:
    requests: int
    cpu_seconds: float
    seconds: float


def measure(
    credentials: Credentials, directory: Path, count: int, requests_per_round: int, tell: Callable[[str], None]
) -> Measured:
    """Start all servers, warm them, run the rounds."""
    with _servers(credentials, directory) as servers, _load_process() as process:
        idle = _one_request(servers[HOT], credentials)
        variants = _variants(servers, credentials)
        _warm_up(variants, credentials, process)
        rounds = []
        for number in range(count):
            rounds.append(_round(variants, number, requests_per_round, process))
            tell(f"round {number + 1} of {count}")
        return Measured(tuple(rounds), idle, servers[HOT].memory())


@contextmanager
def _servers(credentials: Credentials, directory: Path) -> Iterator[Mapping[str, Server]]:
    """Start the four servers; `unseen` is the API with its token cache turned off: every token is a first sight."""
    keys = directory / "jwks.json"
    keys.write_text(json.dumps(credentials.key_set))
    settings = {
        "TENANT_ISSUER": ISSUER,
        "API_AUDIENCE": AUDIENCE,
        "JWKS_FILE": str(keys),
        "DATABASE_URL": f"sqlite:///{directory / 'bench.db'}",
        "WEB_CONCURRENCY": "1",
        "LOG_FORMAT": "json",
        "LOG_LEVEL": "info",
    }
    subject = f"auth0|{0:024x}"
    with ExitStack() as stack:
        keys_url = stack.enter_context(key_server(credentials.key_set))
        entries = {
            HOT: ("wsgi:app", settings),
            UNSEEN: ("wsgi:app", {**settings, "TOKEN_CACHE_SIZE": "0"}),
            BARE: (f"benchmarks.peers:bare({subject!r}, {credentials.issued_at}, {credentials.expires_at})", settings),
            QUICKSTART: (f"benchmarks.peers:quickstart({keys_url!r})", settings),
        }
        yield {name: stack.enter_context(serving(*entry)) for name, entry in entries.items()}


@contextmanager
def _load_process() -> Iterator[Executor]:
    """One process beside this one: what it costs to send is nobody's processor time but its own."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
        yield process


def _variants(servers: Mapping[str, Server], credentials: Credentials) -> dict[str, _Variant]:
    hot = get(_PATH, credentials.tokens[0])
    chance = random.Random(0)  # noqa: S311 - the same order in every run, nothing secret

    def any_token(count: int) -> list[bytes]:
        return [get(_PATH, token) for token in chance.choices(credentials.tokens, k=count)]

    return {
        BARE: _Variant(servers[BARE], _OK, lambda count: [hot] * count),
        BARE_AGAIN: _Variant(servers[BARE], _OK, lambda count: [hot] * count),
        HOT: _Variant(servers[HOT], _OK, lambda count: [hot] * count),
        MANY: _Variant(servers[HOT], _OK, any_token),
        UNSEEN: _Variant(servers[UNSEEN], _OK, any_token),
        FORGED: _Variant(
            servers[HOT], _UNAUTHORIZED, lambda count: [get(_PATH, token) for token in credentials.forged(count)]
        ),
        QUICKSTART: _Variant(servers[QUICKSTART], _OK, lambda count: [hot] * count),
    }


def _warm_up(variants: Mapping[str, _Variant], credentials: Credentials, process: Executor) -> None:
    """Send each of the many tokens once, so that the rounds see the cache as it is in service; compare the answers."""
    everything = tuple(get(_PATH, token) for token in credentials.tokens)
    process.submit(send, Load(variants[MANY].server.port, everything, _OK)).result()
    documents = {}
    for name, variant in variants.items():
        load = Load(variant.server.port, tuple(variant.requests(_WARM_UP_REQUESTS)), variant.status)
        documents[name] = json.loads(process.submit(send, load).result().body)
    for name in (BARE, QUICKSTART):
        if stable(documents[name]) != stable(documents[HOT]):
            raise WrongAnswer(f"{name} does not answer the same JSON: {documents[name]} and {documents[HOT]}")


def stable(document: Mapping[str, object]) -> dict[str, object]:
    """The members of an answer that do not change from one second to the next."""
    return {name: value for name, value in document.items() if name not in {"server_time", "expires_in"}}


def _one_request(server: Server, credentials: Credentials) -> Memory:
    """The memory of a worker that has started and answered one request."""
    send(Load(server.port, (get(_PATH, credentials.tokens[0]),), _OK))
    return server.memory()


def _round(variants: Mapping[str, _Variant], number: int, count: int, process: Executor) -> Round:
    """Give every variant its requests in several short turns: a busy second of the machine then meets all alike."""
    turns: dict[str, list[_Turn]] = {name: [] for name in VARIANTS}
    for turn in range(_TURNS):
        # Each time another variant begins: none is always first after a pause.
        first = (number + turn) % len(VARIANTS)
        for name in VARIANTS[first:] + VARIANTS[:first]:
            turns[name].append(_turn(variants[name], count // _TURNS, process))
    return {
        name: Sample(
            cpu_microseconds=sum(turn.cpu_seconds for turn in taken) / sum(turn.requests for turn in taken) * 1_000_000,
            requests_per_second=sum(turn.requests for turn in taken) / sum(turn.seconds for turn in taken),
        )
        for name, taken in turns.items()
    }


def _turn(variant: _Variant, count: int, process: Executor) -> _Turn:
    load = Load(variant.server.port, tuple(variant.requests(count)), variant.status)
    before = variant.server.cpu_seconds()
    outcome = process.submit(send, load).result()
    return _Turn(count, variant.server.cpu_seconds() - before, outcome.seconds)
