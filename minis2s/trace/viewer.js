/* The frame around the views: what is open, what is stale, the keys. */

const app = document.getElementById("app");
const boxes = new Map(); // view -> its section
let stale = new Set(),
  later = null,
  live = null;

function build() {
  document.documentElement.lang = state.lang === "zh" ? "zh-CN" : "en";
  const notes = [
    page.row !== undefined ? say("row", { row: page.row }) : "",
    Number.isFinite(page.loss) ? say("total", { loss: short(page.loss) }) : "",
    page.H > units.length ? say("sampled", { n: units.length, H: page.H }) : "",
  ]
    .filter(Boolean)
    .join(" · ");
  live = el("p", { class: "live", role: "status", "aria-live": "polite", id: "live" });
  boxes.clear();
  const sections = VIEWS.map(([name]) => {
    const section = el("section", { class: "view", id: "view-" + name, "aria-label": say(name) });
    boxes.set(name, section);
    return section;
  });
  app.replaceChildren(
    el(
      "header",
      {},
      el("div", {}, el("h1", {}, page.title || "minis2s"), el("div", { class: "quiet" }, notes)),
      el(
        "div",
        { class: "tools" },
        el(
          "button",
          {
            type: "button",
            onclick: otherLanguage,
            "data-key": "lang",
            "aria-label": say("language"),
            lang: state.lang === "zh" ? "en" : "zh",
          },
          say("other"),
        ),
        el("button", { type: "button", onclick: help, "data-key": "help" }, say("help") + " ", el("kbd", {}, "?")),
      ),
    ),
    el(
      "nav",
      { "aria-label": say("views") },
      VIEWS.map(([name], n) =>
        el(
          "button",
          { type: "button", onclick: () => go({ view: name }), "data-view": name, "data-key": "nav-" + name },
          say(name) + " ",
          el("kbd", {}, String(n + 1)),
        ),
      ),
    ),
    live,
    el("main", {}, sections),
    helpDialog(),
  );
  stale = new Set(VIEWS.map(([name]) => name));
}

/** Draw one view anew; what had the focus in it has it afterwards, and boxes keep how far they were scrolled. */
function draw(name) {
  const box = boxes.get(name),
    active = document.activeElement,
    inside = box.contains(active);
  const key = inside && active.dataset ? active.dataset.key : null,
    cell = inside && active.closest("[data-cell], [data-node], td[data-r]");
  const at = [...box.querySelectorAll(".scroll, .choices")].map((one) => [one.scrollLeft, one.scrollTop]);
  box.replaceChildren(
    ...[el("h2", { class: "hidden-text" }, say(name)), VIEWS.find(([other]) => other === name)[1]()].flat(3).filter(Boolean),
  );
  stale.delete(name);
  [...box.querySelectorAll(".scroll, .choices")].forEach((one, n) => {
    if (at[n]) [one.scrollLeft, one.scrollTop] = at[n];
  });
  if (!inside || document.activeElement === active) return;
  const again = cell
    ? box.querySelector(name === "model" ? ".cell.now" : name === "beam" ? ".leaf.now" : "td.pick")
    : key && box.querySelector(`[data-key="${key}"]`);
  if (again) again.focus({ preventScroll: true });
}
/** Bring what is chosen into sight inside its scrolling box; the page itself does not move. */
function reveal(name) {
  const box = boxes.get(name),
    chosen = box.querySelectorAll(".cell.now, td.pick, .leaf.now, .column[aria-pressed=true], td.sel");
  const choice = box.querySelector(".choices [aria-pressed=true]");
  if (choice) {
    const list = choice.closest(".choices"),
      a = choice.getBoundingClientRect(),
      b = list.getBoundingClientRect();
    if (a.top < b.top || a.bottom > b.bottom) list.scrollTop += a.top - b.top - b.height / 2;
  }
  for (const node of chosen) {
    const outer = node.closest(".scroll");
    if (!outer || outer.scrollWidth <= outer.clientWidth) continue;
    const a = node.getBoundingClientRect(),
      b = outer.getBoundingClientRect(),
      margin = Math.min(100, b.width / 4);
    if (a.left < b.left + margin) outer.scrollLeft -= b.left + margin - a.left;
    else if (a.right > b.right - margin) outer.scrollLeft += a.right - b.right + margin;
  }
}
const drawStale = () => {
  for (const name of [...stale]) draw(name);
};

/** Change the state, draw the view that is open (the others a little later, for print), and say what is there now. */
function go(change) {
  Object.assign(state, change);
  state.moment = Math.max(0, Math.min(moments.length - 1, state.moment || 0));
  state.unit = clamp(state.unit, Math.max(units.length, ...layers.map((layer) => unitsOf(layer).length), 1));
  follow(change);
  for (const [name] of VIEWS) if (!change.view || Object.keys(change).length > 1) stale.add(name);
  show();
}
/** The views share the step: a move in the model takes the maps along. */
function follow(change) {
  const m = moments[state.moment];
  if ("moment" in change && m && m.t !== undefined) {
    if (m.kind === "attention" && attention) state.att = { t: m.t, s: bestSource(m.t) };
    if (m.kind === "output" && m.t < losses.length) state.loss = m.t;
    const k =
      m.kind === "cell" && page.bptt && page.bptt.states
        ? page.bptt.states.findIndex((one) => one.layer === m.layer.name && one.t === m.t)
        : -1;
    if (k >= 0) state.bptt = { ...state.bptt, state: k };
  }
}
const bestSource = (t) => attention.weights[t].reduce((at, w, s) => (w > attention.weights[t][at] ? s : at), 0);

function show() {
  for (const [name] of VIEWS) {
    boxes.get(name).classList.toggle("on", name === state.view);
    const tab = app.querySelector(`[data-view=${name}]`);
    if (name === state.view) tab.setAttribute("aria-current", "page");
    else tab.removeAttribute("aria-current");
  }
  if (stale.has(state.view)) draw(state.view);
  reveal(state.view);
  const text = sentence(state.view);
  if (live.textContent !== text) live.textContent = text;
  clearTimeout(later);
  later = setTimeout(drawStale, 300);
}

let playing = null;
function playOrStop() {
  if (playing) {
    clearInterval(playing);
    playing = null;
  } else {
    if (state.moment >= moments.length - 1) state.moment = 0;
    playing = setInterval(() => {
      if (state.moment >= moments.length - 1 || state.view !== "model") playOrStop();
      else go({ moment: state.moment + 1 });
    }, 700);
  }
  go({});
}
/** The same place in the other pass. */
function flip() {
  const m = moments[state.moment],
    other = m && (m.way === "forward" ? backwardIndex : forwardIndex).get(keyOf(m));
  if (other !== undefined && m.kind !== "loss") go({ moment: other });
}
/** The next cell of the same layer (or the next attention, the next output). */
function sameLayer(by) {
  const now = moments[state.moment];
  for (let n = state.moment + by; moments[n]; n += by) {
    if (moments[n].kind === now.kind && moments[n].layer === now.layer) return go({ moment: n });
  }
  return go({ moment: by > 0 ? moments.length - 1 : 0 });
}
function otherLanguage() {
  const pressed = document.activeElement && document.activeElement.dataset.key === "lang";
  state.lang = state.lang === "zh" ? "en" : "zh";
  build();
  show();
  if (pressed) app.querySelector("[data-key=lang]").focus();
}

function helpDialog() {
  const rows = [
    ["1 … " + VIEWS.length, "k_view"],
    ["← →", "k_step"],
    ["↑ ↓", "k_unit"],
    ["Home End", "k_ends"],
    ["[ ]", "k_page"],
    ["b", "k_flip"],
    ["l", "k_loss"],
    ["p", "k_play"],
    ["m", "k_map"],
    ["z", "k_lang"],
    ["Tab", "k_tab"],
    ["?", "k_help"],
  ];
  return el(
    "dialog",
    { id: "help", "aria-label": say("keys") },
    el("h2", {}, say("keys")),
    el("p", {}, say("help_intro")),
    el(
      "table",
      {},
      el(
        "tbody",
        {},
        rows.map(([key, text]) =>
          el(
            "tr",
            {},
            el(
              "td",
              {},
              key.split(" ").map((one) => [one === "…" ? one : el("kbd", {}, one), " "]),
            ),
            el("td", {}, say(text)),
          ),
        ),
      ),
    ),
    el(
      "p",
      {},
      el("button", { type: "button", onclick: () => document.getElementById("help").close() }, say("close") + " ", el("kbd", {}, "Esc")),
    ),
  );
}
const help = () => document.getElementById("help").showModal();

// -- keys

const clamp = (v, n) => Math.max(0, Math.min(n - 1, v));
/** What an arrow does in each view: dx, dy are -1, 0 or 1; Infinity for Home and End. */
const MOVES = {
  model(dx, dy) {
    const layer = moments[state.moment] && moments[state.moment].layer;
    if (dy) return go({ unit: clamp(unitOf(layer) + dy, unitsOf(layer).length) });
    return go({ moment: clamp(state.moment + dx, moments.length) });
  },
  attention: (dx, dy) =>
    attention && go({ att: { t: clamp(state.att.t + dy, attention.weights.length), s: clamp(state.att.s + dx, source.length) } }),
  loss: (dx, dy) => losses.length && go({ loss: clamp(state.loss + (dx || dy), losses.length) }),
  bptt: (dx, dy) =>
    go({
      bptt: { s: clamp(state.bptt.s + dy, page.bptt.loss_steps.length), state: clamp(state.bptt.state + dx, page.bptt.states.length) },
    }),
  what: (dx, dy) => go({ choice: clamp(state.choice + (dy || dx), page.what_if.length) }),
  beam(dx, dy) {
    const node = nodeOf.get(state.node),
      row = byStep.get(node.step);
    if (dy) return go({ node: row[clamp(row.indexOf(node) + dy, row.length)].id });
    if (dx < 0) return go({ node: (Number.isFinite(dx) ? nodeOf.get(node.parent) || node : pathTo(node.id)[0]).id });
    if (!Number.isFinite(dx)) return go({ node: beam.best });
    const best = pathTo(beam.best),
      children = (byStep.get(node.step + 1) || []).filter((one) => one.parent === node.id);
    return go({ node: (children.find((one) => best.includes(one)) || children.find((one) => one.kept) || children[0] || node).id });
  },
};
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1], Home: [-Infinity, 0], End: [Infinity, 0] };

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented || document.getElementById("help").open) return;
  const tag = event.target.tagName;
  if (tag === "SELECT") return; // the browser moves inside these
  if (tag === "INPUT" && (event.key.startsWith("Arrow") || event.key === "Home" || event.key === "End" || event.key.startsWith("Page")))
    return;
  if (ARROWS[event.key]) MOVES[state.view](...ARROWS[event.key]);
  else if (/^[1-9]$/.test(event.key) && VIEWS[Number(event.key) - 1]) go({ view: VIEWS[Number(event.key) - 1][0] });
  else if (event.key === "?") help();
  else if (event.key === "z") otherLanguage();
  else if (event.key === "m" && attention) {
    const kinds = ["weights", "scores", "dweights", "dscores"].filter((kind) => attention[kind]);
    go({ view: "attention", kind: kinds[(kinds.indexOf(state.kind) + 1) % kinds.length] });
  } else if (state.view === "model" && moments.length) {
    if (event.key === "[") sameLayer(-1);
    else if (event.key === "]") sameLayer(1);
    else if (event.key === "b") flip();
    else if (event.key === "l" && lossMoment >= 0) go({ moment: lossMoment });
    else if (event.key === "p") playOrStop();
    else return;
  } else return;
  event.preventDefault();
});

if (attention) state.att = { t: 0, s: bestSource(0) };
if (page.bptt && page.bptt.loss_steps) state.bptt = { state: 0, s: page.bptt.loss_steps.length - 1 };
addEventListener("beforeprint", drawStale);
build();
show();
