/* The unrolled model as a picture, and what is new in it at each moment. */

const SIZE = { gutter: 118, column: 54, cell: 40, row: 72, gap: 128, right: 96, top: 20 };
const picture = { cells: new Map(), edges: new Map(), tokens: new Map() };

function drawModel() {
  const { gutter, column, row, gap, top } = SIZE;
  const S = Math.max(source.length, ...encoder.map((layer) => layer.steps.length), 0);
  const extra = (attention ? 1 : 0) + (outputs.length || losses.length ? 1 : 0);
  const rows = Math.max(encoder.length, decoder.length) + extra;
  const base = top + rows * row + 14; // of the tokens
  const start = encoder.length ? gutter + S * column + gap : gutter;
  const width = start + targetLength * column + SIZE.right;
  const x = (part, t) => (part === "encoder" ? gutter : start) + (t + 0.5) * column;
  const y = (k) => base - 14 - (k + 0.5) * row;
  const rowOf = new Map();
  encoder.forEach((layer, k) => rowOf.set(layer, k));
  decoder.forEach((layer, k) => rowOf.set(layer, k));
  const attRow = Math.max(encoder.length, decoder.length),
    outRow = attRow + (attention ? 1 : 0); // above all cells
  const early = page.asks_first ? column / 2 : 0; // attention that is read before the cell stands before it
  const attX = (t) => x("decoder", t) - early;
  Object.assign(picture, { x, y, rowOf, attRow, outRow, start, attX });
  picture.cells.clear();
  picture.edges.clear();
  picture.tokens.clear();

  const edges = svg("g"),
    rays = svg("g"),
    nodes = svg("g"),
    tokens = svg("g"),
    names = svg("g", { class: "names" });
  picture.rays = rays;
  const edge = (key, d, marker) => {
    const p = svg("path", { class: "edge", d });
    p.dataset.marker = marker || "";
    picture.edges.set(key, p);
    edges.append(p);
  };
  const half = SIZE.cell / 2;

  for (const layer of layers) {
    const part = layer.part === "encoder" ? "encoder" : "decoder",
      k = rowOf.get(layer),
      times = timesOf(layer),
      id = layers.indexOf(layer);
    const sign = layer.reversed ? -1 : 1;
    // along time: h below, c above where the cell has one
    for (let n = 1; n < times.length; n++) {
      const from = x(part, times[n - 1]) + sign * half,
        to = x(part, times[n]) - sign * half;
      edge(`rec:${id}:${times[n]}`, `M${from} ${y(k) + 8}H${to}`);
      if (layer.cell === "lstm") edge(`carry:${id}:${times[n]}`, `M${from} ${y(k) - 8}H${to}`);
    }
    // upwards: from the layer below or the token
    const below = layers.filter((other) => other.part === layer.part && levelOf(other) === levelOf(layer) - 1);
    for (const t of times) {
      const bottom = y(k) + half;
      for (const from of below.length ? below : [null]) {
        const top = from ? y(rowOf.get(from)) - half : base - 8;
        const far = from ? k - rowOf.get(from) > 1 : k > 0;
        const key = `up:${id}:${t}:${from ? layers.indexOf(from) : "token"}`;
        edge(key, far ? `M${x(part, t)} ${top}c-36 -14 -36 ${bottom - top + 14} 0 ${bottom - top}` : `M${x(part, t)} ${top}V${bottom}`);
      }
      nodes.append(cellNode({ kind: "cell", layer, t }, x(part, t), y(k)));
    }
    const label = part === "encoder" ? gutter - 10 : start - 10;
    names.append(svg("text", { x: label, y: y(k) - 2, "text-anchor": "end", class: "mono" }, layer.name.replace(".backwards", " ←")));
    names.append(svg("text", { x: label, y: y(k) + 13, "text-anchor": "end", class: "small" }, layer.cell.toUpperCase()));
  }
  // the bridge: from the last state of an encoder layer to the first of the decoder; read backwards, the last is at t = 0
  const bridges = decoder.flatMap((layer) => startsFrom(layer).map((from) => [layer, from]));
  for (const [layer, from] of bridges) {
    const a = x("encoder", S - 1) + half,
      b = x("decoder", 0) - half,
      ya = y(rowOf.get(from)) + 8,
      yb = y(rowOf.get(layer)) + 8,
      first = x("encoder", 0) - half,
      lane = ya + 20; // below the row, where no cell is
    const along = from.reversed ? `M${first} ${ya}C${first - 16} ${ya} ${first - 16} ${lane} ${first} ${lane}H${a}C${a + 40} ${lane}` : `M${a} ${ya}C${a + 40} ${ya + 26}`;
    edge(`bridge:${layers.indexOf(layer)}:${layers.indexOf(from)}`, `${along} ${b - 40} ${yb + 26} ${b} ${yb}`);
  }
  if (bridges.length)
    names.append(
      svg(
        "text",
        { x: (x("encoder", S - 1) + x("decoder", 0)) / 2, y: y(0) + 36, "text-anchor": "middle", class: "small" },
        pathName("bridge"),
      ),
    );
  const topLayer = decoder.at(-1);
  for (let t = 0; t < targetLength; t++) {
    const X = x("decoder", t);
    if (attention && attention.weights[t] && page.asks_first) {
      const A = attX(t),
        Y = y(attRow),
        under = topLayer ? y(rowOf.get(topLayer)) - half : base;
      // the state of the step before asks; what is found goes into the lowest cell, and into the output
      edge(`att:${t}`, t ? `M${X - column + 8} ${under}C${X - column + 8} ${under - 14} ${A - 8} ${Y + 28} ${A - 6} ${Y + 14}` : `M${A - 12} ${under + 28}V${Y + 9}`);
      if (decoder.length) edge(`ctx:${t}`, `M${A} ${Y + 15}V${y(rowOf.get(decoder[0])) - 14}H${X - half}`);
      edge(`read:${t}`, `M${A + 8} ${Y - 13}C${A + 14} ${Y - 26} ${X - 8} ${Y - 20} ${X - 8} ${y(outRow) + 17}`);
      nodes.append(cellNode({ kind: "attention", t }, A, Y));
    } else if (attention && attention.weights[t]) {
      if (topLayer) edge(`att:${t}`, `M${X} ${y(rowOf.get(topLayer)) - half}V${y(attRow) + 15}`);
      nodes.append(cellNode({ kind: "attention", t }, X, y(attRow)));
      if (t + 1 < targetLength && topLayer && decoder[0].steps.some((step) => step.dh_parts && step.dh_parts["input feeding"])) {
        const Y = y(rowOf.get(decoder[0]));
        edge(`feed:${t + 1}`, `M${X + 14} ${y(attRow)}C${X + 34} ${y(attRow)} ${X + 20} ${Y - 10} ${X + column - half} ${Y - 14}`);
      }
    }
    if (outputs[t] || losses[t] !== undefined) {
      const from = attention && attention.weights[t] && !page.asks_first ? y(attRow) - 15 : topLayer ? y(rowOf.get(topLayer)) - half : base;
      edge(`out:${t}`, `M${X} ${from}V${y(outRow) + 17}`);
      nodes.append(cellNode({ kind: "output", t }, X, y(outRow)));
    }
  }
  if (attention)
    names.append(svg("text", { x: start - 10 - early / 2, y: y(attRow) + 4, "text-anchor": "end", class: "mono" }, say("attention").toLowerCase()));
  if (extra > (attention ? 1 : 0)) {
    names.append(svg("text", { x: start - 10, y: y(outRow) + 4, "text-anchor": "end", class: "mono" }, "p(" + say("right") + ")"));
  }
  if (lossMoment >= 0) {
    nodes.append(cellNode({ kind: "loss" }, width - SIZE.right / 2 + 4, y(outRow)));
    edge("loss", `M${x("decoder", targetLength - 1) + half} ${y(outRow)}H${width - SIZE.right / 2 - 32}`);
  }
  const token = (part, t, text) => {
    const g = svg(
      "g",
      { class: "token" },
      svg("rect", { x: x(part, t) - 25, y: base - 6, width: 50, height: 22, rx: 5 }),
      svg("text", { x: x(part, t), y: base + 10, "text-anchor": "middle", class: "mono" }, cut(text, 6)),
      svg("title", {}, text),
    );
    picture.tokens.set(part + t, g);
    tokens.append(g);
  };
  source.forEach((text, t) => token("encoder", t, text));
  targetIn.forEach((text, t) => token("decoder", t, text));
  if (source.length) names.append(svg("text", { x: gutter - 10, y: base + 10, "text-anchor": "end", class: "small" }, say("source")));
  if (targetIn.length) names.append(svg("text", { x: start - 10, y: base + 10, "text-anchor": "end", class: "small" }, say("target")));

  const tip = (id, turn) =>
    svg(
      "marker",
      { id, viewBox: "0 0 8 8", refX: 6, refY: 4, markerWidth: 11, markerHeight: 11, markerUnits: "userSpaceOnUse", orient: turn },
      svg("path", { class: "tip", d: "M0 0L8 4L0 8z" }),
    );
  const height = base + 24;
  return svg(
    "svg",
    {
      viewBox: `0 0 ${width} ${height}`,
      width,
      height,
      role: "group",
      "aria-label": say("model"),
      id: "model-picture",
      style: `width:100%;height:auto;max-width:${width}px;min-width:${Math.round(0.72 * width)}px`,
    },
    svg("defs", {}, tip("tip-end", "auto"), tip("tip-start", "auto-start-reverse")),
    edges,
    rays,
    names,
    tokens,
    nodes,
  );
}

/** One node: a cell with a small square for each unit, an attention disc, an output, the loss. */
function cellNode(m, x, y) {
  const key = keyOf(m),
    g = svg("g", { class: "cell", role: "button", tabindex: -1, "data-cell": key, "aria-label": labelOf(m) });
  g.append(svg("title", {}, labelOf(m)));
  if (m.kind === "cell") {
    const step = stepAt(m.layer, m.t),
      half = SIZE.cell / 2;
    g.append(svg("rect", { class: "box", x: x - half, y: y - half, width: SIZE.cell, height: SIZE.cell, rx: 6 }));
    g.append(glyph("f", step.forward && step.forward.h, scaleOf(m.layer, "forward", "h"), x, y));
    // dh by its own scale: gradients of different steps differ by powers of ten
    if (step.backward) g.append(glyph("b", step.backward.dh, largest(step.backward.dh || []), x, y));
  } else if (m.kind === "attention") {
    g.append(
      svg("circle", { class: "box", cx: x, cy: y, r: 15 }),
      svg("text", { x, y: y + 5, "text-anchor": "middle", class: "node-text" }, "α"),
    );
  } else if (m.kind === "output") {
    const out = outputs[m.t],
      p = out ? out.p : Math.exp(-losses[m.t]);
    const colour = out ? single(p, 1, EVEN) : "s0";
    g.append(svg("rect", { class: "box", x: x - 23, y: y - 17, width: 46, height: 34, rx: 8 }));
    g.append(svg("rect", { class: "lit-fill " + colour, x: x - 21, y: y - 15, width: 42, height: 30, rx: 6 }));
    const style = `fill:var(--${colour}-t)`;
    g.append(
      svg("text", { x, y: y - 1, "text-anchor": "middle", class: "mono node-text", "data-style": style }, cut(targetOut[m.t] ?? "", 5)),
    );
    if (out) g.append(svg("text", { x, y: y + 12, "text-anchor": "middle", class: "small node-text", "data-style": style }, short(p)));
  } else {
    g.append(svg("rect", { class: "box", x: x - 36, y: y - 20, width: 72, height: 40, rx: 20 }));
    g.append(svg("text", { x, y: y - 2, "text-anchor": "middle", class: "small" }, say("loss").toLowerCase()));
    g.append(svg("text", { x, y: y + 13, "text-anchor": "middle", "data-v": page.loss, id: "loss-value" }, short(page.loss)));
  }
  const open = () => go({ moment: sameWay(m) });
  g.addEventListener("click", open);
  g.addEventListener("keydown", (event) => {
    if (event.key === "Enter" || event.key === " ") {
      event.preventDefault();
      open();
    }
  });
  picture.cells.set(key, g);
  return g;
}
function labelOf(m) {
  if (m.kind === "cell") return `${m.layer.name}, t = ${m.t}, ${stepAt(m.layer, m.t).token}`;
  return m.kind === "loss" ? `${say("loss")} ${short(page.loss)}` : `${say(m.kind === "output" ? "target" : m.kind)} ${m.t}`;
}
/** The moment of that place in the pass that is shown now. */
function sameWay(m) {
  if (m.kind === "loss") return lossMoment;
  const now = moments[state.moment],
    back = backwardIndex.get(keyOf(m));
  return now.way === "backward" && back !== undefined ? back : forwardIndex.get(keyOf(m));
}
function glyph(kind, values, scale, x, y) {
  const g = svg("g", { class: "glyph " + kind, "aria-hidden": "true" });
  if (!values || !values.length) return g;
  const across = Math.ceil(Math.sqrt(values.length)),
    size = (SIZE.cell - 6) / across;
  let dashes = "";
  values.forEach((v, n) => {
    const X = x - SIZE.cell / 2 + 3 + (n % across) * size,
      Y = y - SIZE.cell / 2 + 3 + Math.floor(n / across) * size;
    const colour = signed(v, scale);
    g.append(
      svg("rect", {
        class: colour,
        x: X.toFixed(1),
        y: Y.toFixed(1),
        width: (size - 0.8).toFixed(1),
        height: (size - 0.8).toFixed(1),
        rx: 1,
      }),
    );
    if (colour[0] === "n") dashes += `M${(X + size * 0.22).toFixed(1)} ${(Y + size / 2 - 0.4).toFixed(1)}h${(size * 0.5).toFixed(1)}`;
  });
  g.append(svg("path", { class: "minus-marks", d: dashes || "M0 0" }));
  return g;
}

/** Which lines bring a part of dh or dc into this cell, in the backward pass. */
function edgesOfPart(layer, t, part) {
  const id = layers.indexOf(layer),
    times = timesOf(layer),
    next = times[times.indexOf(t) + 1];
  if (part === "recurrent") return [`rec:${id}:${next}`];
  if (part === "carry") return [`${layer.cell === "lstm" ? "carry" : "rec"}:${id}:${next}`];
  if (part === "bridge")
    return layer.part === "encoder" ? [...picture.edges.keys()].filter((key) => key.startsWith("bridge:") && key.endsWith(`:${id}`)) : [];
  if (part === "layer above") return [...picture.edges.keys()].filter((key) => key.startsWith("up:") && key.endsWith(`:${t}:${id}`));
  if (part === "readout") return [attention && !page.asks_first ? `att:${t}` : `out:${t}`];
  if (part === "attention") return layer.part === "encoder" ? ["rays"] : [`att:${page.asks_first ? t + 1 : t}`];
  if (part === "input feeding") return [`feed:${t + 1}`];
  return [];
}

/** Colours and lines of the picture for the moment. */
function updatePicture() {
  const m = moments[state.moment];
  for (const [key, g] of picture.cells) {
    const back = backwardIndex.get(key),
      ahead = forwardIndex.get(key);
    const done = ahead !== undefined && ahead <= state.moment;
    g.classList.toggle("done", done);
    g.classList.toggle("back", back !== undefined && back <= state.moment);
    g.classList.toggle("now", m && key === keyOf(m));
    g.setAttribute("tabindex", m && key === keyOf(m) ? 0 : -1);
    for (const text of g.querySelectorAll("[data-style]")) text.setAttribute("style", done ? text.dataset.style : "");
  }
  for (const path of picture.edges.values()) {
    path.setAttribute("class", "edge");
    path.removeAttribute("marker-end");
    path.removeAttribute("marker-start");
    path.removeAttribute("style");
  }
  for (const token of picture.tokens.values()) token.classList.remove("lit");
  picture.rays.replaceChildren();
  if (!m) return;
  const light = (key, share) => {
    const path = picture.edges.get(key);
    if (!path) return;
    const back = m.way === "backward";
    path.setAttribute("class", "edge flow" + (back ? " back" : ""));
    path.setAttribute(back ? "marker-start" : "marker-end", `url(#${back ? "tip-start" : "tip-end"})`);
    if (share !== undefined) path.setAttribute("style", `stroke-width:${(1.5 + 5 * share).toFixed(2)}`);
  };
  const top = decoder.length - 1;
  if (m.kind === "cell") {
    const { layer, t } = m,
      id = layers.indexOf(layer),
      part = layer.part === "encoder" ? "encoder" : "decoder";
    picture.tokens.get(part + t)?.classList.add("lit");
    if (m.way === "forward") {
      light(`rec:${id}:${t}`);
      light(`carry:${id}:${t}`);
      light(`feed:${t}`);
      if (layer === decoder[0]) light(`ctx:${t}`);
      if (part === "decoder" && t === timesOf(layer)[0]) for (const from of startsFrom(layer)) light(`bridge:${id}:${layers.indexOf(from)}`);
      for (const key of picture.edges.keys()) if (key.startsWith(`up:${id}:${t}:`)) light(key);
    } else {
      const step = stepAt(layer, t),
        parts = Object.entries({ ...step.dh_parts, ...(step.dc_parts && step.dc_parts.carry && { carry: step.dc_parts.carry }) });
      const sum = parts.reduce((all, [, values]) => all + norm(values), 0) || 1;
      for (const [name, values] of parts) {
        if (!(norm(values) > 0)) continue;
        for (const key of edgesOfPart(layer, t, name)) {
          if (key === "rays") drawRays((k) => attention.weights.map((row, q) => [q, t, row[t]]), true);
          else light(key, norm(values) / sum);
        }
      }
    }
  } else if (m.kind === "attention") {
    if (m.way === "forward") light(`att:${m.t}`);
    else for (const way of page.asks_first ? ["ctx", "read"] : ["out"]) light(`${way}:${m.t}`);
    picture.tokens.get("decoder" + m.t)?.classList.add("lit");
    const row = m.way === "forward" ? attention.weights[m.t] : (attention.dscores || attention.weights)[m.t];
    const most = largest(row) || 1;
    drawRays(() => row.map((w, s) => [m.t, s, m.way === "forward" ? w : Math.abs(w) / most]), m.way === "backward");
    const best = row.reduce((at, w, s) => (Math.abs(w) > Math.abs(row[at]) ? s : at), 0);
    picture.tokens.get("encoder" + best)?.classList.add("lit");
  } else if (m.kind === "output") {
    if (m.way === "forward") for (const way of ["out", "read"]) light(`${way}:${m.t}`);
  } else if (m.kind === "loss") {
    light("loss");
  }
}
/** Lines between attention discs and source states, the thicker the more weight. */
function drawRays(list, back) {
  if (!attention || !encoder.length) return;
  for (const [t, s, w] of list()) {
    if (!(w > 0.01)) continue;
    const x1 = picture.x("encoder", s),
      y1 = picture.y(encoder.length - 1) - SIZE.cell / 2,
      x2 = picture.attX(t),
      y2 = picture.y(picture.attRow);
    const lane = Math.min(y2 + 27, y1 - 6); // between the cells and the discs, so that none is crossed
    picture.rays.append(
      svg("path", {
        class: "edge ray" + (back ? " back" : ""),
        d: `M${x1} ${y1}C${x1} ${lane} ${x1 + 8} ${lane} ${x1 + 34} ${lane}H${x2 - 40}C${x2 - 16} ${lane} ${x2 - 18} ${y2 + 14} ${x2 - 11} ${y2 + 11}`,
        style: `stroke-width:${(0.6 + 5 * w).toFixed(2)};opacity:${(0.25 + 0.75 * Math.min(1, w)).toFixed(2)}`,
      }),
    );
  }
}
