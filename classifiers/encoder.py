"""The embedded engine: text to windows of tokens, a window to scores. Synchronous; ``batching`` runs it in threads.

One onnxruntime session with one thread and no spinning, shared by all workers (it releases the GIL). Windows are run one
by one: batches bring nothing at 64 tokens, and in a dynamically quantised model a neighbour would change the scores.
numpy, onnxruntime and tokenizers are imported when an encoder is loaded, never when this module is.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from classifiers.artefacts import HEAD_FILE, MODEL_FILE, TOKENIZER_FILE
from classifiers.base import ClassifierArtefact, ClassifierInvalid, OverBudget
from classifiers.windows import Planned, count_windows, cut_windows, encodable, segments

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray
    from tokenizers import Tokenizer

SPECIAL_TOKENS = 2


class Reader:
    """Turns a text into windows of token ids."""

    def __init__(self, tokenizer: Tokenizer, window_tokens: int, stride_tokens: int) -> None:
        self._tokenizer = tokenizer
        self._size = window_tokens - SPECIAL_TOKENS
        self._stride = stride_tokens

    @property
    def stride(self) -> int:
        """How many tokens after another a window begins."""
        return self._stride

    @classmethod
    def load(cls, content: bytes, window_tokens: int, stride_tokens: int) -> Reader:
        """Build a reader from the content of ``tokenizer.json``. Raises ClassifierArtefact."""
        # Its own thread pool would compete with the workers; an operator's setting wins.
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
        from tokenizers import Tokenizer

        try:
            tokenizer = Tokenizer.from_str(content.decode())
        except Exception as error:  # the library raises bare Exception for a bad file
            raise ClassifierArtefact(f"{TOKENIZER_FILE} is not a tokenizer") from error
        tokenizer.no_truncation()
        tokenizer.no_padding()
        # "[SEP]" typed by a sender is text, not the end of the input.
        tokenizer.encode_special_tokens = True
        return cls(tokenizer, window_tokens, stride_tokens)

    def plan(self, text: str, limit: int) -> Planned:
        """Cut ``text`` into windows. Raises OverBudget with a lower bound as soon as they exceed ``limit``."""
        ids: list[int] = []
        starts: list[int] = []
        for pieces in segments(encodable(text)):
            # encode_batch releases the GIL, encode does not.
            encoded = self._tokenizer.encode_batch([piece for _, piece in pieces], add_special_tokens=False)
            for (offset, _), encoding in zip(pieces, encoded, strict=True):
                ids.extend(encoding.ids)
                starts.extend(offset + start for start, _ in encoding.offsets)
            needed = count_windows(len(ids), self._size, self._stride)
            if needed > limit:
                raise OverBudget(needed, limit)
        return Planned(cut_windows(len(text), ids, starts, self._size, self._stride), len(ids))


class Encoder:
    """Turns the token ids of a window into an embedding of length one."""

    def __init__(self, session: Any, first: int, last: int) -> None:
        import numpy as np

        self._numpy = np
        self._session = session
        self._first = first
        self._last = last

    @classmethod
    def load(cls, content: bytes, first: int, last: int) -> Encoder:
        """Build an encoder from an ONNX file's content; ``first`` and ``last`` are the special tokens around a window.

        Raises ClassifierArtefact.
        """
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 4
        # The arena keeps the memory of the largest run for good; windows are small, so it is not missed.
        options.enable_cpu_mem_arena = False
        try:
            session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's errors share no public base class
            raise ClassifierArtefact(f"{MODEL_FILE} is not a model that onnxruntime loads") from error
        return cls(session, first, last)

    def embed(self, ids: Sequence[int]) -> NDArray[np.float32]:
        """The embedding, float32 [hidden], of one window's token ids (special tokens left out)."""
        row = self._numpy.array([[self._first, *ids, self._last]], dtype=self._numpy.int64)
        embedding: NDArray[np.float32] = self._session.run(None, {"input_ids": row})[0][0]
        return embedding


class Head:
    """A logistic output per category over an embedding."""

    def __init__(self, weights: Sequence[Sequence[float]], bias: Sequence[float]) -> None:
        import numpy as np

        self._numpy = np
        self._weights = np.array(weights, dtype=np.float64)
        self._bias = np.array(bias, dtype=np.float64)

    @classmethod
    def load(cls, content: bytes, categories: Sequence[str]) -> Head:
        """Build a head from ``head.json``: {"categories": [...], "weights": [[...]], "bias": [...]}. Raises ClassifierArtefact."""
        try:
            stored: Mapping[str, Any] = json.loads(content)
            if stored["categories"] != list(categories):
                raise ClassifierArtefact(f"{HEAD_FILE} has other categories than the card")
            head = cls(stored["weights"], stored["bias"])
        except (ValueError, KeyError, TypeError) as error:
            raise ClassifierArtefact(f"{HEAD_FILE} is not a head") from error
        if head._weights.ndim != 2 or head._bias.shape != (len(categories),) or len(head._weights) != len(categories):
            raise ClassifierArtefact(f"{HEAD_FILE} has the wrong shape")
        return head

    def scores(self, embedding: NDArray[np.float32]) -> tuple[float, ...]:
        """One score in [0, 1] per category."""
        logits = self._numpy.clip(self._weights @ embedding + self._bias, -60.0, 60.0)
        return tuple((1.0 / (1.0 + self._numpy.exp(-logits))).tolist())


class OnnxEngine:
    """Reader, encoder and head as one ``batching.Engine``."""

    def __init__(self, reader: Reader, encoder: Encoder, head: Head) -> None:
        self._reader = reader
        self._encoder = encoder
        self._head = head

    def plan(self, text: str, limit: int) -> Planned:
        """See ``Reader.plan``."""
        return self._reader.plan(text, limit)

    def infer(self, ids: Sequence[int]) -> tuple[float, ...]:
        """The scores of one window. Raises ClassifierInvalid when the model fails on it."""
        try:
            return self._head.scores(self._encoder.embed(ids))
        except Exception as error:  # onnxruntime's errors share no public base class; a failed window must fail closed
            raise ClassifierInvalid("the model failed on a window") from error
