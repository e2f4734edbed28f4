"""How keys become names of members in a tar, and back."""

from __future__ import annotations

from geoloc.errors import DataError

IMAGE_ENDINGS = ("jpg", "jpeg", "png", "webp")
JSON_ENDING = "json"

_LONGEST_KEY = 1000


def image_ending(image_bytes: bytes) -> str | None:
    """``jpg``, ``png`` or ``webp`` by the first bytes of an image; None for anything else."""
    if image_bytes[:3] == b"\xff\xd8\xff":
        return "jpg"
    if image_bytes[:8] == b"\x89PNG\r\n\x1a\n":
        return "png"
    if image_bytes[:4] == b"RIFF" and image_bytes[8:12] == b"WEBP":
        return "webp"
    return None


def member_stem(key: str) -> str:
    """The name of a key's members without their ending.

    A dot in the last part of a path would end the key for stock webdataset, which takes all after
    the first dot for the kind of member: it is written as ``%2E``, and ``%`` as ``%25``.

    Raises:
        DataError: the key is empty, too long, has control characters or lone surrogates, or is no
            plain relative path (``/`` at an end, ``.`` or ``..`` or nothing as a folder).
    """
    folder, slash, name = key.rpartition("/")
    parts = key.split("/")
    if not key or any(part in ("", ".", "..") for part in parts):
        raise DataError(f"{key!r} cannot be a key: it is no plain relative path")
    if any(ord(letter) < 32 or 0xD800 <= ord(letter) < 0xE000 for letter in key):
        raise DataError(f"{key!r} cannot be a key: it has characters that cannot be written")
    if len(key.encode()) > _LONGEST_KEY:
        raise DataError(f"{key[:40]!r}... cannot be a key: longer than {_LONGEST_KEY} bytes")
    return (
        f"{folder}{slash}{name}".replace("%", "%25")
        if "." not in name
        else (f"{folder}{slash}".replace("%", "%25") + name.replace("%", "%25").replace(".", "%2E"))
    )


def split_member_name(name: str) -> tuple[str, str]:
    """Key and ending (lower case, after the *last* dot) of a member; undoes `member_stem`.

    The last dot, since a foreign ``photo.v1.jpg`` with ``photo.v1.json`` is one sample of the key
    ``photo.v1``; stock webdataset would make ``photo`` of it and mix it with ``photo.v2``.
    """
    stem, _, ending = name.removeprefix("./").rpartition(".")
    key = stem.replace("%2E", ".").replace("%25", "%")
    # Bytes that are no UTF-8 would come back as lone surrogates, which no log or file can take.
    return key.encode("utf-8", "surrogateescape").decode(
        "utf-8", "backslashreplace"
    ), ending.lower()


def is_known(name: str) -> bool:
    """Whether a member is an image or a json that a sample is made of; nothing else is read."""
    key, ending = split_member_name(name)
    return bool(key) and (ending in IMAGE_ENDINGS or ending == JSON_ENDING)
