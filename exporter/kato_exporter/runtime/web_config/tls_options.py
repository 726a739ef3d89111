"""The options of `tls_server_config`, put into the terms of Python's ssl."""

import ssl

from kato_exporter.runtime.web_config.sections import Section

KEYS = (
    "cert",
    "cert_file",
    "key",
    "key_file",
    "client_ca",
    "client_ca_file",
    "client_auth_type",
    "client_allowed_sans",
    "min_version",
    "max_version",
    "cipher_suites",
    "prefer_server_cipher_suites",
    "curve_preferences",
)
_VERIFY_MODES = {
    "NoClientCert": ssl.CERT_NONE,
    "RequestClientCert": ssl.CERT_NONE,
    "VerifyClientCertIfGiven": ssl.CERT_OPTIONAL,
    "RequireAndVerifyClientCert": ssl.CERT_REQUIRED,
}
_VERSIONS = {"TLS12": ssl.TLSVersion.TLSv1_2, "TLS13": ssl.TLSVersion.TLSv1_3}
_CURVES = {
    "CurveP256": "prime256v1",
    "CurveP384": "secp384r1",
    "CurveP521": "secp521r1",
    "X25519": "X25519",
}
_SUITES = {
    f"TLS_ECDHE_{signature}_WITH_{go}": f"ECDHE-{signature}-{openssl}"
    for signature in ("ECDSA", "RSA")
    for go, openssl in {
        "AES_128_CBC_SHA": "AES128-SHA",
        "AES_256_CBC_SHA": "AES256-SHA",
        "AES_128_GCM_SHA256": "AES128-GCM-SHA256",
        "AES_256_GCM_SHA384": "AES256-GCM-SHA384",
        "CHACHA20_POLY1305_SHA256": "CHACHA20-POLY1305",
    }.items()
}
_TLS13_SUITES = ("TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256")
"""Neither Go nor Python lets a server choose among these: permitted, without effect."""


def new_context(section: Section) -> ssl.SSLContext:
    """Make a context as the section asks for, still without certificate, key and client CA.

    Raises WebConfigError for a value that is not right, and ssl.SSLError or ValueError for one
    that this OpenSSL does not have.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = _version(section, "min_version", "TLS12")
    context.maximum_version = _version(section, "max_version", "TLS13")
    if context.maximum_version < context.minimum_version:
        raise section.error("max_version", "'TLS12' is below min_version; use TLS13")
    context.verify_mode = _verify_mode(section)
    # Any certificate in the client CA's file is an anchor, as in Go, and not only a root.
    context.verify_flags |= ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN
    if not section.get("prefer_server_cipher_suites", default=True):
        context.options &= ~ssl.Options.OP_CIPHER_SERVER_PREFERENCE
    _choose_suites(context, section)
    _choose_curve(context, section)
    return context


def allowed_sans(section: Section) -> frozenset[str]:
    """Give the names of which a client's certificate must have one; empty where any may come in.

    Raises WebConfigError where nobody could come in, or no certificate is verified.
    """
    key = "client_allowed_sans"
    sans: list[str] = section.get(key, [])
    if section.values.get(key) is None:
        return frozenset()
    if not sans or not all(isinstance(name, str) for name in sans):
        raise section.error(key, f"{sans!r} is no list of names; give one or more, or remove it")
    if _verify_mode(section) is not ssl.CERT_REQUIRED:
        problem = f"{sans!r} needs client_auth_type: RequireAndVerifyClientCert"
        raise section.error(key, problem)
    return frozenset(sans)


def _version(section: Section, key: str, default: str) -> ssl.TLSVersion:
    return section.choice(key, section.get(key, "") or default, _VERSIONS)


def _verify_mode(section: Section) -> ssl.VerifyMode:
    key = "client_auth_type"
    name = section.get(key, "") or "NoClientCert"
    mode = section.choice(key, name, _VERIFY_MODES)
    has_ca = section.values.get("client_ca") or section.values.get("client_ca_file")
    if mode is not ssl.CERT_NONE and not has_ca:
        raise section.error(key, f"{name!r} needs client_ca_file")
    if has_ca and name == "NoClientCert":
        problem = f"{name!r} has no use for a client CA; use RequireAndVerifyClientCert"
        raise section.error(key, problem)
    return mode


def _choose_suites(context: ssl.SSLContext, section: Section) -> None:
    key = "cipher_suites"
    names: list[str] = section.get(key, [])
    known = _SUITES | dict.fromkeys(_TLS13_SUITES, "")
    suites = [suite for name in names if (suite := section.choice(key, name, known))]
    if suites:
        context.set_ciphers(":".join(suites))
    elif names and context.minimum_version is not ssl.TLSVersion.TLSv1_3:
        problem = f"{names!r} leaves TLS 1.2 without a suite; add one, or set min_version: TLS13"
        raise section.error(key, problem)


def _choose_curve(context: ssl.SSLContext, section: Section) -> None:
    key = "curve_preferences"
    names: list[str] = section.get(key, [])
    if len(names) > 1:
        raise section.error(key, f"{names!r} has more than Python's ssl takes; keep one")
    for name in names:
        context.set_ecdh_curve(section.choice(key, name, _CURVES))
