"""Models put together from layers: the encoder, the bridge, the decoder, and Seq2Seq."""

from minis2s.models.decoder import Decoder
from minis2s.models.encoder import Bridge, Encoder
from minis2s.models.seq2seq import ModelConfig, Seq2Seq, attention_weights

__all__ = ["Bridge", "Decoder", "Encoder", "ModelConfig", "Seq2Seq", "attention_weights"]
