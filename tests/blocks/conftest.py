"""Tiny random BERT and GPT-2 of transformers, saved as its users save them."""

from pathlib import Path

import pytest
import torch
import transformers

from genera.blocks.bert import Bert
from genera.blocks.decoder import Decoder
from genera.blocks.pretrained import DECODERS, ENCODERS, load_weights, read_size


@pytest.fixture(scope="session")
def bert_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=50, hidden_size=24, num_hidden_layers=3, num_attention_heads=4, intermediate_size=40,
        max_position_embeddings=16, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0, initializer_range=0.3,
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("bert")
    _jitter(transformers.BertModel(config)).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def gpt2_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    config = transformers.GPT2Config(
        vocab_size=40, n_embd=24, n_layer=3, n_head=4, n_positions=16, resid_pdrop=0.0, embd_pdrop=0.0,
        attn_pdrop=0.0, initializer_range=0.3, bos_token_id=1, eos_token_id=2,
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("gpt2")
    _jitter(transformers.GPT2LMHeadModel(config)).save_pretrained(folder)
    return folder


def _jitter(model: torch.nn.Module) -> torch.nn.Module:
    """Biases and LayerNorms start at 0 and 1, where a mix-up of two of them would not show."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model


@pytest.fixture
def bert(bert_folder: Path) -> Bert:
    model = Bert(read_size(bert_folder, ENCODERS), pooler=True)
    load_weights(model, bert_folder)
    return model


@pytest.fixture
def gpt2(gpt2_folder: Path) -> Decoder:
    model = Decoder(read_size(gpt2_folder, DECODERS))
    load_weights(model, gpt2_folder)
    return model
