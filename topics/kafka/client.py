"""What every Kafka client of ours is made with, and what its errors mean to us."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from kafka import errors

from topics.errors import CommitFenced, LogError, LogUnavailable, RecordRefused, RecordTooLarge, SettingsError
from topics.kafka import diagnosis

RECONNECT_MAX_MS = 1_000
"""With the client's own 30 s a consumer read again 43 s after a broker's restart, with this after 1.5 s (measured)."""
BOOTSTRAP_MS = 10_000
SESSION_MS = 6_000
"""How long the group waits for a member that died; the least that a broker's defaults allow."""

SETTINGS = frozenset(
    {
        "security_protocol",
        "sasl_mechanism",
        "sasl_plain_username",
        "sasl_plain_password",
        "ssl_cafile",
        "ssl_certfile",
        "ssl_keyfile",
        "ssl_password",
        "ssl_check_hostname",
        "session_timeout_ms",
    }
)
"""What ``KafkaLog`` takes, by the client's own names."""

_UNREACHED = "Unable to bootstrap"
"""How the library's error begins when none of the servers could be talked to, for whatever reason."""

REFUSALS = (
    errors.MessageSizeTooLargeError,
    errors.RecordListTooLargeError,
    errors.InvalidRecordError,
    errors.InvalidTimestampError,
    errors.InvalidTopicError,
    errors.TopicAuthorizationFailedError,
    errors.PolicyViolationError,
    errors.CorruptRecordError,
    errors.UnsupportedCompressionTypeError,
    errors.UnsupportedForMessageFormatError,
)
"""The broker looked at the records and wrote none of them; asking again gets the same answer."""

TOO_LARGE = (errors.MessageSizeTooLargeError, errors.RecordListTooLargeError)

FATAL = (
    errors.AuthorizationError,
    errors.SaslAuthenticationFailedError,
    errors.UnsupportedSaslMechanismError,
    errors.FencedInstanceIdError,
    errors.InvalidSessionTimeoutError,
    errors.InvalidGroupIdError,
    errors.InconsistentGroupProtocolError,
    errors.GroupMaxSizeReachedError,
    errors.UnsupportedVersionError,
)
"""What no new attempt of a consumer cures: somebody has to change a setting."""

_FENCES = (
    errors.CommitFailedError,
    errors.IllegalGenerationError,
    errors.UnknownMemberIdError,
    errors.FencedInstanceIdError,
    errors.UnknownTopicOrPartitionError,  # the topic was deleted: nobody owns it
)


class Address:
    """Where the brokers are and how they are spoken to; ``client_prefix``: what the client ids begin with."""

    def __init__(self, bootstrap: Sequence[str], settings: Mapping[str, Any], client_prefix: str) -> None:
        if unknown := sorted(settings.keys() - SETTINGS):
            raise SettingsError(f"Kafka has no setting {', '.join(unknown)}; there are {', '.join(sorted(SETTINGS))}")
        given = {name: value for name, value in settings.items() if value is not None}
        self.session_ms = int(given.pop("session_timeout_ms", SESSION_MS))
        self._common: dict[str, Any] = {
            "bootstrap_servers": list(bootstrap),
            "reconnect_backoff_ms": 50,
            "reconnect_backoff_max_ms": RECONNECT_MAX_MS,
            "bootstrap_timeout_ms": BOOTSTRAP_MS,
            **given,
        }
        self._client_prefix = client_prefix
        self.name = "kafka://" + ",".join(bootstrap)

    def client(self, name: str, **more: Any) -> dict[str, Any]:
        """The keyword arguments of a client of the library."""
        return {**self._common, "client_id": f"{self._client_prefix}-{name}" if name else self._client_prefix, **more}

    @contextlib.contextmanager
    def translated(self) -> Iterator[None]:
        """The library's errors as ours, each naming the address."""
        try:
            yield
        except (errors.RetriableError, errors.SaslAuthenticationFailedError, errors.UnrecognizedBrokerVersion) as error:
            raise LogUnavailable(f"{self.name} does not answer: {self._said(error)}") from error
        except errors.KafkaError as error:
            raise LogError(f"{self.name}: {says(error)}") from error
        except (RuntimeError, OSError) as error:  # the library's closed loop, a certificate that is not there
            raise LogUnavailable(f"{self.name} cannot be reached: {says(error)}") from error

    def _said(self, error: errors.KafkaError) -> str:
        if _UNREACHED in str(error):
            return diagnosis.why(self._common["bootstrap_servers"][0], self._common)
        return says(error)


def is_refusal(error: BaseException) -> bool:
    return isinstance(error, REFUSALS)


def says(error: BaseException) -> str:
    """The error in one line, with its kind: many of the library's have no text at all."""
    text = str(error).split("\n")[0]
    kind = type(error).__name__
    return text if kind in text else f"{kind}: {text}" if text else kind


def send_error(error: BaseException, what: str) -> LogError:
    if isinstance(error, TOO_LARGE):
        return RecordTooLarge(f"Kafka refused {what}: {says(error)}")
    if is_refusal(error):
        return RecordRefused(f"Kafka refused {what}: {says(error)}")
    return LogUnavailable(f"Kafka did not confirm {what}: {says(error)}")


def commit_error(error: BaseException, what: str) -> LogError:
    """``CommitFenced`` when the partitions are not ours any more, ``LogUnavailable`` when another try may succeed."""
    cause = error.args[0] if isinstance(error, errors.CommitFailedError) and error.args else error
    if isinstance(cause, errors.RebalanceInProgressError):
        return LogUnavailable(f"the group is rebalancing; {what} is not committed yet")
    if isinstance(error, _FENCES):
        return CommitFenced(f"{what} is not ours any more: {says(error)}")
    return LogUnavailable(f"Kafka did not commit {what}: {says(error)}")
