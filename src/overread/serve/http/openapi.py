"""What the OpenAPI document says that no signature can: refusals, and the form of images."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from http import HTTPStatus
from typing import Any

from overread.serve.http.problems import MEDIA_TYPE
from overread.serve.http.schemas import ProblemDetails

Responses = dict[int | str, dict[str, Any]]

# Uploads are read by our own parser, so what they look like is written here.
IMAGES_FORM: dict[str, Any] = {
    "required": True,
    "content": {
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "required": ["images"],
                "additionalProperties": False,
                "properties": {
                    "images": {
                        "type": "array",
                        "minItems": 1,
                        "items": {"type": "string", "format": "binary"},
                        "description": "JPEG, PNG, TIFF, BMP, WebP, GIF, HEIC or DICOM files.",
                    }
                },
            }
        }
    },
}


def refusals(*statuses: int) -> Responses:
    """The error responses of an operation: these, and those that every guarded one may give."""
    return unguarded_refusals(*{400, 401, 403, 421, 429, *statuses})


def unguarded_refusals(*statuses: int) -> Responses:
    """The error responses of an operation that is open to all."""
    schema = {"$ref": f"#/components/schemas/{ProblemDetails.__name__}"}
    return {
        status: {
            "content": {MEDIA_TYPE: {"schema": schema}},
            "description": HTTPStatus(status).phrase,
        }
        for status in sorted(statuses)
    }


def completed(document: Mapping[str, Any], *, max_images: int) -> dict[str, Any]:
    """FastAPI's document with the schema of refusals, and with this server's limit."""
    whole: dict[str, Any] = deepcopy(dict(document))  # parts of it belong to all applications
    whole["components"]["schemas"][ProblemDetails.__name__] = ProblemDetails.model_json_schema()
    body = whole["paths"]["/v1/predict"]["post"]["requestBody"]["content"]
    body["multipart/form-data"]["schema"]["properties"]["images"]["maxItems"] = max_images
    return whole
