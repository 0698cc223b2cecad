"""Certificates for mutual TLS."""

import datetime
import ipaddress

import pytest


@pytest.fixture
def certificates(tmp_path):
    """`certificates(name)`: a folder with `ca.pem`, `cert.pem` and `key.pem`, all of one authority.

    With `authority="other"` it is signed by another one.
    """
    pytest.importorskip("cryptography")
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    now = datetime.datetime.now(datetime.UTC)
    pem = serialization.Encoding.PEM

    def named(name):
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])

    def signed(name, key, issuer, by, *, authority):
        here = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
        return (
            x509.CertificateBuilder()
            .subject_name(named(name))
            .issuer_name(named(issuer))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName(here), critical=False)
            .sign(by, hashes.SHA256())
        )

    authorities = {}

    def authority_of(name):
        if name not in authorities:
            key = ec.generate_private_key(ec.SECP256R1())
            authorities[name] = key, signed(name, key, name, key, authority=True)
        return authorities[name]

    def make(name, *, authority="ours"):
        by, root = authority_of(authority)
        key = ec.generate_private_key(ec.SECP256R1())
        folder = tmp_path / f"{authority}-{name}"
        folder.mkdir()
        (folder / "ca.pem").write_bytes(root.public_bytes(pem))
        own = signed(name, key, authority, by, authority=False)
        (folder / "cert.pem").write_bytes(own.public_bytes(pem))
        (folder / "key.pem").write_bytes(
            key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        )
        return folder

    return make
