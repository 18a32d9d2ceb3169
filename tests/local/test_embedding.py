"""smollm2-embed for real: sentences to vectors, through gRPC."""

import itertools
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from nupic_client import InferenceClient, LocalServer
from nupic_client.errors import ContextLengthError, InferenceError
from nupic_client.local.engine import EngineError, EngineRequest
from nupic_client.local.engines.embedding import EmbeddingEngine
from nupic_client.local.engines.weights import locate_weights

pytestmark = pytest.mark.model

TOPICS = (
    ("The cat sits on the mat.", "A cat is sitting on a rug.", "A kitten rests on the carpet."),
    ("The stock market fell sharply today.", "Shares dropped a lot.", "Stock prices fell."),
    ("How do I sort a list in Python?", "How to order a Python list?", "Sorting lists in Python."),
)


@pytest.fixture(scope="module")
def weights():
    return locate_weights()


@pytest.fixture(scope="module")
def client(weights):
    with (
        LocalServer(model_path=weights) as server,
        InferenceClient("smollm2-embed", url=server.url) as client,
    ):
        yield client


def ask(*texts):
    return EngineRequest("m", inputs={"text_input": list(texts) if len(texts) > 1 else texts[0]})


def test_sentences_that_mean_the_same_score_higher_than_others(client):
    vectors = client.embed(itertools.chain(*TOPICS))
    likeness = vectors @ vectors.T
    topic = np.repeat(np.arange(len(TOPICS)), 3)
    same = topic[:, None] == topic
    others = likeness[~same].reshape(len(topic), -1)
    for own, other in zip(likeness, others, strict=True):
        assert np.sort(own)[-3:].min() > other.max(), "its own topic comes first"


def test_a_vector_has_576_numbers_and_length_1(client):
    vectors = client.embed(["a", "Grüße, 世界 🎉", "two\nlines <|im_end|>"])
    assert (vectors.shape, vectors.dtype) == ((3, 576), np.float32)
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1, abs=1e-5)


def test_a_text_has_the_same_vector_alone_and_in_a_batch(client):
    texts = [*TOPICS[0], *TOPICS[1]]
    alone = np.vstack([client.embed(text) for text in texts])
    assert np.array_equal(client.embed(texts), alone)


def test_two_hundred_sentences_keep_their_order(client):
    texts = [f"{number} birds" for number in range(200)]
    vectors = client.embed(texts)
    assert vectors.shape == (200, 576)
    for index in (0, 63, 64, 127, 199):
        assert np.array_equal(vectors[index], client.embed(texts[index])[0])


@pytest.mark.parametrize(
    ("texts", "kind", "words"),
    [
        ([""], InferenceError, "the text is empty"),
        (["a", ""], InferenceError, "text 1 is empty"),
        (
            ["word " * 600],
            ContextLengthError,
            r"the text has 601 tokens but this model takes at most 512\. Split it",
        ),
        (
            ["a", "word " * 3000],
            ContextLengthError,
            r"text 1 has 3001 tokens but this model takes at most 512",
        ),
    ],
)
def test_what_it_cannot_take(client, texts, kind, words):
    with pytest.raises(kind, match=words):
        client.embed(texts)
    assert client.embed("and it goes on").shape == (1, 576)


def test_the_longest_text(client):
    assert client.embed("word " * 511).shape == (1, 576)


def test_a_text_that_is_not_utf8(client):
    with pytest.raises(InferenceError, match="the text is not UTF-8"):
        client.infer({"text_input": np.array([[b"\xff"]], dtype=object)})


def test_a_text_that_cannot_fit_is_refused_before_anything_is_loaded():
    engine = EmbeddingEngine()
    engine.path = "nowhere.gguf"
    with pytest.raises(
        EngineError, match="text 1 has 131073 bytes, more than this model can take: at most 512"
    ):
        list(engine.generate(ask("a", "b" * 131073), threading.Event()))


def test_the_engine_is_loaded_by_the_first_request(weights):
    engine = EmbeddingEngine()
    with pytest.raises(EngineError, match="not loaded"):
        list(engine.generate(ask("a"), threading.Event()))
    engine.path = weights
    assert engine._host.server is None
    (chunk,) = engine.generate(ask("a"), threading.Event())
    assert len(chunk.outputs["embedding"]) == 576
    engine.close()
    engine.close()
    with pytest.raises(EngineError, match="not loaded"):
        list(engine.generate(ask("a"), threading.Event()))


def test_a_file_that_is_no_model(tmp_path):
    engine = EmbeddingEngine()
    engine.path = tmp_path / "nowhere.gguf"
    with pytest.raises(EngineError, match="there is no model file"):
        list(engine.generate(ask("a"), threading.Event()))
    engine.close()


class OddServer:
    def __init__(self, answer):
        self._answer = answer

    def handle_embeddings(self, _body):
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ({"error": {"message": "out of luck"}}, "text 0: out of luck"),
        (ValueError("odd"), "ValueError: odd"),
    ],
)
def test_other_errors_of_the_engine_reach_the_client(answer, words):
    engine = EmbeddingEngine()
    engine.path = "a.gguf"
    engine._host.server = OddServer(answer)
    with pytest.raises(EngineError, match=words):
        list(engine.generate(ask("a", "b"), threading.Event()))


def test_a_cancel_is_seen_between_two_texts(weights):
    engine = EmbeddingEngine()
    engine.path = weights
    cancelled = threading.Event()
    threading.Timer(0.2, cancelled.set).start()
    started = time.monotonic()
    assert list(engine.generate(ask(*["word " * 200] * 64), cancelled)) == []
    assert time.monotonic() - started < 5
    engine.close()


def test_closing_ends_a_request(weights):
    engine = EmbeddingEngine()
    engine.path = weights
    threading.Timer(0.2, engine.close).start()
    with pytest.raises(EngineError, match="shutting down"):
        list(engine.generate(ask(*["word " * 200] * 64), threading.Event()))


def test_a_script_may_end_while_it_embeds(weights):
    script = f"""if True:
        import threading, time
        from nupic_client import InferenceClient, LocalServer
        server = LocalServer(model_path={str(weights)!r}).start()
        client = InferenceClient("smollm2-embed", url=server.url)
        client.embed("a")
        threading.Thread(target=client.infer, args=(["word " * 200] * 64,), daemon=True).start()
        time.sleep(0.3)
    """
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, timeout=60, check=False)
    assert ended.returncode == 0
