"""Errors as the API gives them: OpenAI's shape, with a plain cause and a next step. No routes here."""

import json
import logging
import re
from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

logger = logging.getLogger(__name__)
_SEND_JSON = "Send a JSON object with the header Content-Type: application/json."
TOO_LARGE = ("too_large", "The request is larger than 64 MiB.", "Send less text.")
_OF_THE_BODY = {  # 400 is how FastAPI says that a body could not even be parsed
    400: ("malformed_json", "The request's body cannot be read as JSON.", _SEND_JSON), 413: TOO_LARGE,
}


class ApiError(Exception):
    """A refusal: HTTP status, machine-readable code, cause, what to do next."""

    def __init__(self, status: int, code: str, message: str, next_step: str, *, param: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.body = error_body(status, code, message, next_step, param=param)


def error_body(status: int, code: str, message: str, next_step: str, *, param: str | None = None) -> dict[str, Any]:
    """Write an error in OpenAI's form; `next_step` is ours."""
    kinds = {401: "authentication_error", 403: "permission_error", 404: "not_found_error", 503: "unavailable_error"}
    kind = kinds.get(status, "invalid_request_error" if status < 500 else "server_error")
    return {"error": {"message": message, "type": kind, "param": param, "code": code, "next_step": next_step}}


def from_value_error(error: ValueError, *, code: str = "invalid_value", param: str | None = None) -> ApiError:
    """Refuse for a ValueError whose last sentence says what to do."""
    cause, next_step = split_next_step(str(error))
    return ApiError(400, code, cause, next_step, param=param)


def split_next_step(message: str) -> tuple[str, str]:
    """Split a message of ours into its cause and its last sentence, the next step."""
    sentences = re.split(r"(?<=[.!?:]) (?=[A-Z])", message.strip())
    return (" ".join(sentences[:-1]), sentences[-1]) if len(sentences) > 1 else (message, "Change the request.")


def install_handlers(app: FastAPI) -> None:
    """Give every error of `app` our form."""

    @app.exception_handler(ApiError)
    async def refuse(_request: Request, error: ApiError) -> JSONResponse:
        return JSONResponse(error.body, error.status)

    @app.exception_handler(RequestValidationError)
    async def refuse_invalid(_request: Request, error: RequestValidationError) -> JSONResponse:
        return JSONResponse(_validation_body(error.errors()), 400)

    @app.exception_handler(HTTPException)
    async def refuse_http(request: Request, error: HTTPException) -> JSONResponse:
        if error.status_code in _OF_THE_BODY:
            return JSONResponse(error_body(error.status_code, *_OF_THE_BODY[error.status_code]), error.status_code)
        message = f"{request.method} {request.url.path}: {error.detail}."
        next_step = "See /docs for the paths and methods there are."
        return JSONResponse(error_body(error.status_code, "no_such_path", message, next_step), error.status_code)

    @app.exception_handler(Exception)
    async def refuse_internal(_request: Request, error: Exception) -> JSONResponse:
        logger.error("A request failed", exc_info=error)
        message = f"The engine met an error of its own ({type(error).__name__}: {error})."
        return JSONResponse(error_body(500, "internal_error", message, "Try again; the engine's log says more."), 500)


def _validation_body(problems: Sequence[Any]) -> dict[str, Any]:
    first = problems[0]
    place = ".".join(str(part) for part in first["loc"] if part != "body")
    if first["type"] == "json_invalid":
        reason = first.get("ctx", {}).get("error", "")
        return error_body(400, "malformed_json", f"The request's body is not JSON: {reason} at character {place}.",
                          _SEND_JSON)
    found = first.get("input")
    if not place and not isinstance(found, dict):
        return error_body(400, "malformed_json", "The request's body was not given as a JSON object.", _SEND_JSON)
    shown = json.dumps(found, default=str)[:80] if not isinstance(found, dict) else "an object"
    message = f"{place or 'The body'}: {first['msg']} (got {shown})."
    return error_body(400, "invalid_value", message, "Correct this field; /docs shows the form of a request.",
                      param=place or None)
