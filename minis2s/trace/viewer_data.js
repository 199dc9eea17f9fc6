/* The viewer of one traced training step: hand-written, without a library.
 *
 * `page` holds all numbers (the dict of minis2s.trace.page). `state` holds what is chosen. Each view has one
 * function that draws it anew from these two; `go` changes the state, draws, and says one sentence aloud.
 * What comes from the page enters the document as text only (textContent), never as markup.
 */

// html.py writes {"number": "NaN"}, as JSON has no nan and no infinity, and {"f32": base64} for many numbers
function plain(key, value) {
  if (!value || Object.keys(value).length !== 1) return value;
  if (typeof value.number === "string") return Number(value.number);
  if (typeof value.f32 !== "string") return value;
  const bytes = Uint8Array.from(atob(value.f32), (sign) => sign.charCodeAt(0));
  return Array.from(new Float32Array(bytes.buffer), (v) => Number(v.toPrecision(6)));
}
const page = JSON.parse(document.getElementById("page-data").textContent, plain);

const wanted = String(page.lang || navigator.language || "en").toLowerCase();
const state = {
  lang: wanted.startsWith("zh") ? "zh" : "en",
  view: "model",
  moment: 0,
  unit: 0,
  kind: "weights",
  att: { t: 0, s: 0 },
  loss: 0,
  bptt: { state: 0, s: 0 },
  choice: 0,
  node: null,
};

// -- numbers

const tidy = (text) => text.replace(/-/g, "−");

/** Three significant digits, as short as can be. */
function short(v) {
  if (typeof v !== "number") return "–";
  if (!Number.isFinite(v)) return Number.isNaN(v) ? "nan" : v > 0 ? "+inf" : "−inf";
  const size = Math.abs(v);
  if (size === 0) return "0";
  if (size < 0.001 || size >= 10000) return tidy(v.toExponential(1));
  return tidy(size < 1 ? v.toFixed(3) : v.toPrecision(size >= 1000 ? 4 : 3));
}
/** All digits of the page. */
const full = (v) => (typeof v === "number" && Number.isFinite(v) ? tidy(String(v)) : short(v));
const norm = (values) => Math.sqrt(values.reduce((sum, v) => sum + v * v, 0));
const largest = (values) => values.reduce((most, v) => (Number.isFinite(v) ? Math.max(most, Math.abs(v)) : most), 0);

/** The colour class of a number with a sign: n4 ... n1, z, p1 ... p4. */
function signed(v, scale) {
  if (!Number.isFinite(v)) return "odd";
  const r = scale > 0 ? Math.abs(v) / scale : 0;
  if (r < 0.02) return "z";
  return (v < 0 ? "n" : "p") + (r < 0.25 ? 1 : r < 0.5 ? 2 : r < 0.75 ? 3 : 4);
}
/** The colour class of a number without a sign; `bounds`, falling, are relative to the largest. */
function single(v, scale, bounds) {
  if (!Number.isFinite(v)) return "odd";
  const r = scale > 0 ? v / scale : 0;
  const at = bounds.findIndex((bound) => r >= bound);
  return "s" + (at < 0 ? 0 : 5 - at);
}
const EVEN = [0.8, 0.6, 0.4, 0.2, 0.05];
const FALLING = [0.5, 0.2, 0.05, 0.01, 0.001]; // gradients differ by powers of ten

// -- what is on the page

const layers = page.layers || [];
const encoder = layers.filter((layer) => layer.part === "encoder");
const decoder = layers.filter((layer) => layer.part !== "encoder");
const source = page.source || [];
const targetIn = page.target_in || [];
const targetOut = page.target_out || [];
const losses = page.losses || [];
/* The probability that the loss asks for, of the right token and of each other one: not 1 and 0 with smoothing. */
const [rightTarget, otherTarget] = page.targets || [1, 0];
const outputs = page.outputs || [];
const attention = page.attention && page.attention.weights ? page.attention : null;
const units = page.units || [...Array(page.H || 0).keys()];
/** The names of a layer's units; each direction of an encoder that reads both ways has half as many. */
function unitsOf(layer) {
  if (!layer) return units;
  const first = layer.steps[0] && layer.steps[0].forward && layer.steps[0].forward.h;
  return layer.units || units.slice(0, first ? first.length : units.length);
}
const unitOf = (layer) => Math.min(state.unit, unitsOf(layer).length - 1);
const stepsOf = new Map(layers.map((layer) => [layer, new Map(layer.steps.map((step) => [step.t, step]))]));
const stepAt = (layer, t) => stepsOf.get(layer).get(t);
/** Time steps in the order in which the layer reads them. */
function timesOf(layer) {
  const times = layer.steps.map((step) => step.t).sort((a, b) => a - b);
  return layer.reversed ? times.reverse() : times;
}
/** The encoder layers from whose last states this decoder layer starts. */
function startsFrom(layer) {
  const names = page.bridge && page.bridge[decoder.indexOf(layer)];
  if (names) return encoder.filter((e) => names.includes(e.name));
  const beside = encoder.filter((e) => levelOf(e) === levelOf(layer));
  return beside.length ? beside : encoder.slice(-1);
}
const levelOf = (layer) => Number((/\.(\d+)/.exec(layer.name) || [0, 0])[1]);
const targetLength = Math.max(targetOut.length, losses.length, outputs.length, ...decoder.map((layer) => layer.steps.length), 0);
const hasBackward = layers.some((layer) => layer.steps.some((step) => step.backward));

/** Every moment, in order: forward cell by cell, the loss, backward the same way back. */
function allMoments() {
  const forward = [];
  for (const layer of encoder) for (const t of timesOf(layer)) forward.push({ kind: "cell", layer, t });
  for (let t = 0; t < targetLength; t++) {
    const look = attention && attention.weights[t] ? [{ kind: "attention", t }] : [];
    const cells = decoder.filter((layer) => stepAt(layer, t)).map((layer) => ({ kind: "cell", layer, t }));
    forward.push(...(page.asks_first ? [...look, ...cells] : [...cells, ...look]));
    if (outputs[t] || losses[t] !== undefined) forward.push({ kind: "output", t });
  }
  for (const m of forward) m.way = "forward";
  const middle = losses.length ? [{ kind: "loss", way: "loss" }] : [];
  const backward = hasBackward ? [...forward].reverse().map((m) => ({ ...m, way: "backward" })) : [];
  return [...forward, ...middle, ...backward];
}
const moments = allMoments();
const keyOf = (m) => `${m.kind}:${m.layer ? layers.indexOf(m.layer) : ""}:${m.t}`;
const forwardIndex = new Map(),
  backwardIndex = new Map();
moments.forEach((m, n) => (m.way === "backward" ? backwardIndex : forwardIndex).set(keyOf(m), n));
const lossMoment = moments.findIndex((m) => m.kind === "loss");

const scales = new Map(); // the largest value of a name in a layer: colours do not jump from step to step
function scaleOf(layer, way, name) {
  if (/^[iforu]$/.test(name)) return 1;
  const key = `${layer.name} ${way} ${name}`;
  if (!scales.has(key)) scales.set(key, largest(layer.steps.flatMap((step) => (step[way] && step[way][name]) || [])));
  return scales.get(key);
}
