"""Right and wrong answers to the exercises of lessons/06_encoder_decoder.py."""


# %% Exercise 1, wrong: EOS of the short sentences is read
def shifted(tgt_out, tgt_mask):
    tgt_in = np.full_like(tgt_out, BOS)
    tgt_in[1:] = tgt_out[:-1]
    return tgt_in


# %% Exercise 1, wrong: it writes into what it was given
def shifted(tgt_out, tgt_mask):
    tgt_out[1:] = np.where(tgt_mask[1:], tgt_out[:-1], PAD)
    tgt_out[0] = BOS
    return tgt_out


# %% Exercise 1
def shifted(tgt_out, tgt_mask):
    tgt_in = np.full_like(tgt_out, BOS)
    tgt_in[1:] = np.where(tgt_mask[1:], tgt_out[:-1], PAD)
    return tgt_in


# %% Exercise 2, wrong: a weight that is used at every step, and has no rows of its own
my_guess = {'g["Wx"] += np.outer': 'g["Wx"][...] = np.outer'}

# %% Exercise 2
my_guess = {'g["E"][token] += w["Wx"] @ da': 'g["E"][token] = w["Wx"] @ da'}


# %% Exercise 3, wrong: only the source gets padding
def padding_test(losses):
    batch = make_batch(examples_for_test)
    return np.abs(losses(more_source_padding(batch)) - losses(batch)).max()


# %% Exercise 3
def padding_test(losses):
    batch = make_batch(examples_for_test)
    together = losses(batch)
    alone = [losses(make_batch([examples_for_test[n]]))[0] for n in batch.index]
    return np.abs(together - alone).max()
