/* Equations with the numbers of one unit in them; shown only where they hold. */

const SIGMOIDS = (gates) => gates.map((k) => `${k} = sigmoid(z_${k})`);
const THROUGH = (gates) => gates.map((k) => `dz_${k} = d${k} * ${k} * (1 - ${k})`);
/** Elementwise equations, right for one unit alone. The page's own may hold matrix products, whose terms one unit does not fill. */
const EQUATIONS = {
  lstm: {
    forward: [...SIGMOIDS(["i", "f", "o"]), "g = tanh(z_g)", "c = f * c_prev + i * g", "tanh_c = tanh(c)", "h = o * tanh_c"],
    backward: [
      "do = dh * tanh_c",
      "df = dc * c_prev",
      "di = dc * g",
      "dg = dc * i",
      ...THROUGH(["i", "f", "o"]),
      "dz_g = dg * (1 - g**2)",
      "dc_prev = dc * f",
    ],
  },
  gru: {
    forward: [...SIGMOIDS(["r", "u"]), "n = tanh(z_n)", "h = (1 - u) * n + u * h_prev"],
    backward: ["dn = dh * (1 - u)", "du = dh * (h_prev - n)", "dz_n = dn * (1 - n**2)", "dr = dz_n * zh_n", ...THROUGH(["r", "u"])],
  },
  rnn: { forward: ["h = tanh(z)", "h = tanh(z_h)"], backward: ["dz = dh * (1 - h**2)", "dz_h = dh * (1 - h**2)"] },
};
const FUNCTIONS = { sigmoid: (x) => 1 / (1 + Math.exp(-x)), tanh: Math.tanh, exp: Math.exp, relu: (x) => Math.max(0, x) };

/** The value of "f * c_prev + i * g" with `values`; NaN where a term is unknown or the text is of another sort. */
function evaluate(text, values) {
  const tokens = text.match(/\*\*|[A-Za-z_][\w.]*|\d+\.?\d*|\S/g) || [];
  let at = 0;
  function sum() {
    let v = product();
    while (tokens[at] === "+" || tokens[at] === "-") v = tokens[at++] === "+" ? v + product() : v - product();
    return v;
  }
  function product() {
    let v = power();
    while (tokens[at] === "*" || tokens[at] === "/") v = tokens[at++] === "*" ? v * power() : v / power();
    return v;
  }
  function power() {
    const v = atom();
    return tokens[at] === "**" ? (at++, v ** power()) : v;
  }
  function atom() {
    const token = tokens[at++];
    if (token === "-") return -power();
    if (token === "(") {
      const v = sum();
      return tokens[at++] === ")" ? v : NaN;
    }
    if (/^\d/.test(token || "")) return Number(token);
    if (tokens[at] === "(" && Object.hasOwn(FUNCTIONS, token)) {
      at++;
      const v = FUNCTIONS[token](sum());
      return tokens[at++] === ")" ? v : NaN;
    }
    return Object.hasOwn(values, token) ? values[token] : NaN;
  }
  const result = sum();
  return at === tokens.length ? result : NaN;
}

const pretty = (text) => tidy(text.replace(/\*\*2/g, "²").replace(/ \* /g, " · "));

/** "f * c_prev" -> nodes with the numbers of one unit in place of the names. */
function filled(text, values) {
  const pieces = text.split(/([A-Za-z_][\w.]*)/);
  return pieces.map((piece, n) => {
    if (!Object.hasOwn(values, piece) || Object.hasOwn(FUNCTIONS, piece)) return pretty(piece);
    const number = short(values[piece]),
      alone = pieces[n - 1].endsWith("(") && pieces[n + 1].startsWith(")");
    return el("b", { title: piece, class: "num", "data-term": piece }, alone ? number : bracket(number));
  });
}

/** All numbers of one unit at one step, by name. */
function valuesOf(step, unit) {
  const values = {};
  for (const way of ["forward", "backward"]) {
    for (const [name, array] of Object.entries(step[way] || {})) if (Array.isArray(array)) values[name] = array[unit];
  }
  return values;
}

/** Rows of the table: for each array of the step its equation, and below it the same with numbers (if they hold). */
function equationRows(layer, step, way, unit) {
  const values = valuesOf(step, unit);
  const own = (layer.equations || []).map((e) => e.text).filter((text) => text && text.includes(" = "));
  const built = (EQUATIONS[layer.cell] || { forward: [], backward: [] })[way];
  const rows = [];
  for (const [name, array] of Object.entries(step[way] || {})) {
    if (!Array.isArray(array) || (way === "forward" && /_prev$/.test(name))) continue;
    const value = array[unit];
    const starts = (text) => text.slice(0, text.indexOf(" = ")).trim() === name;
    const known = [...own, ...built].filter(starts);
    const parts = way === "backward" && step[name + "_parts"];
    if (parts && Object.keys(parts).length) {
      const ownH = "dh * o * (1 - tanh_c**2)",
        through = (part) => part === "own h" && layer.cell === "lstm";
      const terms = Object.keys(parts).map((part) => (through(part) ? ownH : pathName(part)));
      rows.push({
        name,
        text: `${name} = ${terms.join(" + ")}`,
        value,
        numbers: Object.entries(parts).map(([part, array], k) => [
          k ? " + " : "",
          through(part) ? filled(ownH, values) : el("b", { class: "num" }, bracket(short(array[unit]))),
        ]),
      });
      continue;
    }
    if (!known.length) {
      if (name === "dh_prev" && layer.cell !== "gru") rows.push({ name, text: "dh_prev = dz Whᵀ", value, numbers: null });
      continue;
    }
    const right = (text) => text.slice(text.indexOf(" = ") + 3);
    const holds = known.map(right).find((text) => {
      const got = evaluate(text, values);
      return Math.abs(got - value) <= 1e-4 * Math.max(Math.abs(value), Math.abs(got), 1e-3) || Object.is(got, value);
    });
    rows.push({ name, text: known[0], value, numbers: holds === undefined ? null : filled(holds, values) });
  }
  return rows;
}
const bracket = (number) => (number.startsWith("−") ? `(${number})` : number);

function equationTable(layer, step, way, unit) {
  const rows = equationRows(layer, step, way, unit);
  if (!rows.length) return el("p", { class: "quiet" }, say("no_outputs"));
  return el(
    "table",
    { class: "equations" },
    el(
      "tbody",
      {},
      rows.map((row) =>
        el(
          "tr",
          { "data-name": row.name },
          el("td", {}, el("code", {}, pretty(row.text)), row.numbers ? el("span", { class: "filled" }, "= ", row.numbers) : null),
          el("td", { class: "num value", title: full(row.value), "data-v": row.value }, "= " + short(row.value)),
        ),
      ),
    ),
  );
}
