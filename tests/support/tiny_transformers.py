"""Real, tiny models for transformers, made and taught here in seconds: whether a text has one of two words in it.

torch and transformers are imported where they are used, since only `make test-torch` has them.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

WORDS = ("kestrel", "nerve", "amber", "protocol", "how", "bread", "text", "number", "words", "plain", "the", "a")
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[ASK]", "[END]")
SAID = ("safe", "unsafe", "\n", "S9")
TEMPLATE = "{{ messages[0]['content'] }}[ASK]"


def _tokenizer(folder: Path) -> Any:
    """One token for each known word; every other word is unknown. What is generated is joined without spaces."""
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    vocabulary = {word: index for index, word in enumerate((*SPECIAL, *SAID, *WORDS))}
    made = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    made.normalizer = normalizers.Lowercase()
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.decoder = decoders.Fuse()
    single = "[CLS] $A [SEP]"
    made.post_processor = processors.TemplateProcessing(single=single, special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=made,
        unk_token="[UNK]",
        pad_token="[PAD]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        eos_token="[END]",
        additional_special_tokens=["[ASK]"],
        model_max_length=96,
    )
    tokenizer.chat_template = TEMPLATE
    tokenizer.save_pretrained(folder)
    return tokenizer


def _row(torch: Any, draw: Any, longest: int) -> tuple[list[int], bool]:
    """Random words, most of them unknown, and whether one of the two is among them."""
    harmless = [1, *range(len(SPECIAL) + len(SAID) + 2, len(SPECIAL) + len(SAID) + len(WORDS))]
    length = int(torch.randint(0, longest, (1,), generator=draw))
    row = [harmless[int(i)] for i in torch.randint(0, len(harmless), (length,), generator=draw)]
    harmful = bool(torch.rand(1, generator=draw) < 0.5) and length > 0
    if harmful:
        word = len(SPECIAL) + len(SAID) + int(torch.randint(0, 2, (1,), generator=draw))
        row[int(torch.randint(0, length, (1,), generator=draw))] = word
    return row, harmful


def classes(folder: Path) -> Path:
    """A sequence classification model with classes ``fine`` and ``harm``, saved as safetensors."""
    import torch
    from transformers import BertConfig, BertForSequenceClassification

    torch.manual_seed(7)
    draw = torch.Generator().manual_seed(7)
    tokenizer = _tokenizer(folder)
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=96,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        id2label={0: "fine", 1: "harm"},
        label2id={"fine": 0, "harm": 1},
    )
    model = BertForSequenceClassification(config).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(200):
        rows = [_row(torch, draw, 60) for _ in range(16)]
        longest = max(len(row) for row, _ in rows) + 2
        ids = torch.tensor([[2, *row, 3, *[0] * (longest - len(row) - 2)] for row, _ in rows])
        labels = torch.tensor([int(harmful) for _, harmful in rows])
        loss = model(input_ids=ids, attention_mask=(ids != 0).long(), labels=labels).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    model.eval().save_pretrained(folder)
    return folder


def words(folder: Path) -> Path:
    """A causal model that answers as Llama Guard does, saved as safetensors."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(7)
    draw = torch.Generator().manual_seed(7)
    tokenizer = _tokenizer(folder)
    ask, end = SPECIAL.index("[ASK]"), SPECIAL.index("[END]")
    safe, unsafe, line, code = range(len(SPECIAL), len(SPECIAL) + len(SAID))
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=160,
        eos_token_id=end,
        bos_token_id=ask,
        pad_token_id=0,
    )
    model = LlamaForCausalLM(config).train()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(300):
        rows = []
        for _ in range(16):
            row, harmful = _row(torch, draw, 100)
            rows.append((row, [unsafe, line, code, end] if harmful else [safe, end]))
        longest = max(len(row) + len(said) + 1 for row, said in rows)
        ids, labels = [], []
        for row, said in rows:
            pad = longest - len(row) - len(said) - 1
            ids.append([*row, ask, *said, *[0] * pad])
            labels.append([*[-100] * (len(row) + 1), *said, *[-100] * pad])
        loss = model(input_ids=torch.tensor(ids), labels=torch.tensor(labels)).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    model.eval().save_pretrained(folder)
    return folder


def with_code(folder: Path) -> None:
    """Make the folder's configuration name code of its own."""
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"auto_map": {"AutoModel": "evil.Model"}}))
