"""Why no broker can be talked to, in words that name the setting: to the library all of it is "unable to bootstrap"."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Mapping
from typing import Any

SECONDS = 3.0
"""For each step of the look."""
ALERT_SECONDS = 0.5
"""With TLS 1.3 a broker refuses our certificate after the handshake; what comes later than this is not waited for."""


def why(server: str, settings: Mapping[str, Any]) -> str:
    """A look at the first server, ``host:port``, as the client is set: at its port, at TLS, and at what is left."""
    host, _, port = server.rpartition(":")
    protocol = str(settings.get("security_protocol", "PLAINTEXT"))
    try:
        with socket.create_connection((host.strip("[]"), int(port)), SECONDS) as plain:
            return _of_tls(plain, host, protocol, settings) if "SSL" in protocol else _of_plain(plain, host, protocol)
    except TimeoutError:
        return f"nothing answers on port {port} within {SECONDS:.0f} s: a firewall, or another host"
    except ConnectionRefusedError:
        return f"nothing listens on port {port}"
    except socket.gaierror:
        return f"there is no host {host}"
    except (OSError, ValueError) as error:
        return str(error)


def _of_tls(plain: socket.socket, host: str, protocol: str, settings: Mapping[str, Any]) -> str:
    try:
        context = _context(settings)
    except (OSError, ValueError) as error:
        return f"the files of WRITEBACK_KAFKA_SSL_CAFILE, _CERTFILE and _KEYFILE cannot be used: {error}"
    if problem := _handshake(plain, host, protocol, context):
        return problem
    if protocol == "SASL_SSL":
        return _refused(settings)
    return "it takes TLS, and then says nothing: is it Kafka, or a port that wants a password (SASL_SSL)?"


def _context(settings: Mapping[str, Any]) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=settings.get("ssl_cafile"))
    context.check_hostname = settings.get("ssl_check_hostname", True)
    if certificate := settings.get("ssl_certfile"):
        context.load_cert_chain(certificate, settings.get("ssl_keyfile"), settings.get("ssl_password"))
    return context


def _handshake(plain: socket.socket, host: str, protocol: str, context: ssl.SSLContext) -> str | None:
    """What is wrong with TLS; None: nothing."""
    try:
        with context.wrap_socket(plain, server_hostname=host.strip("[]")) as secured:
            secured.settimeout(ALERT_SECONDS)
            secured.recv(1)
    except ssl.SSLCertVerificationError as error:
        return f"its certificate is not good ({error.verify_message}): WRITEBACK_KAFKA_SSL_CAFILE names who signed it"
    except TimeoutError:
        return None  # it waits for a request
    except ssl.SSLError as error:
        if "ALERT" in str(error.reason):
            names = "WRITEBACK_KAFKA_SSL_CERTFILE and _KEYFILE"
            return f"it refuses our certificate, or that there is none ({_plainly(error)}): {names}"
        return f"no TLS is spoken there ({_plainly(error)}); WRITEBACK_KAFKA_SECURITY_PROTOCOL is {protocol}"
    except OSError:
        return f"it closes the connection in the middle of TLS; WRITEBACK_KAFKA_SECURITY_PROTOCOL is {protocol}"
    return None


def _of_plain(plain: socket.socket, host: str, protocol: str) -> str:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # whether it speaks TLS at all; nothing is sent
    try:
        with context.wrap_socket(plain, server_hostname=host.strip("[]")):
            spoken = True
    except ssl.SSLError as error:
        spoken = "ALERT" in str(error.reason)
    except OSError:
        spoken = False
    if spoken:
        return f"it speaks TLS: set WRITEBACK_KAFKA_SECURITY_PROTOCOL to SASL_SSL or SSL; it is {protocol}"
    return "it does not answer as Kafka does: is it Kafka, or a port that wants a password (SASL_PLAINTEXT)?"


def _refused(settings: Mapping[str, Any]) -> str:
    return (
        f"it refuses the user, the password or the mechanism ({settings.get('sasl_mechanism')}): "
        "WRITEBACK_KAFKA_SASL_USERNAME, _PASSWORD, _MECHANISM"
    )


def _plainly(error: ssl.SSLError) -> str:
    return str(error.reason or error).replace("_", " ").lower()
