"""Beam search in torch eager, as a good torch user writes it: all sentences at once, on tensors alone.

The memory is kept once a sentence and not copied for its hypotheses, which are the queries of one
`bmm`; the best continuations are one `topk`; a sentence that is done leaves the batch.
"""

import numpy as np
import torch
from speed_beam import BEAM, Found, longest
from speed_cases import Case
from speed_torch import TorchBatch, TorchModel, torch_batch

from minis2s.data import BOS, EOS, PAD


class TorchBeam:
    """torch's search with our weights, in their dtype."""

    def __init__(self, case: Case, weights: dict[str, np.ndarray], endless: bool):
        torch.set_num_threads(1)
        self.model = TorchModel(case.config, case.V_source, case.V_target)
        if weights["decoder.output.b"].dtype == np.float64:
            self.model.double()
        self.model.load(weights)
        self.model.eval()
        self.batches = [
            (torch_batch(batch), torch.from_numpy(longest(batch, endless).copy())) for batch in case.batches
        ]

    def step(self, batch: tuple[TorchBatch, torch.Tensor]) -> Found:
        return beam_search(self.model, *batch, BEAM)

    def texts(self) -> Found:
        return self.step(self.batches[0])


@torch.inference_mode()
def beam_search(model: TorchModel, batch: TorchBatch, limits: torch.Tensor, K: int) -> Found:
    """limits (B,): the greatest length of each output. The same search as minis2s.decode.beam_search."""
    memory, state = model.encode(batch)
    memory, padding = memory.transpose(0, 1).contiguous(), batch.padding  # (b, S, H), (b, 1, S)
    B, most = len(limits), int(limits.max())
    state = apply(state, lambda s: s.repeat_interleave(K, dim=1))  # (layers, b * K, H)
    best = memory.new_full((B,), -torch.inf)  # log-probability of the best finished text
    texts = torch.zeros((B, most), dtype=torch.long)
    lengths = torch.zeros(B, dtype=torch.long)
    sentences = torch.arange(B)  # (b,) those that are not done
    live = memory.new_full((B, K), -torch.inf)
    live[:, 0] = 0
    tokens = torch.full((B, K), BOS)
    written = torch.zeros((B, K, 0), dtype=torch.long)

    for length in range(1, most + 1):
        b = len(sentences)
        hs, state = model.decoder(model.target(tokens.view(1, b * K)), state)
        log_probs = model.read_out(hs.view(b, K, -1), memory, padding).log_softmax(dim=-1)
        log_probs[..., PAD] = log_probs[..., BOS] = -torch.inf
        V = log_probs.shape[-1]
        totals, index = (live[:, :, None] + log_probs).view(b, K * V).topk(K, dim=1)
        parents, tokens = index // V, index % V
        written = torch.cat(
            [written.gather(1, parents[:, :, None].expand(-1, -1, length - 1)), tokens[:, :, None]], dim=2
        )
        # what ended is set aside, where it is better than what ended before
        ended = tokens == EOS
        score, at = totals.masked_fill(~ended, -torch.inf).max(dim=1)
        better = score > best[sentences]
        keep(best, texts, lengths, sentences, score, written, at, better, length - 1)
        live = totals.masked_fill(ended, -torch.inf)
        # at the limit what is still alive is taken, for want of a finished text
        at_limit = limits[sentences] == length
        top, at = live.max(dim=1)
        cut = at_limit & (best[sentences] == -torch.inf)
        keep(best, texts, lengths, sentences, top, written, at, cut, length)
        on = ~at_limit & (top > best[sentences])
        rows = parents + K * torch.arange(b)[:, None]
        if not on.all():
            if not on.any():
                break
            sentences, live, tokens, written, rows = (a[on] for a in (sentences, live, tokens, written, rows))
            memory, padding = memory[on], None if padding is None else padding[on]
        flat = rows.flatten()
        state = apply(state, lambda s, flat=flat: s.index_select(1, flat))
    return [
        (text[:n].tolist(), float(score)) for text, n, score in zip(texts, lengths.tolist(), best.tolist())
    ]


def keep(best, texts, lengths, sentences, score, written, at, where, length: int) -> None:
    """Put hypothesis `at` of every sentence that `where` marks among the results."""
    n = sentences[where]
    best[n] = score[where]
    texts[n, :length] = written[where, at[where], :length]
    lengths[n] = length


def apply(state, function):
    """The state of an LSTM is a pair, that of a GRU one tensor."""
    return tuple(map(function, state)) if isinstance(state, tuple) else function(state)
