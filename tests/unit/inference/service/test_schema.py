import pytest
from pydantic import ValidationError

from geoloc.inference.service.failures import RequestError
from geoloc.inference.service.schema import Texts, read_texts


def test_many_wrong_texts_are_one_error():
    zeros = b'{"texts": [' + b"0," * 5_000 + b"0]}"
    with pytest.raises(ValidationError) as wrong:
        Texts.model_validate_json(zeros)
    assert wrong.value.error_count() == 1
    with pytest.raises(RequestError, match=r"texts: .*string"):
        read_texts(zeros)
