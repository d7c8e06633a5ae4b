"""A page that describes the API from its OpenAPI schema: plain HTML, so that reading it needs no network."""

import html
import json
from collections.abc import Mapping
from typing import Any

_STYLE = """
:root { color-scheme: light dark; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h2 code { font-size: 1.05rem; } table { border-collapse: collapse; width: 100%; }
td, th { text-align: left; vertical-align: top; padding: .25rem .75rem .25rem 0; border-top: 1px solid #8884; }
pre { overflow: auto; padding: 1rem; background: #8882; border-radius: 6px; }
"""
_EXAMPLE = """curl http://127.0.0.1:PORT/v1/chat/completions \\
  -H "Authorization: Bearer $EXPERTARIUM_API_KEY" -H "Content-Type: application/json" \\
  -d '{"messages": [{"role": "user", "content": "a snowy mountain scene"}], "routing": "ids"}'"""


def docs_page(schema: Mapping[str, Any]) -> str:
    """Write the page for an OpenAPI document."""
    routes = "".join(
        _route(method, path, operation, schema)
        for path, methods in schema["paths"].items() for method, operation in methods.items()
    )
    info = schema["info"]
    return (f"<!DOCTYPE html><html lang=en><meta charset=utf-8><title>{_text(info['title'])}</title>"
            f"<style>{_STYLE}</style><h1>{_text(info['title'])}</h1><p>{_text(info.get('description', ''))} "
            "Every request bears the key that the engine printed when it started. The machine-readable form is "
            f"<a href=/openapi.json>/openapi.json</a>.</p><pre>{_text(_EXAMPLE)}</pre>{routes}</html>")


def _route(method: str, path: str, operation: Mapping[str, Any], schema: Mapping[str, Any]) -> str:
    body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
    name = body.get("$ref", "").rsplit("/", 1)[-1]
    fields = schema.get("components", {}).get("schemas", {}).get(name, {}).get("properties", {})
    rows = "".join(f"<tr><td><code>{_text(field)}</code><td>{_text(_type(value))}<td>{_text(_notes(value))}"
                   for field, value in fields.items())
    table = f"<table><tr><th>Field<th>Type<th>{rows}</table>" if rows else ""
    summary = _text(operation.get("description", operation.get("summary", "")))
    return f"<h2><code>{method.upper()} {_text(path)}</code></h2><p>{summary}</p>{table}"


def _type(value: Mapping[str, Any]) -> str:
    if "anyOf" in value:
        return " or ".join(_type(part) for part in value["anyOf"] if part.get("type") != "null")
    if "enum" in value:
        return " | ".join(json.dumps(item) for item in value["enum"])
    if "$ref" in value:
        return str(value["$ref"].rsplit("/", 1)[-1])
    kind = str(value.get("type", "any"))
    return f"array of {_type(value['items'])}" if kind == "array" and value.get("items") else kind


def _notes(value: Mapping[str, Any]) -> str:
    default = f"default {json.dumps(value['default'])}" if value.get("default") not in (None, "", []) else ""
    return ". ".join(part for part in (str(value.get("description", "")).rstrip("."), default) if part)


def _text(value: str) -> str:
    return html.escape(str(value))
