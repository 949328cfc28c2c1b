import pytest

from connectors.connections.secrets import SecretBox, describe, new_key
from connectors.errors import BadSecret


@pytest.mark.parametrize(
    "key", [new_key(), "any long random text", f"{new_key()},an older key of ours"], ids=["made", "text", "two"]
)
def test_a_secret_survives_being_sealed(key: str) -> None:
    """What was sealed opens to the same text, and the sealed form does not hold it."""
    box = SecretBox(key)

    sealed = box.seal("pat-na1-größe")

    assert box.open(sealed) == "pat-na1-größe"
    assert "pat-na1" not in sealed


def test_a_reference_is_kept_and_resolved_at_use() -> None:
    """``env:NAME`` is stored as it stands; its value is read when it is used, not when it is stored."""
    environ: dict[str, str] = {}
    box = SecretBox(None, environ)
    sealed = box.seal("env:HUBSPOT_TOKEN")
    environ["HUBSPOT_TOKEN"] = "pat-1"

    assert (sealed, box.open(sealed)) == ("env:HUBSPOT_TOKEN", "pat-1")


def test_a_new_key_in_front_opens_what_the_old_one_sealed() -> None:
    """Rotation: both keys stand in the variable, then the secret is sealed anew, then the old key goes."""
    old, new = new_key(), new_key()
    sealed = SecretBox(old).seal("s3cret")

    fresh = SecretBox(f"{new},{old}").reseal(sealed)

    assert SecretBox(new).open(fresh) == "s3cret"


@pytest.mark.parametrize(
    ("key", "sealed", "says"),
    [
        (None, "gAAAA", "WRITEBACK_SECRET_KEY is not set"),
        ("short", "gAAAA", "shorter than 16"),
        (new_key(), SecretBox(new_key()).seal("x"), "not the key it was encrypted with"),
        (None, "env:NOT_THERE", "NOT_THERE is not set"),
        (None, "env:not a name", "env:NAME"),
    ],
    ids=["no key", "short", "another key", "not set", "no name"],
)
def test_what_is_wrong_is_said(key: str | None, sealed: str, says: str) -> None:
    """A key that is missing, short or wrong, and a variable that is not set, are each named."""
    with pytest.raises(BadSecret, match=says):
        SecretBox(key, {}).open(sealed)


def test_nothing_shows_the_key_or_the_secret() -> None:
    """Neither the box, nor an error, nor what a listing shows holds the key or the secret."""
    box = SecretBox("the key is hunter2 hunter2")
    with pytest.raises(BadSecret) as raised:
        box.open("gAAAAAhunter2")

    shown = f"{box!r} {box} {raised.value!r} {describe(box.seal('hunter2'))} {describe('env:TOKEN')}"
    assert "hunter2" not in shown
    assert "encrypted env:TOKEN" in shown
