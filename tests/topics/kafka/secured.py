"""A real broker as those in the cloud are: TLS, and a password (PLAIN, SCRAM) at one port, a certificate at another."""

from __future__ import annotations

import datetime as dt
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.kafka_broker import SHORT_LIVED, JavaBroker
from tests.ports import free_port

USER, PASSWORD = "writeback", "a pass-word"
SCRAM = "SCRAM-SHA-512"

PROPERTIES = """
listeners=PLAINTEXT://127.0.0.1:{plain},CONTROLLER://127.0.0.1:{controller},SASL_SSL://127.0.0.1:{sasl},SSL://127.0.0.1:{tls}
advertised.listeners=PLAINTEXT://127.0.0.1:{plain},SASL_SSL://127.0.0.1:{sasl},SSL://127.0.0.1:{tls}
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SASL_SSL:SASL_SSL,SSL:SSL
ssl.keystore.type=PEM
ssl.keystore.location={folder}/broker.pem
ssl.truststore.type=PEM
ssl.truststore.location={folder}/ca.pem
listener.name.ssl.ssl.client.auth=required
sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-512
listener.name.sasl_ssl.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required \\
  user_{user}="{password}";
listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
"""


class SecuredBroker(JavaBroker):
    """``sasl``: the address that wants a password; ``tls``: a certificate. ``folder`` gets the files."""

    formatting = ("--add-scram", f"{SCRAM}=[name={USER},password={PASSWORD}]")

    def __init__(self, folder: Path) -> None:
        super().__init__(SHORT_LIVED)
        make_certificates(folder)
        sasl, tls = free_port(), free_port()
        self.sasl, self.tls = f"kafka://127.0.0.1:{sasl}", f"kafka://127.0.0.1:{tls}"
        before = self._properties.read_text()
        controller = before.split("CONTROLLER://127.0.0.1:")[1].split("\n")[0]
        more = PROPERTIES.format(
            plain=self._port, controller=controller, sasl=sasl, tls=tls, folder=folder, user=USER, password=PASSWORD
        )
        self._properties.write_text(before + more)  # of a property that is there twice the last counts


def make_certificates(folder: Path) -> None:
    """``ca.pem``, ``broker.pem`` (with its key), ``client.pem``, ``client.key``; ``stranger.pem`` has signed none."""
    key, authority = _key(), x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "authority")])
    ca = _signed(authority, key, authority, key)
    (folder / "ca.pem").write_bytes(_pem(ca))
    broker, client, stranger = _key(), _key(), _key()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "one")])
    (folder / "broker.pem").write_bytes(_private(broker) + _pem(_signed(name, broker, authority, key)))
    (folder / "client.pem").write_bytes(_pem(_signed(name, client, authority, key)))
    (folder / "client.key").write_bytes(_private(client))
    (folder / "stranger.pem").write_bytes(_pem(_signed(name, stranger, name, stranger)))


def _key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def _signed(
    subject: x509.Name, key: ec.EllipticCurvePrivateKey, issuer: x509.Name, by: ec.EllipticCurvePrivateKey
) -> x509.Certificate:
    now = dt.datetime.now(dt.UTC)
    address = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(minutes=5))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(address, critical=False)
        .add_extension(x509.BasicConstraints(ca=subject == issuer, path_length=None), critical=True)
        .sign(by, hashes.SHA256())
    )


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _private(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
