"""A request that gets no detections, as its sender reads it."""

from __future__ import annotations

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse


class Problem(Exception):
    """Ends a request with a status and `{"error": {"code", "message"}}`.

    Args:
        status: of HTTP.
        code: a short name for programs.
        message: a sentence for people, with the remedy.
        retry_after: seconds after which another try makes sense.
    """

    def __init__(self, status: int, code: str, message: str, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.retry_after = status, code, message, retry_after

    def response(self) -> JSONResponse:
        """The answer that its sender gets."""
        headers = {} if self.retry_after is None else {"Retry-After": str(self.retry_after)}
        if self.status == 408:  # nobody waits for the rest
            headers["Connection"] = "close"
        content = {"error": {"code": self.code, "message": self.message}}
        return JSONResponse(content, status_code=self.status, headers=headers)


async def answer_problem(request: Request, error: Exception) -> JSONResponse:
    """Starlette's handler of all errors: every answer is JSON of one form."""
    if isinstance(error, Problem):
        return error.response()
    if isinstance(error, HTTPException):  # of the router and the form parser
        code = {404: "not_found", 405: "method_not_allowed"}.get(error.status_code, "bad_request")
        response = Problem(error.status_code, code, f"{request.url.path}: {error.detail}").response()
        response.headers.update(error.headers or {})
        return response
    return Problem(500, "internal_error", "the server failed; its log says why").response()
