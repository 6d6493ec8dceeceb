"""The server described for programs: an OpenAPI 3.1 document of every address."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from neocog.app.serve.served import ServedModel
from neocog.app.serve.settings import Settings

Json = dict[str, Any]

_TOP_K: Json = {
    "name": "top_k",
    "in": "query",
    "description": "Labels in the answer.",
    "schema": {"type": "integer", "minimum": 1},
}
_ERROR: Json = {
    "type": "object",
    "required": ["error"],
    "properties": {"error": {"type": "string"}, "hint": {"type": "string"}},
}
_SCHEMAS: Json = {
    "Error": _ERROR,
    "Labels": {
        "type": "array",
        "items": {
            "type": "object",
            "required": ["label", "score"],
            "properties": {"label": {"type": "string"}, "score": {"type": "number", "minimum": 0, "maximum": 1}},
        },
    },
    "Question": {
        "type": "object",
        "required": ["inputs"],
        "properties": {
            "inputs": {"type": "string", "contentEncoding": "base64", "description": "An image file's bytes."},
            "parameters": {
                "type": ["object", "null"],
                "properties": {
                    "top_k": {"type": ["integer", "null"], "minimum": 1},
                    "function_to_apply": {"enum": ["softmax", "sigmoid", None]},
                },
            },
        },
    },
    "Metadata": {
        "type": "object",
        "required": ["name", "versions", "platform", "inputs", "outputs"],
        "properties": {
            "name": {"type": "string"},
            "versions": {"type": "array", "items": {"type": "string"}},
            "platform": {"type": "string"},
            "inputs": {"type": "array", "items": {"$ref": "#/components/schemas/Tensor"}},
            "outputs": {"type": "array", "items": {"$ref": "#/components/schemas/Tensor"}},
        },
    },
    "Tensor": {
        "type": "object",
        "required": ["name", "datatype", "shape"],
        "properties": {
            "name": {"type": "string"},
            "datatype": {"enum": ["BYTES", "UINT8", "FP32"]},
            "shape": {"type": "array", "items": {"type": "integer"}},
            "data": {"type": "array"},
            "parameters": {"type": "object"},
        },
    },
    "Inference": {
        "type": "object",
        "required": ["inputs"],
        "properties": {
            "id": {"type": "string"},
            "inputs": {
                "type": "array",
                "minItems": 1,
                "maxItems": 1,
                "items": {"$ref": "#/components/schemas/Tensor"},
            },
            "outputs": {"type": "array", "minItems": 1, "maxItems": 2, "items": {"type": "object"}},
            "parameters": {"type": "object"},
        },
    },
    "Inferred": {
        "type": "object",
        "required": ["model_name", "model_version", "outputs"],
        "properties": {
            "model_name": {"type": "string"},
            "model_version": {"type": "string"},
            "id": {"type": "string"},
            "outputs": {"type": "array", "items": {"$ref": "#/components/schemas/Tensor"}},
        },
    },
}


def document_of(models: Sequence[ServedModel], settings: Settings) -> Json:
    """Return the OpenAPI document of a server.

    Arguments:
        models: that it serves, the first of which also answers at "/".
        settings: what it takes.
    """
    from neocog import __version__

    names = [model.name for model in models]
    paths: Json = {
        "/": {
            "get": _get("Go to the page on which to try it", {"307": {"description": "To the page."}}),
            "post": _classify("classify", f"Classify an image with {names[0]}", settings),
        },
        "/models": {"get": _get("List the models", _json({"type": "object", "required": ["models"]}))},
        "/health": {"get": _ready("Whether requests are answered")},
        "/metrics": {"get": _get("Numbers for Prometheus", {"200": _of("text/plain", {"type": "string"})})},
        "/openapi.json": {"get": _get("This document", _json({"type": "object"}))},
        "/try": {"get": _get("The page on which to try it", {"200": _of("text/html", {"type": "string"})})},
        "/v2": {"get": _get("The server", _json({"type": "object", "required": ["name", "version", "extensions"]}))},
        "/v2/health/live": {"get": _get("Whether the server runs", _json({"type": "object"}))},
        "/v2/health/ready": {"get": _ready("Whether requests are answered")},
    }
    for name in names:
        about = f"/v2/models/{name}"
        paths[f"/models/{name}"] = {"post": _classify(f"classify-{name}", f"Classify an image with {name}", settings)}
        paths[about] = {"get": _get(f"What {name} takes and gives", _json(_schema("Metadata")))}
        paths[f"{about}/ready"] = {"get": _ready(f"Whether {name} answers")}
        paths[f"{about}/infer"] = {"post": _infer(name)}
    document: Json = {
        "openapi": "3.1.0",
        "info": {"title": "neocog serve", "version": __version__},
        "paths": paths,
        "components": {"schemas": _SCHEMAS},
    }
    if settings.token is not None:
        document["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
        document["security"] = [{"token": []}]
    return document


def _schema(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}


def _of(kind: str, schema: Json, description: str = "What was asked for.") -> Json:
    return {"description": description, "content": {kind: {"schema": schema}}}


def _json(schema: Json) -> Json:
    return {"200": _of("application/json", schema)}


def _refusals(*statuses: int) -> Json:
    told = {
        400: "The request is not as it should be, or the image cannot be read.",
        401: "The token is missing or wrong.",
        403: "The request names another host, or comes from another web page.",
        405: "There is something at this address, by other methods.",
        413: "The image has too many bytes or pixels.",
        415: "The body is packed, or a form.",
        429: "Too many images wait; try again after Retry-After seconds.",
        503: "Not now; try again after Retry-After seconds.",
    }
    refused = {}
    for status in statuses:
        refused[str(status)] = _of("application/json", _schema("Error"), told[status])
        if status in (429, 503):
            refused[str(status)]["headers"] = {"Retry-After": {"schema": {"type": "integer"}}}
    return refused


def _get(summary: str, answers: Json) -> Json:
    return {"summary": summary, "responses": {**answers, **_refusals(401, 403)}}


def _ready(summary: str) -> Json:
    return {"summary": summary, "responses": {**_json({"type": "object"}), **_refusals(403, 401, 503)}}


def _classify(identifier: str, summary: str, settings: Settings) -> Json:
    image = {"schema": {"type": "string", "format": "binary", "maxLength": settings.max_body}}
    return {
        "operationId": identifier,
        "summary": summary,
        "parameters": [_TOP_K],
        "requestBody": {
            "required": True,
            "content": {
                "application/octet-stream": image,
                "image/jpeg": image,
                "image/png": image,
                "application/json": {"schema": _schema("Question")},
            },
        },
        "responses": {**_json(_schema("Labels")), **_refusals(400, 401, 403, 413, 415, 429, 503)},
    }


def _infer(name: str) -> Json:
    return {
        "operationId": f"infer-{name}",
        "summary": f"Answer images or tensors with {name}",
        "requestBody": {"required": True, "content": {"application/json": {"schema": _schema("Inference")}}},
        "responses": {**_json(_schema("Inferred")), **_refusals(400, 401, 403, 413, 415, 429, 503)},
    }
