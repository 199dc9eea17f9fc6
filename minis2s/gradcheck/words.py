"""What a change of a line means: the cause, and a sentence in the field's words."""

from minis2s.gradcheck.operation_changes import Change

# Quantities that only the textbook gives a name, in words.
NAMED = {
    "taken": "the sum in the softmax's Jacobian",
    "dsurprise": "the gradient of each token's loss",
    "dproducts": "the gradient of query keys^T before the scale",
}
# What the axes of an array are, by the variable that sums over them.
QUERIES = {
    "0": "the batch",
    "1": "the queries (target steps)",
    "2": "the source positions",
    "-1": "the source positions",
    "None": "everything, the batch included",
    "(0, 2)": "the batch and the source positions",
    "(1, 2)": "the queries and the source positions",
}
ROWS = {"0": "the batch", "1": "the units", "None": "everything, the units included"}
AXES = dict.fromkeys(("taken", "dprojected", "dkeys"), QUERIES) | dict.fromkeys(("db", "dbx", "dbh"), ROWS)

# Lines that hand a gradient back in time.
CARRIES = {"dh", "dc", "dh_prev", "dc_prev", "dh_kept", "dc_kept"}

# Exchanges of variables that are a known mistake: (what stands there, what belongs there).
LACKING = {
    ("dzx", "dzh"): ("missing factor", "the candidate's part lacks the factor r"),
    ("dz_n", "dzh_n"): ("missing factor", "it lacks the factor r"),
    ("h_prev", "rh"): ("missing factor", "it lacks the factor r"),
    ("dn", "dz_n"): ("wrong derivative", "the derivative of tanh, 1 - n**2, is left out"),
    ("dh", "dz"): ("wrong derivative", "the derivative of tanh, 1 - h**2, is left out"),
    ("dz_n", "drh"): ("missing factor", "the product with Wh_n is left out"),
    ("di", "dz_i"): ("wrong derivative", "the derivative of the sigmoid is left out"),
    ("df", "dz_f"): ("wrong derivative", "the derivative of the sigmoid is left out"),
    ("do", "dz_o"): ("wrong derivative", "the derivative of the sigmoid is left out"),
    ("dg", "dz_g"): ("wrong derivative", "the derivative of tanh is left out"),
    ("da", "dz"): ("wrong derivative", "the derivative of tanh is left out"),
    ("dscores", "dproducts"): ("scale", "the scale is left out"),
    ("h", "tanh_c"): ("extra term", "a factor o too much"),
    ("dhs", "dh"): ("missing term", "the gradient of the later steps is left out"),
    ("tanh(tanh_c)", "tanh_c"): ("wrong derivative", "tanh is applied twice"),
}
# A gate's gradient that is dc itself is scaled with it, when dc *= f is done in place later.
SCALED_WITH_DC = {"di": "g[t]", "dg": "i[t]", "df": "c_prev[t]"}
IN_PLACE = "f stands in its place, as where it is dc itself and dc *= f changes that later"


def in_words(variable: str, change: Change, line: str) -> tuple[str, str]:
    """(cause, sentence) for a change in the line that computes `variable`."""
    cause, says = meaning(variable, change, line)
    for name, words in NAMED.items():
        if says.startswith(f"{name} "):
            says = words + says[len(name) :]
        says = says.replace(f"the sign of {name} ", f"the sign of {words} ")
        says = says.replace(f"the term {name} ", f"the term {words} ")
    return cause, says


def meaning(name: str, change: Change, line: str) -> tuple[str, str]:
    """(cause, sentence) with the textbook's own names."""
    how, what, by = change.how, change.what, change.by
    is_weight = name.startswith(("dW", "db", "dv")) and name not in ("dvalues",)
    accumulates = line.startswith(f"{name} + ") or line.startswith(f"{name}[")

    def plain(text: str) -> str:
        return text.replace("[t]", "")

    match how:
        case "factor added":
            return "extra term", f"{name} is multiplied by {what}, which does not belong there"
        case "skipped":
            if name == "dscores":
                return (
                    "wrong derivative",
                    f"the derivative of the softmax is left out: {name} is {what} itself",
                )
            if name == "dx" and "keep" in line:
                return (
                    "dropout ignored",
                    "the dropout mask and its factor are left out: the gradient is passed through",
                )
            return "missing factor", f"{name} is {what} itself: the step {line} is left out"
        case "sometimes":
            cause = "carry dropped" if name in CARRIES and what in CARRIES else "missing term"
            return cause, f"{what} is added to {name} {by}"
        case "interleaved":
            return (
                "axis",
                "the gates are interleaved, unit by unit, where they should lie side by side in blocks",
            )
        case "term added":
            return "extra term", f"{what} is added to {name}, which does not belong there"
        case "rows":
            return "axis", f"{name} uses {what} of another row of the batch"
        case "ones":
            return "missing factor", f"{name} lacks {what}: it is taken as one"
        case "sum dropped":
            if name == "taken":
                return (
                    "softmax jacobian",
                    "only the diagonal of the softmax's Jacobian is used: the sum over all weights is left out",
                )
            return "axis", f"the sum over {what} is left out in {name}"
        case "one of many":
            return (
                "overwritten",
                f"{name} keeps the contribution of the {what} query only, where those of all queries add up",
            )
        case "reversed":
            return "time shift", f"{name} uses {what} in the reversed order"
        case "factor dropped":
            if "real" in what and name.endswith("_kept"):
                return (
                    "carry doubled",
                    f"the old {name[:-5]} is kept beside what the step hands back (+= in place of =)",
                )
            if "real" in what:
                return "mask ignored", f"{name} is not masked: the factor {what} is left out"
            if what in ("keep", "1 / (1 - p)"):
                return "dropout ignored", f"{name} lacks the factor {what}"
            if what == "scale" or "count" in what:
                return "scale" if what == "scale" else "normalization", f"{name} lacks the factor {what}"
            if what.startswith("1 - ") and ("dz" in name or "tanh_c" in what):
                return "wrong derivative", f"the derivative of the activation, {what}, is left out in {name}"
            if name in ("dc_prev", "dh_prev") and " + " not in line and "@" not in line:
                return "carry scaled", f"{name} is handed back without the factor {what}"
            return "missing factor", f"{name} lacks the factor {what}"
        case "derivative":
            return "wrong derivative", f"in {name} the derivative {what} is taken as {by}"
        case "term dropped" | "zero":
            if what == "taken":
                return (
                    "softmax jacobian",
                    "only the diagonal of the softmax's Jacobian is used: the term that a raised score takes from all the others is left out",
                )
            if "kept" in what:
                return "mask ignored", f"the gradient {what} that a padded step hands on is lost"
            if is_weight and what == name and accumulates:
                return "overwritten", f"{name} is overwritten where it should be added to"
            if what.startswith(f"{name}[") and is_weight:
                return (
                    "repeated ids",
                    "of an id that comes several times only the last gradient is kept: = stands where += belongs",
                )
            if what == name and name.endswith("_prev"):
                return "carry dropped", f"{name} is overwritten: what it had been given before is lost"
            if what == name and name in CARRIES:
                return "carry dropped", f"the incoming {name}, that of the later step, is left out of {name}"
            if (what in CARRIES and name in CARRIES) or "@ Wh" in what:
                return "carry dropped", f"{name} lacks {what}, the gradient that comes from the later step"
            return "missing term", f"{name} lacks the term {what}"
        case "doubled":
            if is_weight and what == name:
                return "scale", f"{name} is doubled at every step"
            if (what in CARRIES and name in CARRIES) or "@ Wh" in what:
                return "carry doubled", f"in {name} the term {what} is added twice"
            return "doubled", f"in {name} the term {what} is added twice"
        case "sign":
            return "sign", f"the sign of {what or name} is wrong" + (f" in {name}" if what else "")
        case "scaled":
            if by.startswith("divided by B") and is_weight:
                return (
                    "batch sum",
                    f"{name} is divided by the batch size: the mean over the batch where the sum belongs",
                )
            if by.startswith(("divided by", "times T", "times B", "times N")) and by[-1] in "BTNS":
                return "normalization", f"{name} is {by}"
            if name in CARRIES and name.endswith("prev"):
                return "carry scaled", f"{name} is {by}"
            return "scale", f"{name} is {by}"
        case "one minus":
            cause = (
                "scale" if by == "p" else "wrong derivative" if name.startswith("dz") else "wrong variable"
            )
            return cause, f"{name} uses {by} where 1 - {by} belongs"
        case "one column":
            return (
                "missing term",
                f"{name} is filled in the column of the target only: every other token has a gradient, too",
            )
        case "count":
            return "normalization", f"divided by {by}, where the number of real tokens belongs"
        case "mean" if name == "taken":
            return "normalization", f"{name} is the mean of {what} where the sum belongs"
        case "mean":
            return (
                "batch sum" if is_weight else "axis"
            ), f"{name} is the mean of {what} where the sum belongs"
        case "one row":
            cause = "batch sum" if is_weight else "overwritten"
            return cause, f"{name} takes only one row of {what}: the sum is forgotten"
        case "axis" if by.startswith("the sums"):
            return "axis", f"{name} takes {by}"
        case "axis" if name in AXES and what in AXES[name] and by in AXES[name]:
            return "axis", f"{name} runs over {AXES[name][by]}, not over {AXES[name][what]}"
        case "axis":
            return "axis", f"{name} sums over axis {by} where axis {what} belongs"
        case "order":
            return "gate order", f"the gates are put together in the order {by}, where {what} belongs"
        case "transpose":
            return "transpose", f"{name} is computed with {by} where {what} belongs"
        case "one step":
            return "time shift", f"{name} uses {by}, where {what} belongs"
        case "step":
            return "time shift", f"{name} uses {by}, of another step, where {what} belongs"
        case "variable" if plain(what).endswith("_kept"):
            return "extra term", f"{by} is added to {name}, which does not belong there"
        case "variable" if SCALED_WITH_DC.get(name) == what and by == "f[t]":
            return "missing factor", f"{name} lacks the factor {what}: {IN_PLACE}"
        case "variable" if by == "dc_prev" and what in SCALED_WITH_DC:
            return "missing factor", f"{what} lacks the factor {SCALED_WITH_DC[what]}: {IN_PLACE}"
        case "variable" if (plain(by), plain(what)) in LACKING:
            cause, lacks = LACKING[plain(by), plain(what)]
            return cause, f"{name} uses {by} where {what} belongs: {lacks}"
        case "variable" if name in ("dc_prev", "dh_prev") and " + " not in line and "@" not in line:
            return "carry scaled", f"{name}, the gradient that is handed back, uses {by} where {what} belongs"
        case "variable" if name == "dx" and "keep" in line:
            return "dropout ignored" if what == "keep" else "scale", f"{name} uses {by} where {what} belongs"
        case "variable":
            return "wrong variable", f"{name} uses {by} where {what} belongs"
    raise ValueError(f"no words for {how}")
