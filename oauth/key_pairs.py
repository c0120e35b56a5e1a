"""Key pairs: made or read from a PEM file, the public half as a JWK, the private one encrypted at rest (RFC 7517, 7518, 7638, 8037)."""

import base64
import hashlib
import json
import re
from dataclasses import dataclass

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from accounts import encryption

RS256, ES256, EDDSA = "RS256", "ES256", "EdDSA"
LEAST_RSA_BITS = 2048
PURPOSE = "signing keys"

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey
PublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey

# The members of a published key in their order, without those that only repeat what its type says.
_MEMBERS = ("kty", "use", "alg", "kid", "n", "e", "crv", "x", "y")
_THUMBPRINT_MEMBERS = {"RSA": ("e", "kty", "n"), "EC": ("crv", "kty", "x", "y"), "OKP": ("crv", "kty", "x")}
_KID = re.compile(r"[\x21-\x7e]{1,255}")


class NotUsable(ValueError):
    """What was given is no key to sign with. The message says why and quotes nothing of it."""


@dataclass(frozen=True, repr=False)  # SECURITY: no repr: it holds a private key.
class KeyPair:
    """`kid` is what verifiers know it by: the thumbprint, unless it was imported under another name."""

    private_key: PrivateKey
    algorithm: str
    kid: str
    thumbprint: str

    @property
    def public_jwk(self) -> dict[str, str]:
        return ordered(_public_members(self.private_key.public_key()) | {"use": "sig", "alg": self.algorithm, "kid": self.kid})


def generate(algorithm: str, *, rsa_bits: int) -> KeyPair:
    """A new pair for one of RS256, ES256 and EdDSA; `rsa_bits` counts for the first alone.

    One kid of 64 would begin with a dash, and a command would take it for an option, in the very hour when somebody types it.
    """
    while True:
        made = pair(_new_private_key(algorithm, rsa_bits=rsa_bits))
        if not made.kid.startswith("-"):
            return made


def _new_private_key(algorithm: str, *, rsa_bits: int) -> PrivateKey:
    if algorithm == ES256:
        return ec.generate_private_key(ec.SECP256R1())
    if algorithm == EDDSA:
        return ed25519.Ed25519PrivateKey.generate()
    return rsa.generate_private_key(public_exponent=65537, key_size=rsa_bits)


def from_pem(pem: bytes, *, kid: str = "") -> KeyPair:
    """The private key of a PEM file, under the `kid` that it had elsewhere. Raises NotUsable."""
    try:
        # SECURITY: its numbers are proven to belong together, here and nowhere else: `unseal` takes them for proven.
        private_key = serialization.load_pem_private_key(pem, password=None)
    except TypeError:
        raise NotUsable("it is protected by a passphrase; write it without one, to a file that this server alone can read") from None
    except (ValueError, UnsupportedAlgorithm):
        raise NotUsable("it is not a private key in PEM form (-----BEGIN PRIVATE KEY-----)") from None
    if not isinstance(private_key, PrivateKey):
        raise NotUsable("it is neither an RSA, nor a P-256, nor an Ed25519 key")
    if kid and not _KID.fullmatch(kid):
        raise NotUsable("its kid must be of 1 to 255 visible ASCII characters")
    return pair(private_key, kid=kid)


def pair(private_key: PrivateKey, *, kid: str = "") -> KeyPair:
    """Raises NotUsable for a key that is too weak, or of a curve that no algorithm of ours has."""
    match private_key:
        case rsa.RSAPrivateKey():
            # SECURITY: a short key, or one with the exponent 3, is forged by who has enough time.
            if private_key.key_size < LEAST_RSA_BITS or private_key.public_key().public_numbers().e != 65537:
                raise NotUsable(f"an RSA key must have {LEAST_RSA_BITS} bits or more and the exponent 65537")
            algorithm = RS256
        case ec.EllipticCurvePrivateKey():
            if not isinstance(private_key.curve, ec.SECP256R1):
                raise NotUsable(f"of elliptic curves it must be P-256, and not {private_key.curve.name}")
            algorithm = ES256
        case _:
            algorithm = EDDSA
    thumbprint = thumbprint_of(_public_members(private_key.public_key()))
    return KeyPair(private_key, algorithm, kid or thumbprint, thumbprint)


def thumbprint_of(jwk: dict[str, str]) -> str:
    """RFC 7638: the hash of the members that make the key."""
    required = {name: jwk[name] for name in _THUMBPRINT_MEMBERS[jwk["kty"]]}
    canonical = json.dumps(required, sort_keys=True, separators=(",", ":")).encode()
    return base64.urlsafe_b64encode(hashlib.sha256(canonical).digest()).decode().rstrip("=")


def ordered(jwk: dict[str, str]) -> dict[str, str]:
    """Public members alone, in one order: PostgreSQL's jsonb keeps none, and the set's bytes are to be stable."""
    return {name: jwk[name] for name in _MEMBERS if name in jwk}


def seal(key_pair: KeyPair) -> str:
    """The private key as it is stored."""
    der = key_pair.private_key.private_bytes(serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return encryption.encrypt(der, purpose=PURPOSE)


def unseal(stored: str, *, thumbprint: str) -> PrivateKey:
    """Raises encryption.Undecryptable, also when it is another key than `thumbprint` says."""
    der = encryption.decrypt(stored, purpose=PURPOSE)
    # Without proving its primes anew, which takes 50 ms of CPU at 2048 bits and 580 at 4096: what opens was sealed here, after it was
    # made, or was proven by `from_pem`.
    private_key = serialization.load_der_private_key(der, password=None, unsafe_skip_rsa_key_validation=True)
    # SECURITY: what signs is what was published under this name, or verifiers refuse every token.
    if not isinstance(private_key, PrivateKey) or pair(private_key).thumbprint != thumbprint:
        raise encryption.Undecryptable("the private key is not that of the published one")
    return private_key


def _public_members(public_key: PublicKey) -> dict[str, str]:
    match public_key:
        case rsa.RSAPublicKey():
            return RSAAlgorithm.to_jwk(public_key, as_dict=True)
        case ec.EllipticCurvePublicKey():
            return ECAlgorithm.to_jwk(public_key, as_dict=True)
        case _:
            return OKPAlgorithm.to_jwk(public_key, as_dict=True)
