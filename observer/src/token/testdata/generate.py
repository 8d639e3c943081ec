#!/usr/bin/env python3
"""Writes jwks.json and tokens.json: Kubernetes-shaped tokens, signed by the openssl command and by nothing of Observer.

Run it in this directory (python3 3.9 or later, openssl 3). Keys are made anew and thrown away, so every file changes; the
tests rely on names, claims and times only, which stay.
"""
import base64, hashlib, hmac, json, os, subprocess, tempfile

ISSUER = "https://kubernetes.default.svc.cluster.local"
NOW = 1_760_000_000  # the tests' clock
HASH = {"256": "sha256", "384": "sha384", "512": "sha512"}


def openssl(*args, stdin=None):
    return subprocess.run(["openssl", *args], input=stdin, check=True, capture_output=True).stdout


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def raw_ecdsa(der, size):
    """DER SEQUENCE of two INTEGERs -> both at full length (RFC 7518 section 3.4)."""
    lines = openssl("asn1parse", "-inform", "DER", stdin=der).decode().splitlines()
    numbers = [int(line.split(":")[-1], 16) for line in lines if "INTEGER" in line]
    return b"".join(number.to_bytes(size, "big") for number in numbers)


def sign(alg, key, message):
    if alg == "EdDSA":
        with tempfile.NamedTemporaryFile() as file:
            file.write(message)
            file.flush()
            return openssl("pkeyutl", "-sign", "-rawin", "-inkey", key, "-in", file.name)
    digest = ["dgst", "-" + HASH[alg[2:]], "-sign", key]
    if alg.startswith("PS"):
        digest += ["-sigopt", "rsa_padding_mode:pss", "-sigopt", "rsa_pss_saltlen:digest"]
    signature = openssl(*digest, stdin=message)
    return raw_ecdsa(signature, {"ES256": 32, "ES384": 48}[alg]) if alg.startswith("ES") else signature


def token(alg, kid, claims, key, **header):
    header = {"alg": alg, **({"kid": kid} if kid else {}), **header}
    message = b64(json.dumps(header).encode()) + "." + b64(json.dumps(claims).encode())
    return message + "." + b64(sign(alg, key, message.encode()))


def hmac_token(kid, claims, secret):
    message = b64(json.dumps({"alg": "HS256", "kid": kid}).encode()) + "." + b64(json.dumps(claims).encode())
    return message + "." + b64(hmac.new(secret, message.encode(), hashlib.sha256).digest())


def bound(**other):
    claims = {
        "aud": [ISSUER],
        "exp": NOW + 3600,
        "iat": NOW - 60,
        "iss": ISSUER,
        "jti": "0b7c2f0e-52a5-4a2d-9d7a-1f4ce4b7a4d5",
        "kubernetes.io": {
            "namespace": "shop",
            "node": {"name": "n1", "uid": "6d0c4f2e-3f61-4e46-8f2c-5a2f0a2d6c11"},
            "pod": {"name": "orders-7d-x2", "uid": "c0ffee00-0000-4000-8000-000000000001"},
            "serviceaccount": {"name": "orders", "uid": "14ee3fa4-a7e2-420f-9f9a-dbc4507c3798"},
            "warnafter": NOW + 3607,
        },
        "nbf": NOW - 60,
        "sub": "system:serviceaccount:shop:orders",
        **other,
    }
    return {name: value for name, value in claims.items() if value is not None}


with tempfile.TemporaryDirectory() as work:

    def key(name, *options):
        path = os.path.join(work, name)
        openssl("genpkey", "-out", path, *options)
        return path

    rsa = key("rsa", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048")
    stranger = key("stranger", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048")
    weak = key("weak", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:1024")
    p256 = key("p256", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256")
    p384 = key("p384", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384")
    ed = key("ed", "-algorithm", "ED25519")

    def public(path):
        return openssl("pkey", "-in", path, "-pubout", "-outform", "DER")

    def rsa_jwk(path, **other):
        modulus = openssl("rsa", "-in", path, "-noout", "-modulus").decode().strip().split("=")[1]
        return {"kty": "RSA", "n": b64(bytes.fromhex(modulus)), "e": "AQAB", **other}

    def ec_jwk(path, curve, size, **other):
        point = public(path)[-2 * size :]
        return {"kty": "EC", "crv": curve, "x": b64(point[:size]), "y": b64(point[size:]), **other}

    def signed(**other):
        return token("RS256", "rsa", bound(**other), rsa)

    legacy = {
        "iss": "kubernetes/serviceaccount",
        "kubernetes.io/serviceaccount/namespace": "shop",
        "kubernetes.io/serviceaccount/secret.name": "orders-token-x7k2p",
        "kubernetes.io/serviceaccount/service-account.name": "orders",
        "kubernetes.io/serviceaccount/service-account.uid": "14ee3fa4-a7e2-420f-9f9a-dbc4507c3798",
        "sub": "system:serviceaccount:shop:orders",
    }
    jwks = {
        "used": {
            "keys": [
                rsa_jwk(rsa, use="sig", alg="RS256", kid="rsa"),
                rsa_jwk(rsa, use="sig", kid="rsa-any"),
                ec_jwk(p256, "P-256", 32, use="sig", alg="ES256", kid="p256"),
                ec_jwk(p384, "P-384", 48, use="sig", kid="p384"),
                {"kty": "OKP", "crv": "Ed25519", "x": b64(public(ed)[-32:]), "kid": "ed"},
            ]
        },
        "skipped": {
            "keys": [
                rsa_jwk(rsa, use="enc", kid="rsa"),
                rsa_jwk(rsa, key_ops=["encrypt"], kid="rsa"),
                rsa_jwk(rsa, alg="RSA-OAEP", kid="rsa"),
                rsa_jwk(weak, kid="weak"),
                {"kty": "oct", "k": b64(b"secret"), "kid": "oct"},
                {"kty": "AKP", "alg": "ML-DSA-44", "pub": "AAAA", "kid": "post-quantum"},
                {"kty": "EC", "crv": "P-521", "x": "AAAA", "y": "AAAA"},
                {"kty": "EC", "crv": "P-256", "x": "AAAA", "y": "AAAA"},
                {"kty": "RSA"},
                {"kty": 5},
                "not a key",
            ]
        },
        "nameless": {"keys": [rsa_jwk(rsa)]},
    }
    tokens = {
        **{alg: token(alg, "rsa-any", bound(), rsa) for alg in ("RS384", "RS512", "PS256", "PS384", "PS512")},
        "RS256": signed(),
        "ES256": token("ES256", "p256", bound(), p256),
        "ES384": token("ES384", "p384", bound(), p384),
        "EdDSA": token("EdDSA", "ed", bound(), ed),
        "no-kid": token("RS256", None, bound(), rsa),
        "no-kid-forged": token("RS256", None, bound(), stranger),
        "unknown-kid": token("RS256", "rotated", bound(), stranger),
        "other-name": token("RS256", "rotated", bound(), rsa),
        "forged": token("RS256", "rsa", bound(), stranger),
        "undeclared-alg": token("PS256", "rsa", bound(), rsa),
        "critical": token("RS256", "rsa", bound(), rsa, crit=["exp"], exp=1),
        "hmac-with-public-key": hmac_token("rsa", bound(), public(rsa)),
        "legacy": token("RS256", "rsa", legacy, rsa),
        "legacy-expired": token("RS256", "rsa", {**legacy, "exp": NOW - 7200}, rsa),
        "legacy-forged": token("RS256", "rsa", legacy, stranger),
        "foreign": signed(iss="https://login.example.com"),
        "no-issuer": signed(iss=None),
        "svid": signed(sub="spiffe://example.org/billing", **{"kubernetes.io": None}),
        "plain": signed(sub="alice", **{"kubernetes.io": None}),
        "subject-only": signed(**{"kubernetes.io": None}),
        "other-audience": signed(aud="payments"),
        "no-audience": signed(aud=None),
        "fraction": signed(exp=NOW + 0.5, nbf=NOW - 0.25),
        "no-times": signed(exp=None, nbf=None, iat=None),
        "many-audiences": signed(aud=[f"a{n}" for n in range(100)] + [ISSUER]),
        "long-subject": signed(sub="s" * 2000),
        "long-issuer": signed(iss=ISSUER + "x" * 2000),
        "many-claims": signed(**{f"c{n}": n for n in range(800)}),
    }
    for name, content in (("jwks.json", jwks), ("tokens.json", tokens)):
        with open(name, "w") as file:
            json.dump(content, file, indent=1)
            file.write("\n")
