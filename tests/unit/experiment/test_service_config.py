from pathlib import Path

import pytest

from geoloc.errors import ConfigError
from geoloc.experiment.service_config import load_service_settings
from geoloc.inference.service.settings import ServiceSettings


def test_a_file_lies_over_the_defaults_and_words_over_the_file(tmp_path):
    (tmp_path / "below.yaml").write_text("port: 1\nlimits: {images: 3, texts: 2}\n")
    (tmp_path / "serve.yaml").write_text("base: below.yaml\nport: 2\ncoarse_km: 1.5e+1\n")
    settings = load_service_settings(tmp_path / "serve.yaml", ["port=3", "limits.texts=4"])
    assert (settings.port, settings.coarse_km) == (3, 15.0)
    assert (settings.limits.images, settings.limits.texts) == (3, 4)
    assert settings.limits.queue_images == ServiceSettings().limits.queue_images
    assert load_service_settings(None) == ServiceSettings()


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("prot=1", "no key prot; did you mean port"),
        ("limits.image=1", "did you mean limits.images"),
        ("port=eighty", "port"),
        ("access.api_keys=[a-secret-of-length]", "never on the command line"),
        ("access={api_keys: [a-secret-of-length]}", "never on the command line"),
        ("access.api_keys.0=a-secret-of-length", "access.api_keys"),
        ("access.api_keys_file.a=1", "api_keys_file"),
        ("access.api_keys_file=", "access.api_keys_file= names nothing"),
        ("access.api_keys_file=null", "access.api_keys_file= names nothing"),
        ("access.api_keys_variable=", "access.api_keys_variable= names nothing"),
        ("access.api_keys_variable=''", "access.api_keys_variable= names nothing"),
    ],
)
def test_words_that_are_refused(word, message):
    with pytest.raises(ConfigError, match=message) as refused:
        load_service_settings(None, [word])
    assert "a-secret" not in str(refused.value)


def test_a_key_in_a_file_is_not_shown_by_its_error(tmp_path):
    (tmp_path / "serve.yaml").write_text("access: {api_keys: a-secret-of-length}\n")
    with pytest.raises(ConfigError, match=r"access\.api_keys") as refused:
        load_service_settings(tmp_path / "serve.yaml")
    assert "a-secret" not in str(refused.value)


@pytest.mark.parametrize("word", ["access.api_keys_file=", "access.api_keys_variable="])
def test_a_word_without_a_value_does_not_open_what_the_file_closes(tmp_path, word):
    (tmp_path / "serve.yaml").write_text("access: {api_keys_file: keys, api_keys_variable: KEYS}\n")
    with pytest.raises(ConfigError, match="names nothing"):
        load_service_settings(tmp_path / "serve.yaml", [word])


def test_an_empty_list_of_keys_does_not_open_the_service(tmp_path):
    (tmp_path / "serve.yaml").write_text("access: {api_keys: []}\n")
    with pytest.raises(ConfigError, match="is empty"):
        load_service_settings(tmp_path / "serve.yaml")


def test_the_shipped_file_says_what_the_defaults_are():
    shipped = load_service_settings(Path(__file__).parents[3] / "configs" / "serve.yaml")
    assert shipped == ServiceSettings()
