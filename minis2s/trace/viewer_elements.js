/* Makers of elements: a figure with its sentence, bars, heat maps. */

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : value);
  }
  for (const child of children.flat(3)) {
    if (child !== null && child !== undefined) node.append(child);
  }
  return node;
}
const el = (tag, attributes, ...children) => fill(document.createElement(tag), attributes, children);
const svg = (tag, attributes, ...children) => fill(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
const visible = (token) => (token === " " ? "␣" : token === "" ? "∅" : String(token));
const cut = (token, n) => ([...visible(token)].length > n ? [...visible(token)].slice(0, n - 1).join("") + "…" : visible(token));

/** A picture with its heading and its one sentence. */
function figure(title, sentence, ...content) {
  return el("figure", {}, el("h3", {}, title), content, el("figcaption", {}, sentence));
}
const scroller = (...content) => el("div", { class: "scroll" }, content);

/** Bars that lie, each with its name and number: [{name, value, total}]. signs: from the middle to both sides. whole: the value of a whole bar. */
function lyingBars(items, signs, whole) {
  const scale = whole || largest(items.map((item) => item.value)) || 1;
  return el(
    "div",
    { class: "bars", role: "list" },
    items.map((item) => {
      const size = Number.isFinite(item.value) ? Math.abs(item.value) / scale : 0;
      const width = (signs ? 50 : 100) * size;
      const left = signs ? (item.value < 0 ? 50 - width : 50) : 0;
      const colour = signs ? (item.value < 0 ? "minus" : "plus") : "plain";
      const total = item.total ? " total" : "";
      return [
        el("span", { class: "name" + total, role: "listitem" }, item.name, el("span", { class: "hidden-text" }, " " + short(item.value))),
        el(
          "span",
          { class: "track" + total, "aria-hidden": "true" },
          el("span", { class: "fill " + colour, style: `left:${left.toFixed(2)}%;width:${width.toFixed(2)}%` }),
          signs ? el("span", { class: "axis" }) : null,
        ),
        el("span", { class: "num" + total, "aria-hidden": "true", title: full(item.value), "data-v": item.value }, short(item.value)),
      ];
    }),
  );
}

/** Bars that stand, each a button: [{values: [v] or [old, new], label, sub, title}]. powers: a quarter of the height is a factor of ten. */
function standingBars(items, chosen, pick, name, powers) {
  const scale = largest(items.flatMap((item) => item.values)) || 1;
  const height = (v) => (!(v > 0) || v === Infinity ? 0 : powers ? Math.max(0.01, 1 + Math.log10(v / scale) / 4) : v / scale);
  return scroller(
    el(
      "div",
      { class: "columns", role: "group", "aria-label": name },
      items.map((item, n) =>
        el(
          "button",
          {
            class: "column",
            type: "button",
            "aria-pressed": String(n === chosen),
            onclick: () => pick(n),
            title: item.title,
            "data-key": "column" + n,
          },
          el("span", { class: "num", "data-v": item.values.at(-1) }, short(item.values.at(-1))),
          el(
            "span",
            { class: "room" + (item.values.length > 1 ? " pair" : ""), "aria-hidden": "true" },
            item.values.map((v, k) =>
              el("span", {
                class: "fill " + (item.values.length === 1 ? "plain" : k ? "new" : "old"),
                style: `height:${(100 * height(v)).toFixed(2)}%`,
              }),
            ),
          ),
          el("span", { class: "what" }, item.label),
          el("span", { class: "quiet sub" }, item.sub || "\u00a0"),
        ),
      ),
    ),
  );
}

let pointer = "";
const whereIs = (event) => `${event.clientX} ${event.clientY}`;
for (const kind of ["mousemove", "mousedown"])
  document.addEventListener(
    kind,
    (event) => {
      pointer = whereIs(event);
    },
    true,
  );

/** A heat map: rows [{name, values, colour: v => class, words, gap}], heads: texts of the columns. */
function heatMap({ rows, heads, corner, label, chosenColumn, picked, pick, litRow, litColumn, edges, turned }) {
  const head = el(
    "tr",
    {},
    el("td", { style: "cursor:default" }, corner || ""),
    heads.map((text, k) =>
      el(
        "th",
        {
          scope: "col",
          class: [k === litColumn ? "lit" : "", edges && edges.has(k) ? "edge" : "", turned ? "turn" : "words"].join(" "),
          "data-column": k,
        },
        el("span", {}, text),
      ),
    ),
  );
  const body = rows.map((row, r) =>
    el(
      "tr",
      { class: row.gap ? "gap" : "" },
      el("th", { scope: "row", class: (r === litRow ? "lit " : "") + (row.words ? "words" : ""), "data-row": r }, row.name),
      row.values.map((v, k) => {
        const on = picked && picked[0] === r && picked[1] === k;
        const marks = [row.colour(v), k === chosenColumn ? "sel" : "", on ? "pick" : "", edges && edges.has(k) ? "edge" : ""];
        return el(
          "td",
          {
            class: marks.join(" "),
            "data-v": v,
            "data-r": r,
            "data-k": k,
            title: `${row.name} · ${heads[k]}: ${full(v)}`,
            tabindex: picked ? (on ? 0 : -1) : null,
            "data-key": on ? "picked" : null,
          },
          row.text ? row.text(v) : short(v),
        );
      }),
    ),
  );
  const table = el("table", { class: "heat", "aria-label": label }, el("thead", {}, head), el("tbody", {}, body));
  const place = (event) => {
    const cell = event.target.closest("td[data-r]");
    return cell && [Number(cell.dataset.r), Number(cell.dataset.k)];
  };
  table.addEventListener("click", (event) => {
    const at = place(event);
    if (at && pick) pick(at[0], at[1]);
  });
  if (picked) {
    // both names are lit where the pointer is, and again those of the chosen cell when it has left
    const light = (r, k) => {
      for (const th of table.querySelectorAll("th[data-row]")) th.classList.toggle("lit", Number(th.dataset.row) === r);
      for (const th of table.querySelectorAll("th[data-column]")) th.classList.toggle("lit", Number(th.dataset.column) === k);
    };
    table.addEventListener("mouseover", (event) => {
      const at = place(event);
      if (at && whereIs(event) !== pointer) light(at[0], at[1]); // not where the table was drawn anew under a resting pointer
    });
    table.addEventListener("focusin", (event) => {
      const at = place(event);
      if (at) light(at[0], at[1]);
    });
    table.addEventListener("mouseleave", () => light(picked[0], picked[1]));
  }
  return scroller(table);
}
// a table of words and numbers: its headings, and per row the cells
function plainTable(headings, rows) {
  return el(
    "table",
    { class: "plain-table" },
    el("thead", {}, el("tr", {}, headings.map((text) => el("th", { scope: "col" }, text)))),
    el("tbody", {}, rows.map((cells) => el("tr", {}, cells))),
  );
}
function legend(names, texts) {
  return el(
    "div",
    { class: "legend", "aria-hidden": "true" },
    names.map((name, n) => el("span", { class: name }, texts[n])),
  );
}
const SIGNED_NAMES = ["n4", "n3", "n2", "n1", "z", "p1", "p2", "p3", "p4"];
const signedLegend = () => legend(SIGNED_NAMES, ["−1", "−.75", "−.5", "−.25", "0", "+.25", "+.5", "+.75", "+1"]);
