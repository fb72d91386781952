"""A classifier over any Hugging Face model in a local folder; the only importer of transformers and torch outside of training.

Sequence classification, or a causal guard model of a known family. Safetensors only, every file pinned, no remote code, no
network. It runs in threads like the embedded engine. Windows are spans of UTF-8 bytes: a window of more tokens than the
model takes is judged in overlapping halves, never cut. Needs the extra: ``pip install asl-gateway[transformer]``.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Protocol

from classifiers.base import ClassifierArtefact, ClassifierError, ClassifierInvalid, ClassifierUnavailable
from classifiers.embedded import EmbeddedClassifier, Loaded, Sizes
from classifiers.guards.base import TOP, Answer, Ask, Token
from classifiers.guards.families import FAMILIES
from classifiers.guards.folder import check_folder
from classifiers.guards.spans import spans
from classifiers.guards.spec import Guard
from classifiers.job import check_scores
from classifiers.windows import Planned, Span, encodable

START_SECONDS: Final = 900.0  # weights of gigabytes, judging the canaries on a processor
MOST_TOKENS: Final = 4096  # where a model does not say
_UNSET: Final = 10**9  # what a tokenizer says that knows no limit is larger


class TooLong(Exception):
    """The text has more tokens than the model takes."""


class Model(Protocol):
    """A loaded model: a score for each label of a text."""

    def judge(self, text: str) -> Mapping[str, float]:
        """Raises TooLong, ClassifierInvalid, and whatever the model raises."""


class TransformerClassifier(EmbeddedClassifier):
    """A ``Classifier`` over the model of a guard's folder, one text at a time."""

    def __init__(self, guard: Guard, threads: int = 1) -> None:
        super().__init__(guard.card, lambda: load(guard), Sizes(threads=threads), START_SECONDS)


def load(guard: Guard) -> Loaded:
    """Check and load. Raises ClassifierArtefact, ClassifierUnavailable (transformers is not installed)."""
    folder = Path(guard.folder)
    check_folder(folder, guard.pins)
    # Nothing is looked up anywhere, whatever a file names; an operator cannot have meant otherwise.
    os.environ.update(HF_HUB_OFFLINE="1", TRANSFORMERS_OFFLINE="1")
    try:
        import torch
        import transformers
    except ImportError as error:
        raise ClassifierUnavailable(f"{error.name} is not installed: asl-gateway[transformer] has it") from error
    try:
        model = _words(guard, torch, transformers) if guard.family else _classes(guard, torch, transformers)
    except ClassifierError:
        raise
    except Exception as error:  # transformers raises whatever its parts raise
        raise ClassifierArtefact(
            f"{folder.name} is not a model that transformers loads: {type(error).__name__}"
        ) from error
    return Loaded(GuardEngine(guard, model), guard.canaries)


_LOCAL: Final[Mapping[str, Any]] = {"local_files_only": True, "trust_remote_code": False}


class GuardEngine:
    """A model as a ``job.Engine``; the ids of a window are its bytes."""

    def __init__(self, guard: Guard, model: Model) -> None:
        self._guard = guard
        self._model = model

    def plan(self, text: str, limit: int) -> Planned:
        """See ``Engine.plan``."""
        clean = encodable(text)
        found = spans(clean, self._guard.window, self._guard.stride, min(limit, self._guard.budget))
        cut = tuple(Span(start, end, tuple(clean[start:end].encode())) for start, end in found)
        return Planned(cut, len(clean.encode()))

    def infer(self, ids: Sequence[int]) -> tuple[float, ...]:
        """See ``Engine.infer``."""
        try:
            return check_scores(self._scores(bytes(ids).decode()), len(self._guard.columns))
        except ClassifierError:
            raise
        except Exception as error:  # a window that fails must fail closed, whatever torch raises
            raise ClassifierInvalid("the model failed on a window") from error

    def _scores(self, text: str) -> tuple[float, ...]:
        try:
            return self._guard.scores(self._model.judge(text))
        except TooLong:
            if len(text) < 2:
                raise
        middle, more = len(text) // 2, len(text) // 8
        return tuple(map(max, self._scores(text[: middle + more]), self._scores(text[middle - more :])))


class Classes:
    """Sequence classification."""

    def __init__(self, torch: Any, model: Any, tokenizer: Any) -> None:
        self._torch, self._model, self._tokenizer = torch, model, tokenizer
        self._names = [model.config.id2label[index] for index in range(model.config.num_labels)]
        # One class, or classes that do not exclude each other, have probabilities of their own.
        self._apart = len(self._names) == 1 or model.config.problem_type == "multi_label_classification"
        self._most = _most_tokens(model, tokenizer)

    def judge(self, text: str) -> Mapping[str, float]:
        """See ``Model.judge``. A special token that a sender typed is text."""
        encoded = self._tokenizer(text, return_tensors="pt", truncation=False, split_special_tokens=True)
        if encoded["input_ids"].shape[1] > self._most:
            raise TooLong
        with self._torch.inference_mode():
            logits = self._model(**encoded).logits[0].float()
        chances = logits.sigmoid() if self._apart else logits.softmax(-1)
        return dict(zip(self._names, chances.tolist(), strict=True))


class Words:
    """A causal guard model that answers in words."""

    def __init__(self, torch: Any, model: Any, tokenizer: Any, family: str) -> None:
        self._torch, self._model, self._tokenizer = torch, model, tokenizer
        self._family = FAMILIES[family]
        ends = model.generation_config.eos_token_id
        self._ends = frozenset(ends if isinstance(ends, list) else [ends])
        self._most = _most_tokens(model, tokenizer)

    def judge(self, text: str) -> Mapping[str, float]:
        """See ``Model.judge``."""
        return self._family.read([self._answer(ask) for ask in self._family.asks(text)])

    def _answer(self, ask: Ask) -> Answer:
        encoded = self._encode(ask)
        length = encoded["input_ids"].shape[1]
        if length + ask.tokens > self._most:
            raise TooLong
        with self._torch.inference_mode():
            made = self._model.generate(
                **encoded,
                max_new_tokens=ask.tokens,
                do_sample=False,
                pad_token_id=next(iter(self._ends)),
                output_logits=True,
                return_dict_in_generate=True,
            )
        ids = made.sequences[0][length:].tolist()
        finished = bool(ids) and ids[-1] in self._ends
        said = ids[:-1] if finished else ids
        # Decoded from the start each time: a token alone loses its space.
        texts = [self._tokenizer.decode(said[:count]) for count in range(len(said) + 1)]
        tokens = tuple(
            Token(after[len(before) :], self._candidates(logits[0]))
            for before, after, logits in zip(texts, texts[1:], made.logits, strict=False)
        )
        return Answer(texts[-1], tokens, finished)

    def _encode(self, ask: Ask) -> Any:
        if ask.chat is None:
            return self._tokenizer(ask.prompt, add_special_tokens=ask.begin, return_tensors="pt")
        shown = ask.chat
        for special in self._tokenizer.all_special_tokens:  # typed by a sender they would end the text to be judged
            shown = shown.replace(special, f"{special[0]} {special[1:]}")
        turns = [{"role": "user", "content": shown}]
        return self._tokenizer.apply_chat_template(
            turns, add_generation_prompt=True, return_tensors="pt", return_dict=True, **ask.template
        )

    def _candidates(self, logits: Any) -> Mapping[str, float]:
        chances, ids = logits.float().softmax(-1).topk(min(TOP, logits.shape[-1]))
        found: dict[str, float] = {}
        for chance, identifier in zip(chances.tolist(), ids.tolist(), strict=True):
            text = self._tokenizer.decode([identifier])
            found[text] = found.get(text, 0.0) + chance
        return found


def _most_tokens(model: Any, tokenizer: Any) -> int:
    """How many tokens the model takes: what tokenizer and configuration say, whichever is less."""
    positions = getattr(model.config, "max_position_embeddings", None) or MOST_TOKENS
    if "roberta" in model.config.model_type:  # its positions begin after the padding's
        positions -= 2
    said = tokenizer.model_max_length
    return int(min(positions, said if said < _UNSET else positions))


def _classes(guard: Guard, torch: Any, transformers: Any) -> Classes:
    model = transformers.AutoModelForSequenceClassification.from_pretrained(
        guard.folder, use_safetensors=True, **_LOCAL
    )
    found = set(model.config.id2label.values())
    if found != guard.labels.keys():
        raise ClassifierArtefact(
            f"the model's classes are {', '.join(sorted(found))}, named are {', '.join(guard.labels)}"
        )
    return Classes(torch, model.eval(), transformers.AutoTokenizer.from_pretrained(guard.folder, **_LOCAL))


def _words(guard: Guard, torch: Any, transformers: Any) -> Words:
    model = transformers.AutoModelForCausalLM.from_pretrained(guard.folder, use_safetensors=True, **_LOCAL)
    return Words(torch, model.eval(), transformers.AutoTokenizer.from_pretrained(guard.folder, **_LOCAL), guard.family)
