"""The OpenAPI document against the server: its promises hold for thousands of made-up calls."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from serving import running
from tiny_bundle import picture, png, write_tiny

# Cases in each operation; `OVERREAD_FUZZ=800` makes some 15,000 of all.
CASES = int(os.environ.get("OVERREAD_FUZZ", "12"))
# Too many images in one request are too large a request (413), which schemathesis does not expect.
SETTINGS = """
[checks]
negative_data_rejection.expected-statuses = [400, 401, 403, 404, 406, 413, 415, 422, 428]
"""


@pytest.mark.slow
def test_no_made_up_call_meets_a_fault_or_an_answer_that_was_not_promised(tmp_path: Path) -> None:
    pytest.importorskip("schemathesis")
    model = write_tiny(tmp_path / "tiny.overread")
    (tmp_path / "schemathesis.toml").write_text(SETTINGS)
    with running(model, database=f"sqlite:///{tmp_path / 'cases.sqlite'}") as server:
        server.predict(png(picture("red")))
        command = ["schemathesis.cli", "run", f"{server.url}/openapi.json", "--no-color"]
        command += ["--max-examples", str(CASES), "--seed", "1"]
        command += ["--suppress-health-check", "all"]  # says how busy this machine is
        done = subprocess.run(
            [sys.executable, "-m", *command],
            cwd=tmp_path,
            capture_output=True,
            text=True,
        )
        faults = re.findall(r'status="5\d\d"', server.http.get("/metrics").text)
    assert done.returncode == 0, done.stdout[-5000:]
    assert re.search(r"[\d,]+ generated, [\d,]+ passed", done.stdout), done.stdout[-2000:]
    assert faults == []


def test_the_document_names_every_refusal_as_a_problem(tmp_path: Path) -> None:
    with running(write_tiny(tmp_path / "tiny.overread"), max_images=7) as server:
        schema = server.http.get("/openapi.json").json()
    for path, methods in schema["paths"].items():
        for method, operation in methods.items():
            assert operation["summary"] and operation["tags"], (method, path)
            for status, response in operation["responses"].items():
                if int(status) >= 400:
                    assert list(response["content"]) == ["application/problem+json"], (path, status)
    assert "HTTPValidationError" not in schema["components"]["schemas"]
    form = schema["paths"]["/v1/predict"]["post"]["requestBody"]["content"]["multipart/form-data"]
    assert form["schema"]["required"] == ["images"]
    assert form["schema"]["properties"]["images"]["maxItems"] == 7
