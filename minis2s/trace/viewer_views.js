/* The views, each drawn anew from `page` and `state`, and the sentence that each says aloud. */

function modelView() {
  const m = moments[state.moment],
    n = moments.length;
  const step = (by) => () => go({ moment: state.moment + by });
  const button = (key, sign, by, off) =>
    el("button", { type: "button", onclick: step(by), disabled: off, title: say(key), "aria-label": say(key), "data-key": key }, sign);
  const bar = el(
    "div",
    { class: "bar" },
    button("first", "|◀", -n, state.moment === 0),
    button("back", "◀", -1, state.moment === 0),
    button("next", "▶", 1, state.moment >= n - 1),
    button("last", "▶|", n, state.moment >= n - 1),
    el("button", { type: "button", onclick: playOrStop, "data-key": "play", id: "play" }, say(playing ? "stop" : "play")),
    el("input", {
      type: "range",
      min: 0,
      max: Math.max(0, n - 1),
      value: state.moment,
      "aria-label": say("moment"),
      "data-key": "range",
      "aria-valuetext": m ? sentences.model() : "",
      oninput: (event) => go({ moment: Number(event.target.value) }),
    }),
    el("span", { class: "num", id: "where" }, m ? `${m.way === "loss" ? say("loss") : say(m.way)} ${state.moment + 1}/${n}` : ""),
    hasBackward ? el("button", { type: "button", onclick: flip, "data-key": "flip", disabled: m && m.kind === "loss" }, say("flip")) : null,
    units.length
      ? el(
          "label",
          {},
          say("unit") + " ",
          el(
            "select",
            { "data-key": "unit", onchange: (event) => go({ unit: Number(event.target.value) }) },
            unitsOf(m && m.layer).map((name, k) => el("option", { value: k, selected: k === unitOf(m && m.layer) }, String(name))),
          ),
        )
      : null,
  );
  const caption = m && m.way === "backward" ? "cap_model_b" : "cap_model_f";
  if (!picture.svg || picture.lang !== state.lang) {
    picture.svg = drawModel();
    picture.lang = state.lang;
    picture.box = scroller(picture.svg);
  }
  updatePicture();
  return [bar, figure(say("model"), say(caption), picture.box), momentPanel()];
}

function attentionView() {
  if (!attention) return [el("p", {}, say("no_attention"))];
  const kinds = ["weights", "scores", "dweights", "dscores"].filter((kind) => attention[kind]);
  const { t, s } = state.att,
    kind = state.kind,
    scale = largest(attention[kind].flat());
  const colour = kind === "weights" ? (v) => single(v, 1, EVEN) : (v) => signed(v, scale);
  const rows = attention[kind].map((values, k) => ({ name: `${k}: ${cut(targetOut[k] ?? "", 10)}`, words: true, values, colour }));
  const buttons = el(
    "div",
    { class: "tools" },
    say("show") + ":",
    kinds.map((name) =>
      el(
        "button",
        { type: "button", "aria-pressed": String(name === kind), onclick: () => go({ kind: name }), "data-key": "kind-" + name },
        say(name),
      ),
    ),
  );
  const value = attention[kind][t][s];
  const row = source.map((token, k) => ({ name: visible(token), value: attention[kind][t][k] }));
  return [
    buttons,
    el(
      "div",
      { class: "grid" },
      figure(
        `${say("att_map")}: ${say(kind)}`,
        say("cap_map", {
          t,
          target: visible(targetOut[t] ?? ""),
          source: visible(source[s] ?? ""),
          kind: say("one_" + kind),
          value: full(value),
        }),
        heatMap({
          rows,
          heads: source.map((token) => cut(token, 8)),
          corner: "",
          label: say("att_map"),
          picked: [t, s],
          litRow: t,
          litColumn: s,
          pick: (r, k) => go({ att: { t: r, s: k } }),
        }),
        kind === "weights" ? legend(["s0", "s1", "s2", "s3", "s4", "s5"], ["0", ".05", ".2", ".4", ".6", ".8"]) : signedLegend(),
      ),
      figure(
        `${say("target")} ${t} “${visible(targetOut[t] ?? "")}”: ${say(kind)}`,
        sentence("attention"),
        lyingBars(row, kind !== "weights", kind === "weights" ? 1 : 0),
      ),
    ),
  ];
}

const lossSum = losses.reduce((sum, v) => sum + v, 0);
/** How the loss comes from its terms: their sum, or the sum over the number of terms that the batch has. */
function lossFormula() {
  const terms = lossSum / page.loss,
    near = Math.round(terms);
  if (!Number.isFinite(terms) || Math.abs(terms - 1) < 1e-3) return `Σ = ${full(page.loss)}`;
  return `Σ / ${Math.abs(terms - near) < 1e-3 * near ? near : short(terms)} = ${short(lossSum)} / ${Math.abs(terms - near) < 1e-3 * near ? near : short(terms)} = ${full(page.loss)}`;
}
function lossFigure(pick, chosen) {
  const t = chosen < 0 ? state.loss : chosen;
  const items = losses.map((v, k) => ({
    values: [v],
    label: cut(targetOut[k] ?? "", 6),
    sub: String(k),
    title: `${k} “${targetOut[k] ?? ""}”: ${full(v)}`,
  }));
  return figure(
    say("loss_terms"),
    say("cap_losses", { how: lossFormula(), t, token: visible(targetOut[t] ?? ""), value: full(losses[t]) }),
    standingBars(items, chosen, pick, say("loss_terms")),
  );
}
function topFigure(t) {
  const out = outputs[t];
  if (!out) return null;
  const items = out.top.map(([word, p]) => ({ name: (word === out.right ? "✓ " : "") + visible(word), value: p }));
  if (!out.top.some(([word]) => word === out.right)) items.push({ name: `✓ ${visible(out.right)}`, value: out.p, total: true });
  const best = out.top[0] || ["", NaN];
  return figure(
    `${say("out_top")}: ${say("step")} ${t}`,
    say("cap_top", { t, best: visible(best[0]), p: short(best[1]), token: visible(out.right), right: full(out.p) }),
    lyingBars(items, false, 1),
    el(
      "p",
      {},
      el(
        "code",
        {},
        say("minus_log", {
          p: short(out.p),
          loss: short(-Math.log(out.p)),
          counts: short(losses[t] * (lossSum ? page.loss / lossSum : 1)),
        }),
      ),
    ),
  );
}
function lossView() {
  if (!losses.length) return [el("p", {}, say("no_outputs"))];
  return [
    el(
      "div",
      { class: "grid" },
      lossFigure((t) => go({ loss: t }), state.loss),
      topFigure(state.loss),
    ),
  ];
}

function bpttView() {
  const { states, loss_steps: steps, paths, norm: lengths, total } = page.bptt,
    at = state.bptt,
    here = states[at.state];
  const scale = largest(total.flat());
  const edges = new Set(states.map((one, k) => (k && one.layer !== states[k - 1].layer ? k : -1)));
  const heads = states.map((one) => `${one.layer} ${one.t}`);
  const rows = steps.map((s, r) => ({
    name: `${s}: ${cut(targetOut[s] ?? "", 8)}`,
    words: true,
    values: states.map((one, k) => total[k][r]),
    colour: (v) => single(v, scale, FALLING),
  }));
  const value = total[at.state][at.s];
  const choose = (label, list, now, pick, key) =>
    el(
      "label",
      {},
      label + " ",
      el(
        "select",
        { "data-key": key, onchange: (event) => pick(Number(event.target.value)) },
        list.map((text, k) => el("option", { value: k, selected: k === now }, text)),
      ),
    );
  return [
    el(
      "div",
      { class: "tools" },
      choose(
        say("loss_step"),
        steps.map((s) => `${s} “${visible(targetOut[s] ?? "")}”`),
        at.s,
        (s) => go({ bptt: { ...at, s } }),
        "bptt-s",
      ),
      choose(say("state"), heads, at.state, (k) => go({ bptt: { ...at, state: k } }), "bptt-state"),
    ),
    figure(
      say("bptt_map"),
      say("cap_bptt", { s: steps[at.s], layer: here.layer, t: here.t, value: full(value) }),
      heatMap({
        rows,
        heads,
        corner: "",
        label: say("bptt_map"),
        picked: [at.s, at.state],
        litRow: at.s,
        litColumn: at.state,
        edges,
        turned: true,
        pick: (r, k) => go({ bptt: { state: k, s: r } }),
      }),
      legend(["s0", "s1", "s2", "s3", "s4", "s5"], ["<", "1/1000", "1/100", "1/20", "1/5", "1/2"]),
    ),
    figure(
      `${say("bptt_paths")}: ${here.layer}, t = ${here.t}`,
      say("cap_paths", { value: full(value) }),
      lyingBars(
        [
          ...paths.map((path, p) => ({ name: pathName(path), value: lengths[at.state][at.s][p] })),
          { name: say("sum"), value, total: true },
        ],
        false,
      ),
    ),
    figure(
      say("bptt_reach", { s: steps[at.s] }),
      say("cap_reach"),
      standingBars(
        states.map((one, k) => ({
          values: [total[k][at.s]],
          label: String(one.t),
          sub: k && one.layer === states[k - 1].layer ? "" : one.layer,
          title: `${heads[k]}: ${full(total[k][at.s])}`,
        })),
        at.state,
        (k) => go({ bptt: { ...at, state: k } }),
        say("bptt_map"),
        true,
      ),
    ),
  ];
}

/** What a what-if changes, in the language of the page; a page that does not say it in data has its label only. */
function changeLabel({ kind, label, where }) {
  const at = where || {};
  if (kind === "pin a gate" && "step" in at)
    return say("change_pin", { ...at, word: say(at.value === 1 ? "open" : at.gate === "h" ? "at_0" : "closed") });
  if (kind === "overwrite an attention row" && "step" in at)
    return typeof at.source === "number"
      ? say("change_row", { ...at, token: visible(source[at.source] ?? ""), s: at.source })
      : say("change_even", at);
  if (kind === "force a token" && "id" in at)
    return say("change_token", { ...at, token: visible(at.token), right: visible(targetIn[at.step] ?? "") });
  if (kind === "cut a path" && "layer" in at) {
    const key = at.layer ? "change_cut_layer" : typeof at.step === "number" ? "change_cut_step" : "change_cut";
    return say(key, { ...at, path: pathName(at.path) });
  }
  return label;
}
const bestTokens = () => outputs.map((out) => (out.top[0] ? out.top[0][0] : ""));
function whatView() {
  const list = page.what_if,
    now = list[state.choice],
    old = bestTokens();
  let kind = null;
  const buttons = list.map((one, n) => {
    const head = one.kind === kind ? null : el("h3", {}, one.kind in WORDS.en ? say(one.kind) : one.kind);
    kind = one.kind;
    const change = one.loss - page.loss;
    return [
      head,
      el(
        "button",
        { type: "button", "aria-pressed": String(n === state.choice), onclick: () => go({ choice: n }), "data-key": "choice" + n },
        el("span", {}, changeLabel(one)),
        el("span", { class: "num", "data-v": one.loss }, `${short(one.loss)} ${change > 0 ? "▲" : change < 0 ? "▼" : "="}`),
      ),
    ];
  });
  const items = (now.losses || []).map((v, k) => ({
    values: [losses[k], v],
    label: cut(targetOut[k] ?? "", 6),
    sub: String(k),
    title: `${full(losses[k])} → ${full(v)}`,
  }));
  const table = plainTable(
    ["step", "right", "old", "new", "old_p", "new_p"].map((key) => say(key)),
    (now.output || []).map((token, k) => [
      el("td", {}, String(k)),
      el("td", { class: "mono" }, visible(targetOut[k] ?? "")),
      el("td", { class: "mono" }, visible(old[k] ?? "")),
      el("td", { class: "mono" + (token !== old[k] ? " changed" : "") }, (token !== old[k] ? "≠ " : "") + visible(token)),
      el("td", { class: "num" }, outputs[k] ? short(outputs[k].p) : "–"),
      el("td", { class: "num", "data-v": now.right_p && now.right_p[k] }, short(now.right_p && now.right_p[k])),
    ]),
  );
  return [
    el(
      "div",
      { class: "grid even" },
      el("div", {}, figure(say("choices"), say("cap_choices", { loss: full(page.loss) }), el("div", { class: "choices" }, buttons))),
      el(
        "div",
        {},
        items.length
          ? figure(
              say("what_losses"),
              say("cap_what", { label: changeLabel(now), old: full(page.loss), loss: full(now.loss) }),
              standingBars(items, -1, () => {}, say("what_losses")),
            )
          : null,
        figure(say("what_outputs"), say("cap_outputs"), scroller(table)),
      ),
    ),
  ];
}

// -- one sentence for each view and state, for the live region

const sentences = {
  model() {
    const m = moments[state.moment];
    if (!m) return say("no_outputs");
    const count = { way: m.way === "loss" ? "" : say(m.way), n: state.moment + 1, of: moments.length, t: m.t };
    if (m.kind === "loss") return say("say_loss", { ...count, loss: full(page.loss), how: lossFormula() });
    const back = m.way === "backward";
    if (m.kind === "cell") {
      const unit = unitOf(m.layer);
      const step = stepAt(m.layer, m.t),
        about = { ...count, layer: m.layer.name, token: visible(step.token), unit: unitsOf(m.layer)[unit] };
      if (!back)
        return say("say_cell_f", {
          ...about,
          h: short(step.forward.h && step.forward.h[unit]),
          c: step.forward.c ? `c = ${short(step.forward.c[unit])}, ` : "",
        });
      const parts = Object.entries(step.dh_parts || {}).sort((a, b) => norm(b[1]) - norm(a[1]));
      return say("say_cell_b", {
        ...about,
        norm: short(step.backward && step.backward.dh ? norm(step.backward.dh) : NaN),
        part: parts.length ? pathName(parts[0][0]) : say("none_path"),
      });
    }
    if (m.kind === "attention") {
      const row = (back && attention.dweights ? attention.dweights : attention.weights)[m.t];
      const most = row.reduce((at, w, s) => (Math.abs(w) > Math.abs(row[at]) ? s : at), 0);
      return say(back ? "say_attention_b" : "say_attention_f", {
        ...count,
        token: visible(targetOut[m.t] ?? ""),
        most: visible(source[most] ?? ""),
        weight: short(row[most]),
      });
    }
    const out = outputs[m.t];
    return say(back ? "say_output_b" : "say_output_f", {
      ...count,
      token: visible(targetOut[m.t] ?? ""),
      p: short(out && out.p),
      target: Number(rightTarget.toPrecision(3)),
      grad: short(out && out.p - rightTarget),
      push: say(out && out.p > rightTarget ? "push_down" : "push_up"),
      loss: short(losses[m.t]),
    });
  },
  attention() {
    if (!attention) return say("no_attention");
    const { t, s } = state.att;
    return say("say_map", {
      t,
      s,
      target: visible(targetOut[t] ?? ""),
      source: visible(source[s] ?? ""),
      kind: say("one_" + state.kind),
      value: full(attention[state.kind][t][s]),
    });
  },
  loss() {
    const t = state.loss,
      out = outputs[t];
    return say("say_losses", {
      t,
      token: visible(targetOut[t] ?? ""),
      value: full(losses[t]),
      p: short(out && out.p),
      best: out && out.top[0] ? visible(out.top[0][0]) : "–",
    });
  },
  bptt() {
    const { states, loss_steps: steps, paths, norm: lengths, total } = page.bptt,
      at = state.bptt,
      row = lengths[at.state][at.s];
    const most = row.reduce((best, v, p) => (v > row[best] ? p : best), 0);
    return say("say_bptt", {
      s: steps[at.s],
      token: visible(targetOut[steps[at.s]] ?? ""),
      layer: states[at.state].layer,
      t: states[at.state].t,
      value: full(total[at.state][at.s]),
      path: row[most] > 0 ? pathName(paths[most]) : say("none_path"),
    });
  },
  what() {
    const one = page.what_if[state.choice],
      old = bestTokens();
    return say("say_what", {
      label: changeLabel(one),
      old: full(page.loss),
      loss: full(one.loss),
      count: old.length,
      changed: (one.output || []).filter((token, k) => token !== old[k]).length,
    });
  },
  beam: () => beamSentence(nodeOf.get(state.node)),
};

/** With a capital letter. */
const sentence = (view) => sentences[view]().replace(/^./u, (first) => first.toUpperCase());

const VIEWS = [
  ["model", modelView],
  ["attention", attentionView],
  ["loss", lossView],
];
if (page.bptt && page.bptt.states && page.bptt.states.length && page.bptt.total) VIEWS.push(["bptt", bpttView]);
if (page.what_if && page.what_if.length) VIEWS.push(["what", whatView]);
if (beam) VIEWS.push(["beam", beamView]);
