"""Problems as RFC 9457 has them."""

from __future__ import annotations

import json

import pytest

from gateway.console.problems import Problem


@pytest.mark.parametrize(("status", "title"), [(404, "Not Found"), (409, "Conflict"), (503, "Service Unavailable")])
def test_a_problem_is_its_own_answer(status: int, title: str) -> None:
    """Status, title, code and detail are in the body, under the media type of problems."""
    answer = Problem(status, "a_code", "what to do").response()
    assert (answer.status_code, answer.media_type) == (status, "application/problem+json")
    assert json.loads(bytes(answer.body)) == {
        "type": "about:blank",
        "title": title,
        "status": status,
        "code": "a_code",
        "detail": "what to do",
    }
    assert "www-authenticate" not in answer.headers


def test_a_missing_token_names_the_scheme() -> None:
    """401 comes with the challenge that HTTP asks for."""
    assert Problem(401, "token_required", "x").response().headers["www-authenticate"] == "Bearer"


def test_a_detail_that_quotes_half_a_character_can_be_sent() -> None:
    """JSON lets clients write lone surrogates; where a detail quotes one, the answer is still the problem and not a 500."""
    answer = Problem(404, "unknown_model", 'no model is registered as "\ud800"').response()
    assert json.loads(bytes(answer.body))["detail"] == 'no model is registered as "?"'
