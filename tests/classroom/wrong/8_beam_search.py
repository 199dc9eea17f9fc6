"""Wrong answers to assignment 8: none of them may get all points of its task. Each cell is the whole answer."""


# %% text_score: EOS is left out
def text_score(log_probs, next_state, tokens, alpha):
    state, log_prob = 0, 0.0
    for token in tokens:
        log_prob += log_probs[state][token]
        state = next_state[state, token]
    return log_prob / penalty(len(tokens) + 1, alpha), log_prob


# %% text_score: the length does not count EOS
def text_score(log_probs, next_state, tokens, alpha):
    state, log_prob = 0, 0.0
    for token in tokens:
        log_prob += log_probs[state][token]
        state = next_state[state, token]
    log_prob += log_probs[state][EOS]
    return log_prob / penalty(len(tokens), alpha), log_prob


# %% text_score: every token is looked up in the first state
def text_score(log_probs, next_state, tokens, alpha):
    state, log_prob = 0, 0.0
    for token in tokens:
        log_prob += log_probs[state][token]
    log_prob += log_probs[state][EOS]
    return log_prob / penalty(len(tokens) + 1, alpha), log_prob


# %% text_score: the state moves before the token is looked up
def text_score(log_probs, next_state, tokens, alpha):
    state, log_prob = 0, 0.0
    for token in tokens:
        state = next_state[state, token]
        log_prob += log_probs[state][token]
    log_prob += log_probs[state][EOS]
    return log_prob / penalty(len(tokens) + 1, alpha), log_prob


# %% text_score: divided by the length, whatever alpha is
def text_score(log_probs, next_state, tokens, alpha):
    state, log_prob = 0, 0.0
    for token in tokens:
        log_prob += log_probs[state][token]
        state = next_state[state, token]
    log_prob += log_probs[state][EOS]
    return log_prob / (len(tokens) + 1), log_prob


# %% text_score: multiplied by the penalty
def text_score(log_probs, next_state, tokens, alpha):
    state, log_prob = 0, 0.0
    for token in tokens:
        log_prob += log_probs[state][token]
        state = next_state[state, token]
    log_prob += log_probs[state][EOS]
    return log_prob * penalty(len(tokens) + 1, alpha), log_prob


# %% text_score: score and log_prob are exchanged
def text_score(log_probs, next_state, tokens, alpha):
    state, log_prob = 0, 0.0
    for token in tokens:
        log_prob += log_probs[state][token]
        state = next_state[state, token]
    log_prob += log_probs[state][EOS]
    return log_prob, log_prob / penalty(len(tokens) + 1, alpha)


# %% text_score: EOS is taken from the first state
def text_score(log_probs, next_state, tokens, alpha):
    state, log_prob = 0, 0.0
    for token in tokens:
        log_prob += log_probs[state][token]
        state = next_state[state, token]
    log_prob += log_probs[0][EOS]
    return log_prob / penalty(len(tokens) + 1, alpha), log_prob


# %% greedy: EOS is in the list of tokens
def greedy(log_probs, next_state, max_length):
    state, tokens, log_prob = 0, [], 0.0
    for _ in range(max_length):
        row = log_probs[state]
        token = int(np.argmax(row))
        log_prob += row[token]
        if token == EOS:
            return [*tokens, EOS], log_prob, True
        tokens.append(token)
        state = next_state[state, token]
    return tokens, log_prob, False


# %% greedy: the log-probability of EOS is left out
def greedy(log_probs, next_state, max_length):
    state, tokens, log_prob = 0, [], 0.0
    for _ in range(max_length):
        row = log_probs[state]
        token = int(np.argmax(row))
        log_prob += row[token]
        if token == EOS:
            return tokens, log_prob - row[token], True
        tokens.append(token)
        state = next_state[state, token]
    return tokens, log_prob, False


# %% greedy: max_length does not count EOS
def greedy(log_probs, next_state, max_length):
    state, tokens, log_prob = 0, [], 0.0
    for _ in range(max_length + 1):
        row = log_probs[state]
        token = int(np.argmax(row))
        log_prob += row[token]
        if token == EOS:
            return tokens, log_prob, True
        tokens.append(token)
        state = next_state[state, token]
    return tokens, log_prob, False


# %% greedy: of equal tokens the higher one
def greedy(log_probs, next_state, max_length):
    state, tokens, log_prob = 0, [], 0.0
    for _ in range(max_length):
        row = log_probs[state]
        token = len(row) - 1 - int(np.argmax(row[::-1]))
        log_prob += row[token]
        if token == EOS:
            return tokens, log_prob, True
        tokens.append(token)
        state = next_state[state, token]
    return tokens, log_prob, False


# %% greedy: a text that is cut calls itself finished
def greedy(log_probs, next_state, max_length):
    state, tokens, log_prob = 0, [], 0.0
    for _ in range(max_length):
        row = log_probs[state]
        token = int(np.argmax(row))
        log_prob += row[token]
        if token == EOS:
            return tokens, log_prob, True
        tokens.append(token)
        state = next_state[state, token]
    return tokens, log_prob, True


# %% greedy: EOS is never taken at the beginning, nor anywhere
def greedy(log_probs, next_state, max_length):
    state, tokens, log_prob = 0, [], 0.0
    for _ in range(max_length):
        row = log_probs[state]
        token = 1 + int(np.argmax(row[1:]))
        log_prob += row[token]
        if token == EOS:
            return tokens, log_prob, True
        tokens.append(token)
        state = next_state[state, token]
    return tokens, log_prob, False


# %% greedy: the state stays the first one
def greedy(log_probs, next_state, max_length):
    state, tokens, log_prob = 0, [], 0.0
    for _ in range(max_length):
        row = log_probs[state]
        token = int(np.argmax(row))
        log_prob += row[token]
        if token == EOS:
            return tokens, log_prob, True
        tokens.append(token)
    return tokens, log_prob, False


# %% greedy: one step too few
def greedy(log_probs, next_state, max_length):
    state, tokens, log_prob = 0, [], 0.0
    for _ in range(max_length - 1):
        row = log_probs[state]
        token = int(np.argmax(row))
        log_prob += row[token]
        if token == EOS:
            return tokens, log_prob, True
        tokens.append(token)
        state = next_state[state, token]
    return tokens, log_prob, False


# %% greedy: EOS wins only where nothing else is possible
def greedy(log_probs, next_state, max_length):
    state, tokens, log_prob = 0, [], 0.0
    for _ in range(max_length):
        row = log_probs[state]
        token = int(np.argmax(row))
        if token == EOS and row[1:].max() > -4:
            token = 1 + int(np.argmax(row[1:]))
        log_prob += row[token]
        if token == EOS:
            return tokens, log_prob, True
        tokens.append(token)
        state = next_state[state, token]
    return tokens, log_prob, False


# %% best_continuations: the beginnings' own log-probabilities are left out
def best_continuations(totals, rows, beam):
    V = rows.shape[1]
    every = rows.reshape(-1)
    order = np.argsort(-every, kind="stable")[:beam]  # stable: of equal ones the first stays first
    order = order[every[order] > -np.inf]
    return order // V, order % V, every[order]


# %% best_continuations: worst first
def best_continuations(totals, rows, beam):
    V = rows.shape[1]
    every = (totals[:, None] + rows).reshape(-1)
    order = np.argsort(-every, kind="stable")[:beam]  # stable: of equal ones the first stays first
    order = order[every[order] > -np.inf]
    order = order[::-1]
    return order // V, order % V, every[order]


# %% best_continuations: the best of each beginning
def best_continuations(totals, rows, beam):
    V = rows.shape[1]
    every = (totals[:, None] + rows).reshape(-1)
    order = np.arange(len(rows)) * V + rows.argmax(axis=1)
    order = order[np.argsort(-every[order], kind="stable")][
        :beam
    ]  # stable: of equal ones the first stays first
    order = order[every[order] > -np.inf]
    return order // V, order % V, every[order]


# %% best_continuations: of equal ones the last comes first
def best_continuations(totals, rows, beam):
    V = rows.shape[1]
    every = (totals[:, None] + rows).reshape(-1)
    order = np.argsort(every, kind="stable")[::-1][:beam]  # stable: of equal ones the first stays first
    order = order[every[order] > -np.inf]
    return order // V, order % V, every[order]


# %% best_continuations: of equal ones the lower token comes first, whichever the beginning
def best_continuations(totals, rows, beam):
    V = rows.shape[1]
    every = (totals[:, None] + rows).reshape(-1)
    order = np.lexsort((np.arange(len(every)) % V, -every))[
        :beam
    ]  # stable: of equal ones the first stays first
    order = order[every[order] > -np.inf]
    return order // V, order % V, every[order]


# %% best_continuations: impossible continuations are kept
def best_continuations(totals, rows, beam):
    V = rows.shape[1]
    every = (totals[:, None] + rows).reshape(-1)
    order = np.argsort(-every, kind="stable")[:beam]  # stable: of equal ones the first stays first
    return order // V, order % V, every[order]


# %% best_continuations: parents and tokens are exchanged
def best_continuations(totals, rows, beam):
    V = rows.shape[1]
    every = (totals[:, None] + rows).reshape(-1)
    order = np.argsort(-every, kind="stable")[:beam]  # stable: of equal ones the first stays first
    order = order[every[order] > -np.inf]
    return order % V, order // V, every[order]


# %% best_continuations: one too many
def best_continuations(totals, rows, beam):
    V = rows.shape[1]
    every = (totals[:, None] + rows).reshape(-1)
    order = np.argsort(-every, kind="stable")[: beam + 1]  # stable: of equal ones the first stays first
    order = order[every[order] > -np.inf]
    return order // V, order % V, every[order]


# %% best_continuations: the number of beginnings in place of V
def best_continuations(totals, rows, beam):
    V = rows.shape[0]
    every = (totals[:, None] + rows).reshape(-1)
    order = np.argsort(-every, kind="stable")[:beam]  # stable: of equal ones the first stays first
    order = order[every[order] > -np.inf]
    return order // V, order % V, every[order]


# %% best_continuations: the log-probabilities of the step alone are returned
def best_continuations(totals, rows, beam):
    V = rows.shape[1]
    every = (totals[:, None] + rows).reshape(-1)
    order = np.argsort(-every, kind="stable")[:beam]  # stable: of equal ones the first stays first
    order = order[every[order] > -np.inf]
    return order // V, order % V, rows.reshape(-1)[order]


# %% best_continuations: never more than there are tokens
def best_continuations(totals, rows, beam):
    V = rows.shape[1]
    every = (totals[:, None] + rows).reshape(-1)
    order = np.argsort(-every, kind="stable")[: min(beam, V)]  # stable: of equal ones the first stays first
    order = order[every[order] > -np.inf]
    return order // V, order % V, every[order]


# %% beam_search: the first text that ends stops the search
def beam_search(log_probs, next_state, beam, max_length, alpha=0.0, nbest=1):
    live, totals = [([], 0)], np.zeros(1)  # (tokens, state) of each beginning, best first, and log p
    finished, length = [], 0
    while live and length < max_length:
        length += 1
        rows = np.stack([log_probs[state] for _, state in live])
        parents, chosen, totals = best_continuations(totals, rows, beam)
        beginnings, live, kept = live, [], []
        for n, (parent, token) in enumerate(zip(parents.tolist(), chosen.tolist())):
            tokens, state = beginnings[parent]
            if token == EOS:
                finished.append((tokens, float(totals[n] / penalty(length, alpha)), float(totals[n]), True))
            else:
                live.append(([*tokens, token], next_state[state, token]))
                kept.append(n)
        totals = totals[kept]
        if finished:
            break
    finished.sort(key=lambda text: -text[1])  # stable: of equal scores the earlier one stays first
    cut = [
        (tokens, float(total / penalty(length, alpha)), float(total), False)
        for (tokens, _), total in zip(live, totals)
    ]
    return [*finished, *cut][:nbest]


# %% beam_search: a finished text leaves its place to the next best
def beam_search(log_probs, next_state, beam, max_length, alpha=0.0, nbest=1):
    live, totals = [([], 0)], np.zeros(1)  # (tokens, state) of each beginning, best first, and log p
    finished, length = [], 0
    while live and length < max_length:
        length += 1
        rows = np.stack([log_probs[state] for _, state in live])
        parents, chosen, totals = best_continuations(totals, rows, beam + len(totals))
        beginnings, live, kept = live, [], []
        for n, (parent, token) in enumerate(zip(parents.tolist(), chosen.tolist())):
            tokens, state = beginnings[parent]
            if token != EOS and len(live) == beam:
                continue
            if token == EOS:
                finished.append((tokens, float(totals[n] / penalty(length, alpha)), float(totals[n]), True))
            else:
                live.append(([*tokens, token], next_state[state, token]))
                kept.append(n)
        totals = totals[kept]
    finished.sort(key=lambda text: -text[1])  # stable: of equal scores the earlier one stays first
    cut = [
        (tokens, float(total / penalty(length, alpha)), float(total), False)
        for (tokens, _), total in zip(live, totals)
    ]
    return [*finished, *cut][:nbest]


# %% beam_search: the beam shrinks for good when a text ends
def beam_search(log_probs, next_state, beam, max_length, alpha=0.0, nbest=1):
    live, totals = [([], 0)], np.zeros(1)  # (tokens, state) of each beginning, best first, and log p
    finished, length = [], 0
    while live and beam > 0 and length < max_length:
        length += 1
        rows = np.stack([log_probs[state] for _, state in live])
        parents, chosen, totals = best_continuations(totals, rows, beam)
        beginnings, live, kept = live, [], []
        for n, (parent, token) in enumerate(zip(parents.tolist(), chosen.tolist())):
            tokens, state = beginnings[parent]
            if token == EOS:
                beam -= 1
                finished.append((tokens, float(totals[n] / penalty(length, alpha)), float(totals[n]), True))
            else:
                live.append(([*tokens, token], next_state[state, token]))
                kept.append(n)
        totals = totals[kept]
    finished.sort(key=lambda text: -text[1])  # stable: of equal scores the earlier one stays first
    cut = [
        (tokens, float(total / penalty(length, alpha)), float(total), False)
        for (tokens, _), total in zip(live, totals)
    ]
    return [*finished, *cut][:nbest]


# %% beam_search: finished texts are ranked by log-probability
def beam_search(log_probs, next_state, beam, max_length, alpha=0.0, nbest=1):
    live, totals = [([], 0)], np.zeros(1)  # (tokens, state) of each beginning, best first, and log p
    finished, length = [], 0
    while live and length < max_length:
        length += 1
        rows = np.stack([log_probs[state] for _, state in live])
        parents, chosen, totals = best_continuations(totals, rows, beam)
        beginnings, live, kept = live, [], []
        for n, (parent, token) in enumerate(zip(parents.tolist(), chosen.tolist())):
            tokens, state = beginnings[parent]
            if token == EOS:
                finished.append((tokens, float(totals[n] / penalty(length, alpha)), float(totals[n]), True))
            else:
                live.append(([*tokens, token], next_state[state, token]))
                kept.append(n)
        totals = totals[kept]
    finished.sort(key=lambda text: -text[2])  # stable: of equal scores the earlier one stays first
    cut = [
        (tokens, float(total / penalty(length, alpha)), float(total), False)
        for (tokens, _), total in zip(live, totals)
    ]
    return [*finished, *cut][:nbest]


# %% beam_search: the length does not count EOS
def beam_search(log_probs, next_state, beam, max_length, alpha=0.0, nbest=1):
    live, totals = [([], 0)], np.zeros(1)  # (tokens, state) of each beginning, best first, and log p
    finished, length = [], 0
    while live and length < max_length:
        length += 1
        rows = np.stack([log_probs[state] for _, state in live])
        parents, chosen, totals = best_continuations(totals, rows, beam)
        beginnings, live, kept = live, [], []
        for n, (parent, token) in enumerate(zip(parents.tolist(), chosen.tolist())):
            tokens, state = beginnings[parent]
            if token == EOS:
                finished.append(
                    (tokens, float(totals[n] / penalty(length - 1, alpha)), float(totals[n]), True)
                )
            else:
                live.append(([*tokens, token], next_state[state, token]))
                kept.append(n)
        totals = totals[kept]
    finished.sort(key=lambda text: -text[1])  # stable: of equal scores the earlier one stays first
    cut = [
        (tokens, float(total / penalty(length, alpha)), float(total), False)
        for (tokens, _), total in zip(live, totals)
    ]
    return [*finished, *cut][:nbest]


# %% beam_search: cut texts count an EOS that they do not have
def beam_search(log_probs, next_state, beam, max_length, alpha=0.0, nbest=1):
    live, totals = [([], 0)], np.zeros(1)  # (tokens, state) of each beginning, best first, and log p
    finished, length = [], 0
    while live and length < max_length:
        length += 1
        rows = np.stack([log_probs[state] for _, state in live])
        parents, chosen, totals = best_continuations(totals, rows, beam)
        beginnings, live, kept = live, [], []
        for n, (parent, token) in enumerate(zip(parents.tolist(), chosen.tolist())):
            tokens, state = beginnings[parent]
            if token == EOS:
                finished.append((tokens, float(totals[n] / penalty(length, alpha)), float(totals[n]), True))
            else:
                live.append(([*tokens, token], next_state[state, token]))
                kept.append(n)
        totals = totals[kept]
    finished.sort(key=lambda text: -text[1])  # stable: of equal scores the earlier one stays first
    cut = [
        (tokens, float(total / penalty(length + 1, alpha)), float(total), False)
        for (tokens, _), total in zip(live, totals)
    ]
    return [*finished, *cut][:nbest]


# %% beam_search: no length penalty
def beam_search(log_probs, next_state, beam, max_length, alpha=0.0, nbest=1):
    alpha = 0.0
    live, totals = [([], 0)], np.zeros(1)  # (tokens, state) of each beginning, best first, and log p
    finished, length = [], 0
    while live and length < max_length:
        length += 1
        rows = np.stack([log_probs[state] for _, state in live])
        parents, chosen, totals = best_continuations(totals, rows, beam)
        beginnings, live, kept = live, [], []
        for n, (parent, token) in enumerate(zip(parents.tolist(), chosen.tolist())):
            tokens, state = beginnings[parent]
            if token == EOS:
                finished.append((tokens, float(totals[n] / penalty(length, alpha)), float(totals[n]), True))
            else:
                live.append(([*tokens, token], next_state[state, token]))
                kept.append(n)
        totals = totals[kept]
    finished.sort(key=lambda text: -text[1])  # stable: of equal scores the earlier one stays first
    cut = [
        (tokens, float(total / penalty(length, alpha)), float(total), False)
        for (tokens, _), total in zip(live, totals)
    ]
    return [*finished, *cut][:nbest]


# %% beam_search: finished and cut texts are ranked together
def beam_search(log_probs, next_state, beam, max_length, alpha=0.0, nbest=1):
    live, totals = [([], 0)], np.zeros(1)  # (tokens, state) of each beginning, best first, and log p
    finished, length = [], 0
    while live and length < max_length:
        length += 1
        rows = np.stack([log_probs[state] for _, state in live])
        parents, chosen, totals = best_continuations(totals, rows, beam)
        beginnings, live, kept = live, [], []
        for n, (parent, token) in enumerate(zip(parents.tolist(), chosen.tolist())):
            tokens, state = beginnings[parent]
            if token == EOS:
                finished.append((tokens, float(totals[n] / penalty(length, alpha)), float(totals[n]), True))
            else:
                live.append(([*tokens, token], next_state[state, token]))
                kept.append(n)
        totals = totals[kept]
    finished.sort(key=lambda text: -text[1])  # stable: of equal scores the earlier one stays first
    cut = [
        (tokens, float(total / penalty(length, alpha)), float(total), False)
        for (tokens, _), total in zip(live, totals)
    ]
    return sorted([*finished, *cut], key=lambda text: -text[1])[:nbest]


# %% beam_search: cut texts are left out
def beam_search(log_probs, next_state, beam, max_length, alpha=0.0, nbest=1):
    live, totals = [([], 0)], np.zeros(1)  # (tokens, state) of each beginning, best first, and log p
    finished, length = [], 0
    while live and length < max_length:
        length += 1
        rows = np.stack([log_probs[state] for _, state in live])
        parents, chosen, totals = best_continuations(totals, rows, beam)
        beginnings, live, kept = live, [], []
        for n, (parent, token) in enumerate(zip(parents.tolist(), chosen.tolist())):
            tokens, state = beginnings[parent]
            if token == EOS:
                finished.append((tokens, float(totals[n] / penalty(length, alpha)), float(totals[n]), True))
            else:
                live.append(([*tokens, token], next_state[state, token]))
                kept.append(n)
        totals = totals[kept]
    finished.sort(key=lambda text: -text[1])  # stable: of equal scores the earlier one stays first
    return finished[:nbest]


# %% beam_search: cut texts call themselves finished
def beam_search(log_probs, next_state, beam, max_length, alpha=0.0, nbest=1):
    live, totals = [([], 0)], np.zeros(1)  # (tokens, state) of each beginning, best first, and log p
    finished, length = [], 0
    while live and length < max_length:
        length += 1
        rows = np.stack([log_probs[state] for _, state in live])
        parents, chosen, totals = best_continuations(totals, rows, beam)
        beginnings, live, kept = live, [], []
        for n, (parent, token) in enumerate(zip(parents.tolist(), chosen.tolist())):
            tokens, state = beginnings[parent]
            if token == EOS:
                finished.append((tokens, float(totals[n] / penalty(length, alpha)), float(totals[n]), True))
            else:
                live.append(([*tokens, token], next_state[state, token]))
                kept.append(n)
        totals = totals[kept]
    finished.sort(key=lambda text: -text[1])  # stable: of equal scores the earlier one stays first
    cut = [
        (tokens, float(total / penalty(length, alpha)), float(total), True)
        for (tokens, _), total in zip(live, totals)
    ]
    return [*finished, *cut][:nbest]


# %% beam_search: one text, whatever nbest says
def beam_search(log_probs, next_state, beam, max_length, alpha=0.0, nbest=1):
    live, totals = [([], 0)], np.zeros(1)  # (tokens, state) of each beginning, best first, and log p
    finished, length = [], 0
    while live and length < max_length:
        length += 1
        rows = np.stack([log_probs[state] for _, state in live])
        parents, chosen, totals = best_continuations(totals, rows, beam)
        beginnings, live, kept = live, [], []
        for n, (parent, token) in enumerate(zip(parents.tolist(), chosen.tolist())):
            tokens, state = beginnings[parent]
            if token == EOS:
                finished.append((tokens, float(totals[n] / penalty(length, alpha)), float(totals[n]), True))
            else:
                live.append(([*tokens, token], next_state[state, token]))
                kept.append(n)
        totals = totals[kept]
    finished.sort(key=lambda text: -text[1])  # stable: of equal scores the earlier one stays first
    cut = [
        (tokens, float(total / penalty(length, alpha)), float(total), False)
        for (tokens, _), total in zip(live, totals)
    ]
    return [*finished, *cut][:1]


# %% beam_search: all texts, whatever nbest says
def beam_search(log_probs, next_state, beam, max_length, alpha=0.0, nbest=1):
    live, totals = [([], 0)], np.zeros(1)  # (tokens, state) of each beginning, best first, and log p
    finished, length = [], 0
    while live and length < max_length:
        length += 1
        rows = np.stack([log_probs[state] for _, state in live])
        parents, chosen, totals = best_continuations(totals, rows, beam)
        beginnings, live, kept = live, [], []
        for n, (parent, token) in enumerate(zip(parents.tolist(), chosen.tolist())):
            tokens, state = beginnings[parent]
            if token == EOS:
                finished.append((tokens, float(totals[n] / penalty(length, alpha)), float(totals[n]), True))
            else:
                live.append(([*tokens, token], next_state[state, token]))
                kept.append(n)
        totals = totals[kept]
    finished.sort(key=lambda text: -text[1])  # stable: of equal scores the earlier one stays first
    cut = [
        (tokens, float(total / penalty(length, alpha)), float(total), False)
        for (tokens, _), total in zip(live, totals)
    ]
    return [*finished, *cut]


# %% beam_search: EOS is in the list of tokens
def beam_search(log_probs, next_state, beam, max_length, alpha=0.0, nbest=1):
    live, totals = [([], 0)], np.zeros(1)  # (tokens, state) of each beginning, best first, and log p
    finished, length = [], 0
    while live and length < max_length:
        length += 1
        rows = np.stack([log_probs[state] for _, state in live])
        parents, chosen, totals = best_continuations(totals, rows, beam)
        beginnings, live, kept = live, [], []
        for n, (parent, token) in enumerate(zip(parents.tolist(), chosen.tolist())):
            tokens, state = beginnings[parent]
            if token == EOS:
                finished.append(
                    ([*tokens, EOS], float(totals[n] / penalty(length, alpha)), float(totals[n]), True)
                )
            else:
                live.append(([*tokens, token], next_state[state, token]))
                kept.append(n)
        totals = totals[kept]
    finished.sort(key=lambda text: -text[1])  # stable: of equal scores the earlier one stays first
    cut = [
        (tokens, float(total / penalty(length, alpha)), float(total), False)
        for (tokens, _), total in zip(live, totals)
    ]
    return [*finished, *cut][:nbest]


# %% beam_search: the state of a text is that of the first beginning
def beam_search(log_probs, next_state, beam, max_length, alpha=0.0, nbest=1):
    live, totals = [([], 0)], np.zeros(1)  # (tokens, state) of each beginning, best first, and log p
    finished, length = [], 0
    while live and length < max_length:
        length += 1
        rows = np.stack([log_probs[state] for _, state in live])
        parents, chosen, totals = best_continuations(totals, rows, beam)
        beginnings, live, kept = live, [], []
        for n, (parent, token) in enumerate(zip(parents.tolist(), chosen.tolist())):
            tokens, state = beginnings[parent]
            if token == EOS:
                finished.append((tokens, float(totals[n] / penalty(length, alpha)), float(totals[n]), True))
            else:
                live.append(([*tokens, token], next_state[beginnings[0][1], token]))
                kept.append(n)
        totals = totals[kept]
    finished.sort(key=lambda text: -text[1])  # stable: of equal scores the earlier one stays first
    cut = [
        (tokens, float(total / penalty(length, alpha)), float(total), False)
        for (tokens, _), total in zip(live, totals)
    ]
    return [*finished, *cut][:nbest]


# %% beam_search: the tokens of a text grow in place, and those of its sisters with them
def beam_search(log_probs, next_state, beam, max_length, alpha=0.0, nbest=1):
    live, totals = [([], 0)], np.zeros(1)  # (tokens, state) of each beginning, best first, and log p
    finished, length = [], 0
    while live and length < max_length:
        length += 1
        rows = np.stack([log_probs[state] for _, state in live])
        parents, chosen, totals = best_continuations(totals, rows, beam)
        beginnings, live, kept = live, [], []
        for n, (parent, token) in enumerate(zip(parents.tolist(), chosen.tolist())):
            tokens, state = beginnings[parent]
            if token == EOS:
                finished.append((tokens, float(totals[n] / penalty(length, alpha)), float(totals[n]), True))
            else:
                tokens.append(token)
                live.append((tokens, next_state[state, token]))
                kept.append(n)
        totals = totals[kept]
    finished.sort(key=lambda text: -text[1])  # stable: of equal scores the earlier one stays first
    cut = [
        (tokens, float(total / penalty(length, alpha)), float(total), False)
        for (tokens, _), total in zip(live, totals)
    ]
    return [*finished, *cut][:nbest]


# %% beam_search: greedy
def beam_search(log_probs, next_state, beam, max_length, alpha=0.0, nbest=1):
    live, totals = [([], 0)], np.zeros(1)  # (tokens, state) of each beginning, best first, and log p
    finished, length = [], 0
    while live and length < max_length:
        length += 1
        rows = np.stack([log_probs[state] for _, state in live])
        parents, chosen, totals = best_continuations(totals, rows, 1)
        beginnings, live, kept = live, [], []
        for n, (parent, token) in enumerate(zip(parents.tolist(), chosen.tolist())):
            tokens, state = beginnings[parent]
            if token == EOS:
                finished.append((tokens, float(totals[n] / penalty(length, alpha)), float(totals[n]), True))
            else:
                live.append(([*tokens, token], next_state[state, token]))
                kept.append(n)
        totals = totals[kept]
    finished.sort(key=lambda text: -text[1])  # stable: of equal scores the earlier one stays first
    cut = [
        (tokens, float(total / penalty(length, alpha)), float(total), False)
        for (tokens, _), total in zip(live, totals)
    ]
    return [*finished, *cut][:nbest]


# %% beam_search: a beam twice as wide
def beam_search(log_probs, next_state, beam, max_length, alpha=0.0, nbest=1):
    live, totals = [([], 0)], np.zeros(1)  # (tokens, state) of each beginning, best first, and log p
    finished, length = [], 0
    while live and length < max_length:
        length += 1
        rows = np.stack([log_probs[state] for _, state in live])
        parents, chosen, totals = best_continuations(totals, rows, 2 * beam)
        beginnings, live, kept = live, [], []
        for n, (parent, token) in enumerate(zip(parents.tolist(), chosen.tolist())):
            tokens, state = beginnings[parent]
            if token == EOS:
                finished.append((tokens, float(totals[n] / penalty(length, alpha)), float(totals[n]), True))
            else:
                live.append(([*tokens, token], next_state[state, token]))
                kept.append(n)
        totals = totals[kept]
    finished.sort(key=lambda text: -text[1])  # stable: of equal scores the earlier one stays first
    cut = [
        (tokens, float(total / penalty(length, alpha)), float(total), False)
        for (tokens, _), total in zip(live, totals)
    ]
    return [*finished, *cut][:nbest]


# %% beam_search: each step compares scores of the step alone
def beam_search(log_probs, next_state, beam, max_length, alpha=0.0, nbest=1):
    live, totals = [([], 0)], np.zeros(1)  # (tokens, state) of each beginning, best first, and log p
    finished, length = [], 0
    while live and length < max_length:
        length += 1
        rows = np.stack([log_probs[state] for _, state in live])
        parents, chosen, totals = best_continuations(np.zeros(len(totals)), rows, beam)
        beginnings, live, kept = live, [], []
        for n, (parent, token) in enumerate(zip(parents.tolist(), chosen.tolist())):
            tokens, state = beginnings[parent]
            if token == EOS:
                finished.append((tokens, float(totals[n] / penalty(length, alpha)), float(totals[n]), True))
            else:
                live.append(([*tokens, token], next_state[state, token]))
                kept.append(n)
        totals = totals[kept]
    finished.sort(key=lambda text: -text[1])  # stable: of equal scores the earlier one stays first
    cut = [
        (tokens, float(total / penalty(length, alpha)), float(total), False)
        for (tokens, _), total in zip(live, totals)
    ]
    return [*finished, *cut][:nbest]


# %% beam_search: one step too few
def beam_search(log_probs, next_state, beam, max_length, alpha=0.0, nbest=1):
    live, totals = [([], 0)], np.zeros(1)  # (tokens, state) of each beginning, best first, and log p
    finished, length = [], 0
    while live and length < max_length - 1:
        length += 1
        rows = np.stack([log_probs[state] for _, state in live])
        parents, chosen, totals = best_continuations(totals, rows, beam)
        beginnings, live, kept = live, [], []
        for n, (parent, token) in enumerate(zip(parents.tolist(), chosen.tolist())):
            tokens, state = beginnings[parent]
            if token == EOS:
                finished.append((tokens, float(totals[n] / penalty(length, alpha)), float(totals[n]), True))
            else:
                live.append(([*tokens, token], next_state[state, token]))
                kept.append(n)
        totals = totals[kept]
    finished.sort(key=lambda text: -text[1])  # stable: of equal scores the earlier one stays first
    cut = [
        (tokens, float(total / penalty(length, alpha)), float(total), False)
        for (tokens, _), total in zip(live, totals)
    ]
    return [*finished, *cut][:nbest]


# %% beam_search: of equal scores the text that ended later
def beam_search(log_probs, next_state, beam, max_length, alpha=0.0, nbest=1):
    live, totals = [([], 0)], np.zeros(1)  # (tokens, state) of each beginning, best first, and log p
    finished, length = [], 0
    while live and length < max_length:
        length += 1
        rows = np.stack([log_probs[state] for _, state in live])
        parents, chosen, totals = best_continuations(totals, rows, beam)
        beginnings, live, kept = live, [], []
        for n, (parent, token) in enumerate(zip(parents.tolist(), chosen.tolist())):
            tokens, state = beginnings[parent]
            if token == EOS:
                finished.append((tokens, float(totals[n] / penalty(length, alpha)), float(totals[n]), True))
            else:
                live.append(([*tokens, token], next_state[state, token]))
                kept.append(n)
        totals = totals[kept]
    finished = sorted(
        finished[::-1], key=lambda text: -text[1]
    )  # stable: of equal scores the earlier one stays first
    cut = [
        (tokens, float(total / penalty(length, alpha)), float(total), False)
        for (tokens, _), total in zip(live, totals)
    ]
    return [*finished, *cut][:nbest]


# %% beam_search: the empty text is forbidden
def beam_search(log_probs, next_state, beam, max_length, alpha=0.0, nbest=1):
    live, totals = [([], 0)], np.zeros(1)  # (tokens, state) of each beginning, best first, and log p
    finished, length = [], 0
    while live and length < max_length:
        length += 1
        rows = np.stack([log_probs[state] for _, state in live])
        parents, chosen, totals = best_continuations(totals, rows, beam)
        beginnings, live, kept = live, [], []
        for n, (parent, token) in enumerate(zip(parents.tolist(), chosen.tolist())):
            tokens, state = beginnings[parent]
            if token == EOS and not tokens:
                continue
            if token == EOS:
                finished.append((tokens, float(totals[n] / penalty(length, alpha)), float(totals[n]), True))
            else:
                live.append(([*tokens, token], next_state[state, token]))
                kept.append(n)
        totals = totals[kept]
    finished.sort(key=lambda text: -text[1])  # stable: of equal scores the earlier one stays first
    cut = [
        (tokens, float(total / penalty(length, alpha)), float(total), False)
        for (tokens, _), total in zip(live, totals)
    ]
    return [*finished, *cut][:nbest]


# %% beam_search: stops as soon as a finished text has a better score than the best that lives
def beam_search(log_probs, next_state, beam, max_length, alpha=0.0, nbest=1):
    live, totals = [([], 0)], np.zeros(1)  # (tokens, state) of each beginning, best first, and log p
    finished, length = [], 0
    while live and length < max_length:
        length += 1
        rows = np.stack([log_probs[state] for _, state in live])
        parents, chosen, totals = best_continuations(totals, rows, beam)
        beginnings, live, kept = live, [], []
        for n, (parent, token) in enumerate(zip(parents.tolist(), chosen.tolist())):
            tokens, state = beginnings[parent]
            if token == EOS:
                finished.append((tokens, float(totals[n] / penalty(length, alpha)), float(totals[n]), True))
            else:
                live.append(([*tokens, token], next_state[state, token]))
                kept.append(n)
        totals = totals[kept]
        if finished and kept and max(text[1] for text in finished) > totals[0] / penalty(length, alpha):
            live = []
    finished.sort(key=lambda text: -text[1])  # stable: of equal scores the earlier one stays first
    cut = [
        (tokens, float(total / penalty(length, alpha)), float(total), False)
        for (tokens, _), total in zip(live, totals)
    ]
    return [*finished, *cut][:nbest]
