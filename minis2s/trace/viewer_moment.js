/* What the chosen moment shows below the picture: a cell, a row of attention, an output, the loss. */

function momentPanel() {
  const m = moments[state.moment];
  if (!m) return [el("p", {}, say("no_outputs"))];
  const way = m.way === "loss" ? "" : say(m.way);
  const heading = (key, values) => el("h2", { id: "panel-heading", tabindex: -1 }, say(key, { ...values, way }));
  if (m.kind === "cell")
    return [heading("heading_cell", { layer: m.layer.name, t: m.t, token: visible(stepAt(m.layer, m.t).token) }), ...cellPanel(m)];
  if (m.kind === "attention") return [heading("heading_attention", { t: m.t }), ...attentionPanel(m)];
  if (m.kind === "output") return [heading("heading_output", { t: m.t }), ...outputPanel(m)];
  return [heading("heading_loss", {}), lossFigure((t) => go({ moment: forwardIndex.get(keyOf({ kind: "output", t })) ?? lossMoment }), -1)];
}

function cellPanel({ layer, t, way }) {
  const step = stepAt(layer, t),
    unit = unitOf(layer),
    name = unitsOf(layer)[unit],
    arrays = Object.entries(step[way] || {}).filter(([, v]) => Array.isArray(v));
  let before = "";
  const rows = arrays.map(([key, values]) => {
    const group = key.startsWith("z") || key.startsWith("dz") ? "z" : /_prev$/.test(key) ? "prev" : /^d?[cht]/.test(key) ? "state" : "gate";
    const gap = before && group !== before;
    before = group;
    const scale = scaleOf(layer, way, key);
    return { name: key, values, gap, colour: (v) => signed(v, scale) };
  });
  const maps = figure(
    say(way === "forward" ? "gates_f" : "gates_b"),
    say(way === "forward" ? "cap_heat_f" : "cap_heat_b"),
    heatMap({
      rows,
      heads: unitsOf(layer).map(String),
      corner: say("unit"),
      label: say("gates_f"),
      chosenColumn: unit,
      litColumn: unit,
      pick: (r, k) => go({ unit: k }),
    }),
    signedLegend(),
  );
  const right = [figure(say("equations", { unit: name }), say("cap_equations", { unit: name }), equationTable(layer, step, way, unit))];
  if (way === "forward" && layer.cell === "lstm" && step.forward.c_prev) {
    const { f, c_prev, i, g, c } = step.forward;
    right.push(
      figure(
        say("parts_c", { unit: name }),
        say("cap_parts_c", { unit: name }),
        lyingBars(
          [
            { name: say("kept"), value: f[unit] * c_prev[unit] },
            { name: say("written"), value: i[unit] * g[unit] },
            { name: "c", value: c[unit], total: true },
          ],
          true,
        ),
      ),
    );
  }
  const norms = [];
  if (way === "backward") {
    for (const key of ["dh", "dc"]) {
      const parts = Object.entries(step[key + "_parts"] || {}),
        sum = step.backward && step.backward[key];
      if (!parts.length || !sum) continue;
      right.push(
        figure(
          say("parts_d", { name: key, unit: name }),
          say("cap_parts_d", { name: key, unit: name, value: short(sum[unit]) }),
          lyingBars(
            [
              ...parts.map(([part, values]) => ({ name: pathName(part), value: values[unit] })),
              { name: key, value: sum[unit], total: true },
            ],
            true,
          ),
          partsExplained(layer, t, parts, unit),
        ),
      );
      norms.push(
        figure(
          say("parts_norm", { name: key }),
          say("cap_parts_norm", { name: key }),
          lyingBars(
            [
              ...parts.map(([part, values]) => ({ name: pathName(part), value: norm(values) })),
              { name: key, value: norm(sum), total: true },
            ],
            false,
          ),
        ),
      );
    }
  }
  return [el("div", { class: "grid" }, el("div", {}, maps, norms), el("div", {}, right))];
}

/** One line for each part: what it is; the carry with its numbers. */
function partsExplained(layer, t, parts, unit) {
  const times = timesOf(layer);
  const next = stepAt(layer, times[times.indexOf(t) + 1]);
  const words = PARTS[state.lang];
  const lines = parts.map(([part, values]) => {
    const text = words[`${part} of ${layer.cell}`] || words[part];
    const carried = part === "carry" ? carryInNumbers(layer, next, values[unit], unit) : "";
    return text ? el("li", {}, el("b", {}, pathName(part)), " ", text, carried) : null;
  });
  return el("ul", { class: "quiet parts" }, lines);
}

/** ": dc · f = carry" of an LSTM or ": dh · u = carry" of a GRU, with the numbers of the next step. */
function carryInNumbers(layer, next, value, unit) {
  const [gradient, gate] = layer.cell === "gru" ? ["dh", "u"] : ["dc", "f"];
  if (!next || !next.backward || !next.backward[gradient] || !next.forward[gate]) return "";
  const d = next.backward[gradient][unit];
  const g = next.forward[gate][unit];
  const holds = Math.abs(d * g - value) <= 1e-4 * Math.max(Math.abs(value), 1e-3);
  return holds ? `: ${bracket(short(d))} · ${short(g)} = ${short(value)}` : "";
}

function attentionPanel({ t, way }) {
  const names = way === "forward" ? ["scores", "weights"] : ["dweights", "dscores"];
  const s = Math.min(state.att.s, source.length - 1);
  const rows = names
    .filter((name) => attention[name] && attention[name][t])
    .map((name) => {
      const scale = largest(attention[name].flat());
      return {
        name: say(name),
        words: true,
        values: attention[name][t],
        colour: (v) => (name === "weights" ? single(v, 1, EVEN) : signed(v, scale)),
      };
    });
  const w = attention.weights[t],
    lines = [];
  if (way === "forward" && attention.scores) {
    const sum = attention.scores[t].reduce((all, v) => all + Math.exp(v - Math.max(...attention.scores[t])), 0);
    const own = Math.exp(attention.scores[t][s] - Math.max(...attention.scores[t]));
    lines.push(`α = softmax(score) = exp(${short(attention.scores[t][s])}) / Σ = ${short(own / sum)}`);
  }
  if (way === "backward" && attention.dweights && attention.dscores) {
    const mean = w.reduce((all, v, k) => all + v * attention.dweights[t][k], 0);
    lines.push(
      `dscore = α · (dα − Σ α dα) = ${short(w[s])} · (${short(attention.dweights[t][s])} − ${bracket(short(mean))}) = ${short(attention.dscores[t][s])}`,
    );
  }
  const bars = say(names[way === "forward" ? 1 : 0]);
  return [
    el(
      "div",
      { class: "grid" },
      figure(
        say("att_row"),
        say(way === "forward" ? "cap_att_f" : "cap_att_b"),
        heatMap({
          rows,
          heads: source.map(visible),
          label: say("att_row"),
          chosenColumn: s,
          litColumn: s,
          pick: (r, k) => go({ att: { t, s: k } }),
        }),
        lines.map((text) => el("p", {}, `“${visible(source[s])}”: `, el("code", {}, text))),
      ),
      figure(
        bars,
        sentence("model"),
        lyingBars(
          source.map((token, k) => ({ name: visible(token), value: rows[way === "forward" ? rows.length - 1 : 0].values[k] })),
          way !== "forward",
          way === "forward" ? 1 : 0,
        ),
      ),
    ),
  ];
}

function outputPanel({ t, way }) {
  const out = outputs[t];
  if (!out) return [el("p", {}, `${say("loss")}: ${short(losses[t])}`)];
  const token = visible(out.right);
  if (way === "forward") return [topFigure(t)];
  const rest = out.top.filter(([word]) => word !== out.right);
  return [
    figure(
      say("out_top"),
      otherTarget ? say("cap_out_smooth", { right: short(rightTarget), other: short(otherTarget) }) : say("cap_out_b"),
      lyingBars(
        [
          { name: `✓ ${token}`, value: out.p - rightTarget },
          ...rest.map(([word, p]) => ({ name: visible(word), value: p - otherTarget })),
        ],
        true,
      ),
    ),
  ];
}
