"""One exception tree. Each class carries the HTTP status it is answered with, a stable code, and whether a retry can help.

::

    GatewayError                   500
    ├── BadRequest                 400  malformed or unscreenable; ``param`` names the field
    │   ├── TooLarge               413  body, depth, count or screening budget
    │   ├── UnsupportedMedia       415  content type or coding
    │   └── FeatureRefused         400  a field that the level in force refuses
    ├── RouteNotFound              404
    ├── MethodNotAllowed           405
    ├── ModelNotFound              404
    ├── Blocked                    400  a control said block, or could not read the sender's text (dialects give it its shape)
    ├── ServingRefused             403
    │   ├── ServingHalted          403  asl_serving_halted
    │   └── NotAssessed            403  asl_not_assessed
    ├── RetryLater                 503  our own trouble, which passes
    │   ├── Overloaded             503  limits reached: memory, streams
    │   │   ├── LedgerFull         503  what space is left belongs to exchanges in flight and to what people do
    │   │   └── Draining           503  the replica is shutting down
    │   └── SafeguardUnavailable   503  a control of ours failed and no substitute judged
    │       └── LedgerUnavailable  503  no decision without a record
    └── UpstreamError              502
        ├── UpstreamTimeout        504
        ├── UpstreamMalformed      502  its answer could not be parsed
        └── UpstreamStatus         502  its 4xx and 429 pass as status only, with our own body; 5xx becomes 502
"""

from __future__ import annotations


class GatewayError(Exception):
    """Base of all typed faults. ``message`` goes to the client and never holds prompt text, scores or rule ids."""

    status = 500
    code = "internal_error"
    kind = "api_error"
    retryable = False
    retry_after: int | None = None

    def __init__(self, message: str, *, param: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.param = param


class BadRequest(GatewayError):
    """The client's bytes are not a request that can be screened. ``code`` says what was wrong with them."""

    status = 400
    code = "invalid_request"
    kind = "invalid_request_error"

    def __init__(self, message: str, *, param: str | None = None, code: str | None = None) -> None:
        super().__init__(message, param=param)
        if code is not None:
            self.code = code


class TooLarge(BadRequest):
    """A limit on bytes, depth, number or screening windows is exceeded; the message names the limit."""

    status = 413
    code = "request_too_large"


class UnsupportedMedia(BadRequest):
    """The body is not plain ``application/json``."""

    status = 415
    code = "unsupported_media_type"


class FeatureRefused(BadRequest):
    """The level in force refuses this field; ``param`` names it."""

    code = "unsupported_parameter"


class RouteNotFound(GatewayError):
    """No such route on the data plane; nothing is forwarded."""

    status = 404
    code = "unknown_route"
    kind = "invalid_request_error"


class MethodNotAllowed(GatewayError):
    """The route exists, but not with this method."""

    status = 405
    code = "method_not_allowed"
    kind = "invalid_request_error"


class ModelNotFound(GatewayError):
    """The model is not registered under this exact name or a listed alias."""

    status = 404
    code = "model_not_found"
    kind = "not_found_error"


class Blocked(GatewayError):
    """A safety decision on the input. One message and one category, whichever control fired."""

    status = 400
    code = "content_filter"
    kind = "invalid_request_error"


class ServingRefused(GatewayError):
    """The model may not serve now."""

    status = 403
    kind = "permission_error"


class ServingHalted(ServingRefused):
    """The level in force halts serving."""

    code = "asl_serving_halted"


class NotAssessed(ServingRefused):
    """The model is assigned to a level whose controls do not exist yet."""

    code = "asl_not_assessed"


class RetryLater(GatewayError):
    """Our own trouble, which passes. The pipeline draws ``retry_after`` anew for each, so that clients do not come back all at once."""

    status = 503
    retryable = True
    retry_after = 1


class Overloaded(RetryLater):
    """A limit of this replica is reached; retry elsewhere or later."""

    code = "overloaded"


class LedgerFull(Overloaded):
    """The ledger keeps its last room for exchanges in flight and for what people do."""


class Draining(Overloaded):
    """The replica is shutting down."""

    code = "draining"


class SafeguardUnavailable(RetryLater):
    """A required control could not judge, and neither could its substitutes."""

    code = "safeguard_unavailable"


class LedgerUnavailable(SafeguardUnavailable):
    """The decision could not be recorded, so it was not acted upon."""


class UpstreamError(GatewayError):
    """The model server could not be reached or broke off."""

    status = 502
    code = "upstream_error"
    retryable = True


class UpstreamTimeout(UpstreamError):
    """The model server missed a deadline; the message says which."""

    status = 504
    code = "upstream_timeout"


class UpstreamMalformed(UpstreamError):
    """The model server's answer is not in its dialect."""

    code = "upstream_malformed"


class UpstreamStatus(UpstreamError):
    """The model server answered with an error status. Its body is never relayed."""

    def __init__(self, upstream_status: int, retry_after: int | None = None) -> None:
        passes = 400 <= upstream_status < 500 and upstream_status not in {401, 403}
        super().__init__(f"the model server answered with status {upstream_status}")
        self.upstream_status = upstream_status
        self.status = upstream_status if passes else 502
        self.retry_after = retry_after if upstream_status == 429 else None
        self.retryable = upstream_status == 429 or upstream_status >= 500
        if upstream_status == 429:
            self.code, self.kind = "upstream_rate_limited", "rate_limit_error"
        elif passes:
            self.code, self.kind = "upstream_refused", "invalid_request_error"
