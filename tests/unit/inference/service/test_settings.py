import hashlib

import pytest
from pydantic import ValidationError

from geoloc.errors import ConfigError
from geoloc.inference.service.settings import AccessSection, ServiceSettings, key_digests


@pytest.mark.parametrize(
    "tree",
    [
        {"prot": 1},
        {"port": "80"},
        {"port": 70000},
        {"limits": {"images": 65}},
        {"limits": {"request_megabytes": 201.0}},
        {"coarse_km": -1.0},
        {"access": {"api_keys": "one"}},
    ],
)
def test_impossible_settings(tree):
    with pytest.raises(ValidationError):
        ServiceSettings.model_validate(tree)


def test_keys_come_from_three_places_and_are_not_shown(tmp_path, monkeypatch):
    file = tmp_path / "keys"
    file.write_text("# of a map\nkey-of-the-file-1\n\n  key-of-the-file-2\n")
    monkeypatch.setenv("SOME_KEYS", "key-of-variable-1,key-of-variable-2")
    access = AccessSection.model_validate(
        {
            "api_keys": ("key-of-the-yaml-1",),
            "api_keys_file": file,
            "api_keys_variable": "SOME_KEYS",
        }
    )
    names = ("yaml-1", "file-1", "file-2")
    keys = [*(f"key-of-the-{name}" for name in names), "key-of-variable-1", "key-of-variable-2"]
    assert set(key_digests(access)) == {hashlib.sha256(key.encode()).digest() for key in keys}
    assert "yaml-1" not in repr(access) + access.model_dump_json()


def test_a_lost_or_short_key_does_not_open_the_service(tmp_path, monkeypatch):
    monkeypatch.delenv("NO_SUCH_KEYS", raising=False)
    (tmp_path / "empty").write_text("\n# none yet: a-key-of-some-length\n")
    (tmp_path / "words").write_text("words-that-are-long-enough and-more-of-such-words\n")
    for access in (
        {"api_keys_variable": "NO_SUCH_KEYS"},
        {"api_keys_file": tmp_path / "missing"},
        {"api_keys_file": tmp_path / "empty"},
        {"api_keys_file": tmp_path / "words"},
        {"api_keys": ("short",)},
    ):
        with pytest.raises(ConfigError):
            key_digests(AccessSection.model_validate(access))
    assert key_digests(AccessSection()) == ()
