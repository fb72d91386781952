from __future__ import annotations

import json

from anthropic.types import ModelInfo
from openai.types import Model
from support.anthropic_sdk import client

from gateway.wire.models import model_page, models_page

MODELS = (("demo-model", 1_700_000_000), ("other", 0))


def test_openai_shape() -> None:
    """Without ``anthropic-version`` the list is OpenAI's, and each entry is valid by its SDK."""
    reply = models_page(MODELS, anthropic=False)
    body = json.loads(reply.body)
    assert (reply.status, reply.headers) == (200, (("content-type", "application/json"),))
    assert body["object"] == "list"
    entries = [Model.model_validate(entry, strict=True) for entry in body["data"]]
    assert [(entry.id, entry.created) for entry in entries] == list(MODELS)
    assert json.loads(model_page(MODELS[0], anthropic=False).body) == body["data"][0]


def test_anthropic_shape() -> None:
    """With it the list is Anthropic's: the real SDK reads it, to its end, and each time is RFC 3339."""
    reply = models_page(MODELS, anthropic=True)
    with client(reply.body, headers=reply.headers) as sdk:
        page = sdk.models.list()
        assert [model.id for model in page] == ["demo-model", "other"]
        assert (page.has_more, page.first_id, page.last_id) == (False, "demo-model", "other")
    entry = json.loads(model_page(MODELS[0], anthropic=True).body)
    assert ModelInfo.model_validate_json(json.dumps(entry), strict=True).id == "demo-model"
    assert entry["created_at"] == "2023-11-14T22:13:20Z"
    assert entry["display_name"] == "demo-model"


def test_no_models() -> None:
    """An empty list is an answer, in both shapes."""
    assert json.loads(models_page((), anthropic=False).body) == {"object": "list", "data": []}
    empty = {"data": [], "has_more": False, "first_id": None, "last_id": None}
    assert json.loads(models_page((), anthropic=True).body) == empty


def test_a_page_ends_with_its_last_model() -> None:
    """``last_id`` is the last of all, not the second."""
    body = json.loads(models_page([("a", 0), ("b", 0), ("c", 0)], anthropic=True).body)
    assert (body["first_id"], body["last_id"]) == ("a", "c")
