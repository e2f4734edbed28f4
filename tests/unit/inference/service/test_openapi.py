"""The OpenAPI document is true: schemathesis asks what it describes, and what it forbids."""

import os
import subprocess
import sys

KEY = "a-key-of-some-length"
# What schemathesis would not expect by itself, and the document declares: 413 for too many images,
# and 422 for bytes that are no image, which a schema cannot say.
CONFIG = """
[checks.negative_data_rejection]
expected-statuses = ["400", "401", "405", "413", "415", "422"]
[checks.not_a_server_error]
expected-statuses = ["2xx", "4xx"]
[checks.positive_data_acceptance]
expected-statuses = ["2xx", "422"]
"""
IMAGES = """
import io
import schemathesis
from hypothesis import strategies as st
from PIL import Image

def png(shade, width, height):
    buffer = io.BytesIO()
    Image.new("RGB", (width, height), (shade, 2 * shade, 7)).save(buffer, "PNG")
    return buffer.getvalue()

sides = st.integers(1, 64)
schemathesis.openapi.media_type("image/*", st.builds(png, st.integers(0, 99), sides, sides))
"""


def test_schemathesis_finds_nothing(serving, text_tower, tmp_path):
    (tmp_path / "schemathesis.toml").write_text(CONFIG)
    (tmp_path / "images.py").write_text(IMAGES)
    with serving(access={"api_keys": (KEY,)}, explain=True) as client:
        command = [
            *(sys.executable, "-m", "schemathesis.cli", "run", f"{client.base_url}/openapi.json"),
            *("--checks", "all", "--max-examples", "8", "--seed", "1", "--no-color"),
            *("--header", f"X-API-Key: {KEY}", "--generation-database", "none"),
        ]
        done = subprocess.run(
            command,
            cwd=tmp_path,
            env={**os.environ, "SCHEMATHESIS_HOOKS": "images"},
            capture_output=True,
            text=True,
            timeout=120,
        )
    assert done.returncode == 0, done.stdout[-5000:]
    assert "7 selected / 7 total" in done.stdout
    assert "No issues found" in done.stdout


def test_every_route_declares_what_it_may_give(serving):
    with serving(explain=True) as client:
        document = client.get("/openapi.json").json()
    declared = {
        path: {status for operation in operations.values() for status in operation["responses"]}
        for path, operations in document["paths"].items()
    }
    anywhere = {"200", "400", "431", "500", "503"}
    asking = anywhere | {"401", "408", "413", "415", "504"}
    assert declared == {
        "/v1/locate": asking | {"422"},
        "/v1/explain": asking | {"422"},
        "/v1/places": asking | {"501"},
        "/v1/about": anywhere | {"401"},
        "/health": anywhere,
        "/ready": anywhere,
        "/metrics": anywhere | {"401"},
    }
    body = document["paths"]["/v1/locate"]["post"]["requestBody"]["content"]
    assert set(body) == {"multipart/form-data", "image/*"}
