"""Faults of the admin API as RFC 9457 problems."""

from __future__ import annotations

from http import HTTPStatus

from starlette.responses import JSONResponse


class Problem(Exception):
    """A fault with its status, a stable code and a detail that says what to do."""

    def __init__(self, status: int, code: str, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail.encode(
            "utf-8", "replace"
        ).decode()  # it may quote a lone surrogate, which no answer can hold

    def response(self) -> JSONResponse:
        """The problem document."""
        body = {"type": "about:blank", "title": HTTPStatus(self.status).phrase, "status": self.status}
        headers = {"www-authenticate": "Bearer"} if self.status == 401 else None
        document = {**body, "code": self.code, "detail": self.detail}
        return JSONResponse(document, self.status, headers, media_type="application/problem+json")
