"""Interleaved rounds: every variant has its turn in each round, so that a busy moment of the machine meets all.

Takes   Credentials, how many rounds, how many requests of each variant in a round
Gives   Measured: the rounds, and what the workers hold idle, with a full cache of tokens, and after the load
Raises  WrongAnswer, ServerFailed
Not     who stands side by side (contenders.py), the arithmetic (figures.py)
"""

import json
import multiprocessing
import random
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.contenders import GRANIAN, HOT, LIMITED, LIMITED_SHARED, PEERS, UNSEEN, servers
from benchmarks.credentials import Credentials
from benchmarks.figures import BARE, BARE_AGAIN, Round, Sample
from benchmarks.load import Load, WrongAnswer, get, send
from benchmarks.servers import Memory, Server

MANY, FORGED = "many tokens", "bad signature"
VARIANTS = (BARE, HOT, MANY, UNSEEN, FORGED, LIMITED, LIMITED_SHARED, GRANIAN, *PEERS, BARE_AGAIN)
_PATH = "/v1/whoami"
_OK, _UNAUTHORIZED = 200, 401
_WARM_UP_REQUESTS = 200
_TURNS = 5


@dataclass(frozen=True, slots=True)
class Measured:
    """What all the rounds gave."""

    rounds: tuple[Round, ...]
    idle: Mapping[str, Memory]
    """Of each server, after one request."""
    full: Memory
    """Of the API, when it has remembered all the tokens."""
    loaded: Memory
    """Of the same worker, after the rounds."""


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
    latencies: tuple[float, ...]


def measure(
    credentials: Credentials, directory: Path, count: int, requests_per_round: int, tell: Callable[[str], None]
) -> Measured:
    """Start all servers, warm them, run the rounds."""
    tell("token: installing what is compared, unless it is there")
    with servers(credentials, directory) as found, load_process() as process:
        idle = {name: _one_request(server, credentials) for name, server in found.items()}
        variants = _variants(found, credentials)
        _warm_up(variants, credentials, process)
        full = found[HOT].memory()
        rounds = []
        for number in range(count):
            rounds.append(_round(variants, number, requests_per_round, process))
            tell(f"round {number + 1} of {count}")
        return Measured(tuple(rounds), idle, full, found[HOT].memory())


@contextmanager
def load_process() -> Iterator[Executor]:
    """One process beside this one: what it costs to send is nobody's processor time but its own."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
        yield process


def _variants(found: Mapping[str, Server], credentials: Credentials) -> dict[str, _Variant]:
    hot = get(_PATH, credentials.tokens[0])
    chance = random.Random(0)  # noqa: S311 - the same order in every run, nothing secret

    def one_token(count: int) -> list[bytes]:
        return [hot] * count

    def any_token(count: int) -> list[bytes]:
        return [get(_PATH, token) for token in chance.choices(credentials.tokens, k=count)]

    def forged(count: int) -> list[bytes]:
        return [get(_PATH, token) for token in credentials.forged(count)]

    variants = {name: _Variant(server, _OK, one_token) for name, server in found.items()}
    variants |= {
        BARE_AGAIN: variants[BARE],
        MANY: _Variant(found[HOT], _OK, any_token),
        UNSEEN: _Variant(found[UNSEEN], _OK, any_token),
        # Beside a first sight, and so of the same worker: what one remembers and another does not makes it slower.
        FORGED: _Variant(found[UNSEEN], _UNAUTHORIZED, forged),
    }
    return {name: variants[name] for name in VARIANTS if name in variants}


def _warm_up(variants: Mapping[str, _Variant], credentials: Credentials, process: Executor) -> None:
    """Send each of the many tokens once, so that the rounds see the cache as it is in service; compare the answers."""
    everything = tuple(get(_PATH, token) for token in credentials.tokens)
    process.submit(send, Load(variants[MANY].server.port, everything, _OK)).result()
    documents = {}
    for name, variant in variants.items():
        # Of one token, so that all answers must be the same.
        load = Load(variant.server.port, (get(_PATH, credentials.tokens[0]),), _OK)
        documents[name] = json.loads(process.submit(send, load).result().body)
        load = Load(variant.server.port, tuple(variant.requests(_WARM_UP_REQUESTS)), variant.status)
        process.submit(send, load).result()
    for name, document in documents.items():
        if stable(document) != stable(documents[HOT]):
            raise WrongAnswer(f"{name} does not answer the same JSON: {document} and {documents[HOT]}")


def stable(document: Mapping[str, object]) -> dict[str, object]:
    """The members of an answer that do not change from one second to the next."""
    return {name: value for name, value in document.items() if name not in {"server_time", "expires_in"}}


def _one_request(server: Server, credentials: Credentials) -> Memory:
    """The memory of a worker that has started and answered one request."""
    send(Load(server.port, (get(_PATH, credentials.tokens[0]),), _OK))
    return server.memory()


def _round(variants: Mapping[str, _Variant], number: int, count: int, process: Executor) -> Round:
    """Give every variant its requests in several short turns: a busy second of the machine then meets all alike."""
    names = tuple(variants)
    turns: dict[str, list[_Turn]] = {name: [] for name in names}
    for turn in range(_TURNS):
        # Each time another variant begins: none is always first after a pause.
        first = (number * _TURNS + turn) % len(names)
        for name in names[first:] + names[:first]:
            turns[name].append(_turn(variants[name], count // _TURNS, process))
    return {
        name: Sample(
            cpu_microseconds=sum(turn.cpu_seconds for turn in taken) / sum(turn.requests for turn in taken) * 1_000_000,
            requests_per_second=sum(turn.requests for turn in taken) / sum(turn.seconds for turn in taken),
            latencies=tuple(seconds for turn in taken for seconds in turn.latencies),
        )
        for name, taken in turns.items()
    }


def _turn(variant: _Variant, count: int, process: Executor) -> _Turn:
    load = Load(variant.server.port, tuple(variant.requests(count)), variant.status)
    before = variant.server.cpu_seconds()
    outcome = process.submit(send, load).result()
    return _Turn(count, variant.server.cpu_seconds() - before, outcome.seconds, outcome.latencies)
