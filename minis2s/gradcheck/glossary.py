"""The names in the textbook's lines, explained to somebody whose own code has other ones; and names of kinds."""

import re

GLOSSARY = {
    "real": "real is 1 where a step is no padding, else 0",
    "count": "count is the number of real tokens (1 for the sum)",
    "dsurprise": "dsurprise is the gradient of each token's own loss",
    "onehot": "onehot is 1 in the column of the target, else 0",
    "target": "target is the one-hot target, smoothed",
    "probs": "probs is softmax(logits)",
    "taken": "taken is what a raised score takes from all the others, the sum in the softmax's Jacobian",
    "projected": "projected is query W",
    "dproducts": "dproducts is the gradient of query keys^T before the scale",
    "dprojected": "dprojected is the gradient of the projected query",
    "dh_kept": "dh_kept is what a padded step hands on unchanged",
    "dc_kept": "dc_kept is what a padded step hands on unchanged",
    "tanh_c": "tanh_c is tanh(c)",
    "zh_n": "zh_n is h_prev Wh_n + bh_n, the state's part of the candidate n",
    "hWh_n": "hWh_n is h_prev Wh_n, without the bias",
    "rh": "rh is r * h_prev",
    "drh": "drh is the gradient of r * h_prev",
    "dzx": "dzx is the gradient of x Wx + bx, gates side by side",
    "dzh": "dzh is the gradient of h_prev Wh + bh, gates side by side",
    "dzh_n": "dzh_n is the candidate's part of dzh",
    "dz_ru": "dz_ru is the gradient of the pre-activations of r and u",
    "Wh_ru": "Wh_ru is the part of Wh for r and u",
    "Wh_n": "Wh_n is the part of Wh for n",
    "dWh_ru": "dWh_ru is the part of dWh for r and u",
    "dWh_n": "dWh_n is the part of dWh for n",
    "keep": "keep is the dropout mask, 1 where an entry is kept",
    "untransposed": "untransposed(W) has each gate's block as it lies, not transposed",
    "without": "without(dz, k, n) has the block of gate number k set to zero",
    "only": "only(dz, k, n) has all blocks but that of gate number k set to zero",
    "mT": ".mT exchanges the last two axes",
}
ATTENTION = "arrays have the batch first here, (B, T, ...); in (T, B, ...) the first two axes are exchanged"
NAMES = {"rnn": "an RNN", "lstm": "an LSTM", "gru": "a GRU"}


def explained(*lines: str) -> list[str]:
    """What the names in these lines mean that a reader may not have: ["real is 1 where ...", ...]."""
    used = [name for line in lines for name in re.findall(r"[A-Za-z_]\w*", line)]
    return list(dict.fromkeys(GLOSSARY[name] for name in used if name in GLOSSARY))


def explained_in_prose(text: str) -> list[str]:
    """The same for a sentence, where a plain word ("count", "keep", "only") is no name."""
    names = re.findall(r"\w*_\w+|\bd[a-z]+\b|\bd?rh\b|\bonehot\b|\breal(?=\[)", text)
    return explained(*names)


def a_kind(name: str) -> str:
    """A kind with its article: "an LSTM", "a step of a GRU", "an attention"."""
    if name.removesuffix("_step") in NAMES:
        whole = NAMES[name.removesuffix("_step")]
        return f"a step of {whole}" if name.endswith("_step") else whole
    return f"a{'n' if name[:1] in 'aeio' else ''} {name}"


def is_batch_first(kind: str) -> bool:
    """Has the textbook of that kind its arrays batch first, where the engine has time first?"""
    return any(word in kind for word in ("attention", "scores", "softmax", "weighted_sum"))


def in_words_of_a_step(text: str) -> str:
    """A line or a sentence on a sequence, as it is for one step of it: no [t], no first or last state."""
    text = re.sub(r"^(d[Wb]\w*) = \1 \+ ", r"\1 = ", text)
    for of_a_sequence, of_a_step in (
        ("[t]", ""),
        ("dh_last", "dh"),
        ("dc_last", "dc"),
        ("of the last state h ", "dh of the new state "),
        ("of the last cell state c ", "dc of the new cell state "),
        ("the initial state h0", "the state h_prev"),
        ("the initial cell state c0", "the cell state c_prev"),
        (": it is taken as zero, or the first step skipped", ": it is taken as zero"),
        (" at every step", ""),
    ):
        text = text.replace(of_a_sequence, of_a_step)
    return re.sub(r"\b(d?[hc])0\b", r"\1_prev", text)


PLURALS = {"is": "are", "keeps": "keep", "uses": "use", "lacks": "lack", "takes": "take", "has": "have"}


def in_the_plural(text: str) -> str:
    """ "dvalues and dkeys keep", where the sentence was made for one gradient."""
    several = r"(\bd\w+(?:, d\w+)* and d\w+(?: that they should hand on)?) (" + "|".join(PLURALS) + r")\b"
    return re.sub(several, lambda m: f"{m[1]} {PLURALS[m[2]]}", text)


def counted(number: int, noun: str) -> str:
    """ "1 gradient", "3 gradients"."""
    return f"{number} {noun}{'' if number == 1 else 's'}"
