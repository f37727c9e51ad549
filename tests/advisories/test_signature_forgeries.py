"""Advisories about signatures: numbers that verify everything, second spellings, padding that is read loosely."""

import base64
import hashlib
from itertools import product

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from app.oauth.reasons import Reason
from tests.advisories.gate import CUBIC, EC, EC_384, ED, PSS, RSA, Gate, good
from tests.support.tokens import SigningKey, segment

# SEC 2 §2.4.2, §2.5.1; RFC 8032 §5.1: the orders of the groups, and the curves' primes.
ORDERS = {
    "ES256": 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551,
    "ES384": 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFC7634D81F4372DDF581A0DB248B0A77AECEC196ACCC52973,
    "EdDSA": 2**252 + 27742317777372353535851937790883648493,
}
PRIMES = {"ES256": 2**256 - 2**224 + 2**192 + 2**96 - 1, "ES384": 2**384 - 2**128 - 2**96 + 2**32 - 1}
# RFC 8017 §9.2, note 1: the DigestInfo of SHA-256, before the hash itself.
SHA256_INFO = bytes.fromhex("3031300d060960864801650304020105000420")


def resigned(token: str, signature: bytes) -> str:
    return f"{token.rpartition('.')[0]}.{segment(signature)}"


def signature_of(token: str) -> bytes:
    return base64.urlsafe_b64decode(token.rpartition(".")[2] + "==")


@pytest.mark.parametrize("key", [EC, EC_384], ids=lambda key: key.alg)
def test_gate_when_r_or_s_is_out_of_range_refuses(gate: Gate, key: SigningKey):
    """CVE-2022-21449 (Java, "psychic signatures"): r = s = 0 verified any message, under any key.

    CVE-2024-48949 (elliptic, for EdDSA) and its kin: numbers that are not below the order. FIPS 186-5 §6.4.2:
    both in [1, n - 1].
    """
    token, order, prime = good(key), ORDERS[key.alg], PRIMES[key.alg]
    size = len(signature_of(token)) // 2
    r, s = (int.from_bytes(half) for half in (signature_of(token)[:size], signature_of(token)[size:]))
    odd = (0, 1, order - 1, order, order + 1, prime, 2 ** (8 * size) - 1)

    gate.accepts(token)
    for first, second in [*product(odd, odd), *((r, number) for number in odd), *((number, s) for number in odd)]:
        forged = first.to_bytes(size, "big") + second.to_bytes(size, "big")
        gate.refuses(resigned(token, forged), Reason.BAD_SIGNATURE)


@pytest.mark.parametrize("key", [EC, EC_384], ids=lambda key: key.alg)
def test_gate_when_the_ecdsa_signature_is_spelled_otherwise_refuses(gate: Gate, key: SigningKey):
    """CVE-2024-42461 (elliptic): BER beside DER; CVE-2024-42460 (elliptic): leading bits unchecked.

    RFC 7518 §3.4: R || S, each of exactly the curve's length, and not what X.509 uses.
    """
    token = good(key)
    raw = signature_of(token)
    half = len(raw) // 2
    r, s = raw[:half], raw[half:]
    der = encode_dss_signature(int.from_bytes(r), int.from_bytes(s))
    # The length of the sequence written in two bytes.
    ber = der[:1] + b"\x81" + der[1:]

    gate.accepts(token)
    for forged in (der, ber, der.ljust(2 * half, b"\0"), s + r, r + r, s + s, b"\0" + r + b"\0" + s, raw + b"\0"):
        gate.refuses(resigned(token, forged), Reason.BAD_SIGNATURE)
    for forged in (r, s, raw[:-1], raw * 2, r.lstrip(b"\0")[1:] + s, b"\0", bytes(half), bytes(2 * half)):
        gate.refuses(resigned(token, forged), Reason.BAD_SIGNATURE)


def test_gate_when_the_eddsa_signature_is_another_of_the_same_message_refuses(gate: Gate):
    """CVE-2024-48949 (elliptic): S not checked to be below the order; CVE-2024-42459: its length unchecked.

    RFC 8032 §5.1.7: decode S as an integer in the range 0 <= s < L; else the signature is invalid.
    """
    token = good(ED)
    raw = signature_of(token)
    point, scalar = raw[:32], int.from_bytes(raw[32:], "little")

    gate.accepts(token)
    for multiple in range(1, 16):
        if (other := scalar + multiple * ORDERS["EdDSA"]) < 2**256:
            gate.refuses(resigned(token, point + other.to_bytes(32, "little")), Reason.BAD_SIGNATURE)
    identity = (1).to_bytes(32, "little")
    for forged in (bytes(64), identity + bytes(32), raw + b"\0", raw[:-1], point, raw[32:] + point, b"\xff" * 64):
        gate.refuses(resigned(token, forged), Reason.BAD_SIGNATURE)


@pytest.mark.parametrize("key", [RSA, PSS, CUBIC], ids=lambda key: key.kid)
def test_gate_when_the_rsa_signature_is_a_trivial_number_refuses(gate: Gate, key: SigningKey):
    """RFC 8017 §8.2.2: of exactly the modulus' length, and below it; 0, 1 and n - 1 are their own powers."""
    token = good(key)
    raw = signature_of(token)
    assert isinstance(key.private_key, RSAPrivateKey)
    modulus = key.private_key.public_key().public_numbers().n

    gate.accepts(token)
    for number in (0, 1, modulus - 1, modulus, modulus + 1, 2**2048 - 1):
        gate.refuses(resigned(token, number.to_bytes(256, "big")), Reason.BAD_SIGNATURE)
    if (other := int.from_bytes(raw) + modulus) < 2**2048:
        gate.refuses(resigned(token, other.to_bytes(256, "big")), Reason.BAD_SIGNATURE)
    for forged in (b"\0" + raw, raw + b"\0", raw[1:], raw[:-1], raw[::-1], raw * 2):
        gate.refuses(resigned(token, forged), Reason.BAD_SIGNATURE)


def cube_root_above(number: int) -> int:
    low, high = 0, 1 << (number.bit_length() // 3 + 1)
    while low < high:
        middle = (low + high) // 2
        low, high = (middle + 1, high) if middle**3 < number else (low, middle)
    return low


@pytest.mark.parametrize("filling", [b"\xff" * 8, b"\xff", b""])
def test_gate_when_the_padding_has_garbage_behind_it_refuses(gate: Gate, filling: bytes):
    """CVE-2006-4339 (OpenSSL), CVE-2022-24771 (node-forge): with e = 3, a cube root forges what is read loosely.

    RFC 8017 §8.2.2 compares the whole encoded message, so that nothing can stand behind the hash.
    """
    token = good(CUBIC)
    content = token.rpartition(".")[0].encode()
    start = b"\x00\x01" + filling + b"\x00" + SHA256_INFO + hashlib.sha256(content).digest()
    forged = cube_root_above(int.from_bytes(start.ljust(256, b"\0")))
    # The attack works as far as it goes: the cube begins as a loose reader wants it.
    assert (forged**3).to_bytes(256, "big").startswith(start)

    gate.accepts(token)
    gate.refuses(resigned(token, forged.to_bytes(256, "big")), Reason.BAD_SIGNATURE)


@pytest.mark.parametrize("key", [RSA, PSS, EC, EC_384, ED], ids=lambda key: key.kid)
def test_gate_when_one_bit_of_the_signature_differs_refuses(gate: Gate, key: SigningKey):
    """RFC 7515 §5.2: a signature is good or it is not: each byte of it counts."""
    token = good(key)
    raw = signature_of(token)
    gate.accepts(token)
    for place in range(0, len(raw), 7):
        spoiled = raw[:place] + bytes([raw[place] ^ (1 << place % 8)]) + raw[place + 1 :]
        gate.refuses(resigned(token, spoiled), Reason.BAD_SIGNATURE)


@pytest.mark.parametrize("key", [RSA, EC, ED], ids=lambda key: key.alg)
def test_gate_when_the_signature_is_another_tokens_refuses(gate: Gate, key: SigningKey):
    """RFC 7515 §5.2: it covers exactly the bytes before the last period."""
    mine, other = good(key), good(key, None, {"sub": "auth0|admin"})
    gate.accepts(mine)
    gate.accepts(other)
    gate.refuses(resigned(mine, signature_of(other)), Reason.BAD_SIGNATURE)
    gate.refuses(resigned(other, signature_of(mine)), Reason.BAD_SIGNATURE)


@pytest.mark.parametrize("key", [EC, EC_384], ids=lambda key: key.alg)
def test_gate_when_an_ecdsa_token_is_respelled_it_is_the_same_token(gate: Gate, key: SigningKey):
    """(r, n - s) verifies too: that is ECDSA. It says nothing new, so nothing may be keyed by the signature (T24)."""
    token = good(key)
    raw = signature_of(token)
    half = len(raw) // 2
    mirrored = (ORDERS[key.alg] - int.from_bytes(raw[half:])).to_bytes(half, "big")
    assert gate.accepts(resigned(token, raw[:half] + mirrored)) == gate.accepts(token)
