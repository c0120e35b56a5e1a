"""Tokens of the token endpoint, read by libraries of others with the published keys alone; and what none of them may take (RFC 8725).

Two tables: what mallory can make who has a token and the published key, and what our own key might sign
without meaning an access token. Our API refuses all of both. The second names who takes what, so that the
documentation can tell services what to check besides.
"""

import base64
import hmac
import json
import subprocess
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import joserfc.errors
import joserfc.jwk
import joserfc.jwt
import jwt
import pytest
from authlib.common.errors import AuthlibBaseError
from authlib.oauth2.rfc9068 import JWTBearerTokenValidator
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from django.conf import settings
from jose import jwt as python_jose
from jose.exceptions import JOSEError as PythonJoseError

from oauth import key_pairs, keys
from oauth.models import Client
from tests import node
from tests.conftest import public_pem

with warnings.catch_warnings():
    # Authlib announces that its JOSE part will go, with a filter of its own before ours; services use it all the same.
    from authlib.deprecate import AuthlibDeprecationWarning

    warnings.simplefilter("ignore", AuthlibDeprecationWarning)
    from authlib.jose import JsonWebKey, JsonWebToken

ISSUER, AUDIENCE = settings.JWT_ISSUER, settings.JWT_AUDIENCE
ALGORITHMS = ["RS256"]
TYPE = "at+jwt"
ABSENT = object()

Claims = dict[str, Any]


# --- The libraries, each used as its documentation says -----------------------------------------


def by_python_jose(token: str, jwks: bytes) -> Claims:
    """As the integration guide has it."""
    kid = python_jose.get_unverified_header(token).get("kid")
    key = next((key for key in json.loads(jwks)["keys"] if key["kid"] == kid), None)
    if key is None:
        raise ValueError(kid)
    return python_jose.decode(token, key, algorithms=ALGORITHMS, audience=AUDIENCE, issuer=ISSUER)


def by_pyjwt(token: str, jwks: bytes) -> Claims:
    key = jwt.PyJWKSet.from_json(jwks.decode())[jwt.get_unverified_header(token).get("kid")]
    return jwt.decode(token, key, algorithms=ALGORITHMS, audience=AUDIENCE, issuer=ISSUER)


def by_joserfc(token: str, jwks: bytes) -> Claims:
    claims = joserfc.jwt.decode(token, joserfc.jwk.KeySet.import_key_set(json.loads(jwks)), algorithms=ALGORITHMS).claims
    expected = {"iss": {"essential": True, "value": ISSUER}, "aud": {"essential": True, "value": AUDIENCE}, "exp": {"essential": True}}
    joserfc.jwt.JWTClaimsRegistry(**expected).validate(claims)
    return claims


def by_authlib(token: str, jwks: bytes) -> Claims:
    expected = {"iss": {"essential": True, "value": ISSUER}, "aud": {"essential": True, "value": AUDIENCE}, "exp": {"essential": True}}
    claims = JsonWebToken(ALGORITHMS).decode(token, JsonWebKey.import_key_set(json.loads(jwks)), claims_options=expected)
    claims.validate()
    return dict(claims)


def by_authlib_rfc9068(token: str, jwks: bytes) -> Claims:
    class Validator(JWTBearerTokenValidator):
        def get_jwks(self) -> Any:
            return joserfc.jwk.KeySet.import_key_set(json.loads(jwks))

    validator = Validator(issuer=ISSUER, resource_server=AUDIENCE)
    claims = validator.authenticate_token(token)
    validator.validate_token(claims, [], None)
    return dict(claims)


IN_PYTHON = {
    "python-jose": by_python_jose,
    "PyJWT": by_pyjwt,
    "joserfc": by_joserfc,
    "Authlib": by_authlib,
    "Authlib's RFC 9068": by_authlib_rfc9068,
}
IN_NODE = "jose of npm"
LIBRARIES = (*IN_PYTHON, IN_NODE)

REFUSALS = (
    PythonJoseError, jwt.PyJWTError, joserfc.errors.JoseError, AuthlibBaseError,
    KeyError, ValueError,  # PyJWT's and Authlib's key sets, and the guide's lookup, have no such key
    TypeError,  # python-jose meets an exp that is null
)  # fmt: skip


def read_in_python(verify: Callable[[str, bytes], Claims], tokens: dict[str, str], jwks: bytes) -> dict[str, Claims]:
    taken = {}
    for name, token in tokens.items():
        try:
            taken[name] = verify(token, jwks)
        except REFUSALS:
            continue
    return taken


def read_in_node(folder: Path, tokens: dict[str, str], jwks: bytes) -> dict[str, Claims]:
    question = {"jwks": jwks.decode(), "tokens": tokens, "algorithms": ALGORITHMS, "audience": AUDIENCE, "issuer": ISSUER, "typ": TYPE}
    done = subprocess.run(
        ["node", "verify.mjs"], cwd=folder, input=json.dumps(question), capture_output=True, encoding="utf-8", timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="session")
def node_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return node.install(tmp_path_factory.mktemp("node"))


@pytest.fixture
def jwks(client: Any, signing_key: Any) -> bytes:
    """The published keys, as they are sent."""
    response = client.get("/.well-known/jwks.json")
    assert response.status_code == 200
    return response.content


@pytest.fixture(params=LIBRARIES)
def library(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def read(library: str, jwks: bytes, request: pytest.FixtureRequest) -> Callable[[dict[str, str]], dict[str, Claims]]:
    """The claims of those of the tokens that the library takes."""
    if library == IN_NODE:
        folder = request.getfixturevalue("node_folder")
        return lambda tokens: read_in_node(folder, tokens, jwks)
    return lambda tokens: read_in_python(IN_PYTHON[library], tokens, jwks)


# --- What there is to forge with -----------------------------------------------------------------

Sign = Callable[[bytes], bytes]


@dataclass(frozen=True)
class Material:
    """A token and a refresh token of alice, the published keys, mallory's own key, and our private one."""

    token: str
    refresh_token: str
    jwks: bytes
    mallorys: rsa.RSAPrivateKey
    ours: rsa.RSAPrivateKey

    @property
    def header(self) -> Claims:
        return decode(self.token.split(".")[0])

    @property
    def claims(self) -> Claims:
        return decode(self.token.split(".")[1])

    @property
    def signature(self) -> bytes:
        return unb64(self.token.split(".")[2])

    @property
    def published(self) -> Claims:
        return json.loads(self.jwks)["keys"][0]

    def forge(self, sign: Sign, *, header: Claims | None = None, claims: Claims | None = None, payload: bytes | None = None) -> str:
        """A token with these header and claims changed, or with ABSENT left out."""
        content = encode(without_absent(self.claims | (claims or {}))) if payload is None else b64(payload)
        signed = f"{encode(without_absent(self.header | (header or {})))}.{content}"
        return f"{signed}.{b64(sign(signed.encode()))}"


def rs256(key: rsa.RSAPrivateKey) -> Sign:
    return lambda data: key.sign(data, padding.PKCS1v15(), hashes.SHA256())


def rs384(key: rsa.RSAPrivateKey) -> Sign:
    return lambda data: key.sign(data, padding.PKCS1v15(), hashes.SHA384())


def ps256(key: rsa.RSAPrivateKey) -> Sign:
    return lambda data: key.sign(data, padding.PSS(padding.MGF1(hashes.SHA256()), hashes.SHA256().digest_size), hashes.SHA256())


def hs256(secret: bytes) -> Sign:
    return lambda data: hmac.digest(secret, data, "sha256")


def unsigned(data: bytes) -> bytes:
    return b""


def without_absent(members: Claims) -> Claims:
    return {name: value for name, value in members.items() if value is not ABSENT}


def b64(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).decode().rstrip("=")


def unb64(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def encode(members: Claims) -> str:
    return b64(json.dumps(members, separators=(",", ":")).encode())


def decode(segment: str) -> Claims:
    return json.loads(unb64(segment))


@pytest.fixture(scope="session")
def mallorys_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@pytest.fixture
def material(signed_in: Any, jwks: bytes, mallorys_key: rsa.RSAPrivateKey) -> Material:
    return Material(
        signed_in.body["access_token"],
        signed_in.body["refresh_token"],
        jwks,
        mallorys_key,
        keys.ring.signer(timedelta(minutes=15)).private_key,
    )


# --- The tables ------------------------------------------------------------------------------------


def public_der(m: Material) -> bytes:
    return m.ours.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def with_hmac_of(secret: Callable[[Material], bytes]) -> Callable[[Material], str]:
    return lambda m: m.forge(hs256(secret(m)), header={"alg": "HS256"})


def with_mallorys_key(**header: Callable[[Material], Any]) -> Callable[[Material], str]:
    return lambda m: m.forge(rs256(m.mallorys), header={name: value(m) for name, value in header.items()}, claims={"scope": "auth:admin"})


def with_our_signature_kept(**header: Any) -> Callable[[Material], str]:
    return lambda m: m.forge(lambda data: m.signature, header=header)


def mallorys_jwk(m: Material) -> Claims:
    return key_pairs.pair(m.mallorys).public_jwk


FORGERIES: dict[str, Callable[[Material], str]] = {
    "alg none without a signature": lambda m: m.forge(unsigned, header={"alg": "none"}),
    "alg nOnE without a signature": lambda m: m.forge(unsigned, header={"alg": "nOnE"}),
    "alg none with the signature kept": with_our_signature_kept(alg="none"),
    "HS256 with the public key's PEM": with_hmac_of(lambda m: public_pem(m.ours)),
    "HS256 with the public key's PEM, unterminated": with_hmac_of(lambda m: public_pem(m.ours).rstrip()),
    "HS256 with the public key's DER": with_hmac_of(public_der),
    "HS256 with the public key's JWK": with_hmac_of(lambda m: json.dumps(m.published, separators=(",", ":")).encode()),
    "HS256 with the JWK Set": with_hmac_of(lambda m: m.jwks),
    "HS256 with the modulus": with_hmac_of(lambda m: unb64(m.published["n"])),
    "HS256 with an empty secret": with_hmac_of(lambda m: b""),
    "no alg, the signature kept": with_our_signature_kept(alg=ABSENT),
    "alg null, the signature kept": with_our_signature_kept(alg=None),
    "no alg, no signature": lambda m: m.forge(unsigned, header={"alg": ABSENT}),
    "alg null, no signature": lambda m: m.forge(unsigned, header={"alg": None}),
    "RS384, the signature kept": with_our_signature_kept(alg="RS384"),
    "unknown crit, the signature kept": with_our_signature_kept(crit=["urgent"], urgent=True),
    "a jwk of mallory's in the header, our kid": with_mallorys_key(jwk=mallorys_jwk),
    "a jwk of mallory's in the header, its kid": with_mallorys_key(jwk=mallorys_jwk, kid=lambda m: mallorys_jwk(m)["kid"]),
    "a jku of mallory's in the header": with_mallorys_key(jku=lambda m: "https://mallory.example/jwks.json"),
    "a jku of mallory's in the header, its kid": with_mallorys_key(
        jku=lambda m: "https://mallory.example/jwks.json", kid=lambda m: mallorys_jwk(m)["kid"]
    ),
    "an x5u of mallory's in the header": with_mallorys_key(x5u=lambda m: "https://mallory.example/key.pem"),
    "mallory's key under our kid": with_mallorys_key(),
    "mallory's key under its own kid": with_mallorys_key(kid=lambda m: mallorys_jwk(m)["kid"]),
    "mallory's key under no kid": with_mallorys_key(kid=lambda m: ABSENT),
    "mallory's key under a path for a kid": with_mallorys_key(kid=lambda m: "../../../../dev/null"),
    "mallory's key under a list for a kid": with_mallorys_key(kid=lambda m: [m.published["kid"]]),
    "another kid, the signature kept": with_our_signature_kept(kid="another"),
    "another sub, the signature kept": lambda m: m.forge(lambda data: m.signature, claims={"sub": "mallory"}),
    "a later exp, the signature kept": lambda m: m.forge(lambda data: m.signature, claims={"exp": m.claims["exp"] + 9000}),
    "the signature stripped": lambda m: m.token.rpartition(".")[0] + ".",
    "the signature and its dot stripped": lambda m: m.token.rpartition(".")[0],
    "the signature cut short": lambda m: m.token[:-6],
    "the signature twice": lambda m: f"{m.token}.{m.token.rpartition('.')[2]}",
    "a refresh token": lambda m: m.refresh_token,
    "a refresh token for a signature": lambda m: f"{m.token.rpartition('.')[0]}.{m.refresh_token}",
}


@dataclass(frozen=True)
class Mistaken:
    """Something that our own key has signed and that is no access token of ours for this audience, and who takes it for one."""

    make: Callable[[Material], str]
    taken_by: frozenset[str] = frozenset()


JOSE, PYJWT, JOSERFC, AUTHLIB, AUTHLIB_9068, NODE = LIBRARIES
ALL = LIBRARIES

# Who takes what, and whose fault it is. A service that verifies offline asks for `exp`, compares `typ` (RFC 9068 §4) and
# `type`, and takes a list of audiences for what it is. Two are faults of a library: a `crit` that is not understood has to
# be refused (RFC 7515 §4.1.11), and a token without `aud` is for nobody who asks for one (RFC 7519 §4.1.3).
BLIND_TO_CRIT = (JOSE,)
BLIND_TO_MISSING_AUD = (JOSE,)
BLIND_TO_EMPTY_CRIT = (JOSE, JOSERFC, AUTHLIB, AUTHLIB_9068)
BLIND_TO_TYP = (JOSE, PYJWT, JOSERFC, AUTHLIB)
BLIND_TO_MISSING_TYP = (*BLIND_TO_TYP, AUTHLIB_9068)
BLIND_TO_MISSING_EXP = (JOSE, PYJWT, NODE)
READS_NUMBERS_FROM_TEXT = (JOSE, PYJWT)
BLIND_TO_IAT = (JOSE, NODE)  # RFC 7519 §4.1.6 gives it no such meaning; nbf has it, and all of them heed that
BLIND_TO_JWK = (JOSE, PYJWT, AUTHLIB, NODE)  # rightly: the key that verified was ours; joserfc dislikes the length of such a header
TRIES_THE_ONLY_KEY = (JOSERFC, AUTHLIB, AUTHLIB_9068, NODE)


def signed(*taken_by: str, **header: Any) -> Mistaken:
    return Mistaken(lambda m: m.forge(rs256(m.ours), header=header), frozenset(taken_by))


def claiming(*taken_by: str, **claims: Any) -> Mistaken:
    """Claims as they are, or made from the honest ones."""

    def make(m: Material) -> str:
        return m.forge(rs256(m.ours), claims={name: value(m.claims) if callable(value) else value for name, value in claims.items()})

    return Mistaken(make, frozenset(taken_by))


def now(plus: int) -> Callable[[Claims], int]:
    return lambda claims: int(time.time()) + plus


def make_id_token(m: Material) -> str:
    kept = {"iss", "sub", "aud", "exp", "iat", "auth_time", "amr", "sid"}
    dropped = dict.fromkeys(set(m.claims) - kept, ABSENT)
    return m.forge(rs256(m.ours), header={"typ": "JWT"}, claims=dropped | {"type": "id", "nonce": "n-0S6_WzA2Mj"})


def make_doubled(m: Material) -> str:
    """The same claim twice: readers disagree on which of the two counts (RFC 7519 §4)."""
    return m.forge(rs256(m.ours), payload=json.dumps(m.claims).encode()[:-1] + b', "sub": "mallory"}')


MISTAKEN: dict[str, Mistaken] = {
    "no alg": signed(alg=ABSENT),
    "alg null": signed(alg=None),
    "RS384": Mistaken(lambda m: m.forge(rs384(m.ours), header={"alg": "RS384"})),
    "PS256": Mistaken(lambda m: m.forge(ps256(m.ours), header={"alg": "PS256"})),
    "RS384 that says RS256": Mistaken(lambda m: m.forge(rs384(m.ours))),
    "unknown crit": signed(*BLIND_TO_CRIT, crit=["urgent"], urgent=True),
    "crit of what is not there": signed(*BLIND_TO_CRIT, crit=["urgent"]),
    "crit empty": signed(*BLIND_TO_EMPTY_CRIT, crit=[]),
    "a jwk beside our signature": Mistaken(lambda m: m.forge(rs256(m.ours), header={"jwk": mallorys_jwk(m)}), frozenset(BLIND_TO_JWK)),
    "another kid": signed(kid="another"),
    "no kid": signed(*TRIES_THE_ONLY_KEY, kid=ABSENT),
    "typ JWT": signed(*BLIND_TO_TYP, typ="JWT"),
    "typ logout+jwt": signed(*BLIND_TO_TYP, typ="logout+jwt"),
    "no typ": signed(*BLIND_TO_MISSING_TYP, typ=ABSENT),
    "iss a prefix of ours": claiming(iss=ISSUER[:-1]),
    "iss that begins as ours": claiming(iss=f"{ISSUER}.mallory.example"),
    "iss that ours is part of": claiming(iss=f"https://mallory.example/{ISSUER}/"),
    "iss with a slash more": claiming(iss=f"{ISSUER}/"),
    "iss in other letters": claiming(iss=ISSUER.upper()),
    "iss a list": claiming(iss=[ISSUER]),
    "no iss": claiming(iss=ABSENT),
    "another aud": claiming(aud="billing-api"),
    "aud a prefix of ours": claiming(aud=AUDIENCE[:-1]),
    "aud that begins as ours": claiming(aud=f"{AUDIENCE}-admin"),
    "aud a list without ours": claiming(aud=["billing-api", f"{AUDIENCE}-admin"]),
    "aud a list of ours": claiming(*ALL, aud=[AUDIENCE]),
    "aud a list of ours and another": claiming(*ALL, aud=["billing-api", AUDIENCE]),
    "aud empty": claiming(aud=[]),
    "no aud": claiming(*BLIND_TO_MISSING_AUD, aud=ABSENT),
    "exp past": claiming(iat=now(-1000), nbf=now(-1030), exp=now(-100)),
    "exp text": claiming(*READS_NUMBERS_FROM_TEXT, exp=lambda claims: str(claims["exp"])),
    "exp null": claiming(exp=None),
    "no exp": claiming(*BLIND_TO_MISSING_EXP, exp=ABSENT),
    "nbf future": claiming(nbf=now(600)),
    "iat future": claiming(*BLIND_TO_IAT, iat=now(600)),
    "type of another token": claiming(*ALL, type="refresh"),
    "no type": claiming(*ALL, type=ABSENT),
    "an id_token": Mistaken(make_id_token, frozenset(BLIND_TO_TYP)),
    "a claim that is there twice": Mistaken(make_doubled, frozenset(ALL)),
}


# --- The tests ---------------------------------------------------------------------------------------


@pytest.mark.checklist(80, 81)
def test_a_library_reads_every_token_that_the_endpoint_gives(read, post, signed_in, refresh, robot, alice):
    refreshed = refresh(signed_in.body["refresh_token"])
    own = post({"grant_type": "client_credentials", "client_id": "robot", "client_secret": robot.secret_value})
    tokens = {"of a sign-in": signed_in, "of a refresh": refreshed, "of a client": own}
    tokens = {name: answer.body["access_token"] for name, answer in tokens.items()}

    taken = read(tokens)

    assert taken == {name: decode(token.split(".")[1]) for name, token in tokens.items()}
    assert [claims["sub"] for claims in taken.values()] == [str(alice.pk), str(alice.pk), "robot"]


@pytest.mark.checklist(83)
@pytest.mark.spec("RFC 8725", "3.1", "the algorithm is the verifier's choice")
def test_a_library_takes_nothing_that_mallory_can_make(read, material):
    forged = {name: make(material) for name, make in FORGERIES.items()}

    taken = read({"honest": material.token} | forged)

    assert taken == {"honest": material.claims}


@pytest.mark.checklist(83)
@pytest.mark.spec("RFC 9068", "4", "typ, iss and aud are compared by the resource server")
def test_what_a_library_takes_of_the_things_that_only_our_key_can_sign_is_known(library, read, material):
    signed_by_us = {name: mistaken.make(material) for name, mistaken in MISTAKEN.items()}

    taken = read({"honest": material.token} | signed_by_us)

    assert set(taken) == {"honest"} | {name for name, mistaken in MISTAKEN.items() if library in mistaken.taken_by}


@pytest.mark.checklist(72, 83)
@pytest.mark.parametrize("name", [*FORGERIES, *MISTAKEN])
def test_our_api_takes_none_of_them(client, material, name):
    make = FORGERIES[name] if name in FORGERIES else MISTAKEN[name].make
    assert client.get("/api/v1/me", HTTP_AUTHORIZATION=f"Bearer {material.token}").status_code == 200

    response = client.get("/api/v1/me", HTTP_AUTHORIZATION=f"Bearer {make(material)}")

    assert (response.status_code, response.json()["error"]) == (401, "invalid_token")
    assert response["WWW-Authenticate"].startswith('Bearer realm="authserver", error="invalid_token", resource_metadata=')


@pytest.fixture
def identified(sign_in: Any, jwks: bytes, mallorys_key: rsa.RSAPrivateKey) -> Material:
    """As `material`, with a token that userinfo takes."""
    Client.objects.filter(client_id="editor").update(allowed_scopes="openid api:read")
    answer = sign_in(scope="openid")
    signer = keys.ring.signer(timedelta(minutes=15))
    return Material(answer.body["access_token"], answer.body["refresh_token"], jwks, mallorys_key, signer.private_key)


# Whatever service the token is for, its user may be asked about; a list is no audience of ours all the same.
FOR_ANOTHER_SERVICE = {"another aud", "aud a prefix of ours", "aud that begins as ours"}


@pytest.mark.checklist(72, 83)
@pytest.mark.spec("OpenID Connect Core 1.0", "5.3.3", "userinfo error response")
@pytest.mark.parametrize("name", [name for name in [*FORGERIES, *MISTAKEN] if name not in FOR_ANOTHER_SERVICE])
def test_userinfo_takes_none_of_them(client, identified, name):
    make = FORGERIES[name] if name in FORGERIES else MISTAKEN[name].make
    assert client.get("/oauth/userinfo", HTTP_AUTHORIZATION=f"Bearer {identified.token}").status_code == 200

    response = client.get("/oauth/userinfo", HTTP_AUTHORIZATION=f"Bearer {make(identified)}")

    assert (response.status_code, response.json()["error"]) == (401, "invalid_token")
    assert response["WWW-Authenticate"].startswith('Bearer realm="authserver", error="invalid_token", resource_metadata=')
