/* The beam: a column for each step, the best score on top. */

const beam = page.beam && page.beam.nodes && page.beam.nodes.length ? page.beam : null;
const nodeOf = new Map(beam ? beam.nodes.map((node) => [node.id, node]) : []);
const byStep = new Map();
if (beam) {
  for (const node of beam.nodes) byStep.set(node.step, [...(byStep.get(node.step) || []), node]);
  for (const list of byStep.values()) list.sort((a, b) => b.score - a.score);
  state.node = nodeOf.has(beam.best) ? beam.best : beam.nodes[0].id;
}
function pathTo(id) {
  const path = [];
  for (let node = nodeOf.get(id); node && !path.includes(node); node = nodeOf.get(node.parent)) path.unshift(node);
  return path;
}
function beamView() {
  const best = new Set(pathTo(beam.best)),
    chosen = nodeOf.get(state.node),
    wide = 104,
    high = 46,
    steps = [...byStep.keys()].sort((a, b) => a - b);
  const place = new Map();
  steps.forEach((step, n) => byStep.get(step).forEach((node, k) => place.set(node, [8 + n * wide, 26 + k * high])));
  const rows = Math.max(...[...byStep.values()].map((list) => list.length)),
    width = steps.length * wide + 8,
    height = rows * high + 30;
  const edges = [],
    leaves = [],
    now = new Set(pathTo(state.node));
  for (const node of [...beam.nodes].sort((a, b) => best.has(a) - best.has(b))) {
    const [x, y] = place.get(node),
      parent = nodeOf.get(node.parent);
    if (parent) {
      const [px, py] = place.get(parent);
      edges.push(
        svg("path", {
          class: "edge " + (now.has(node) ? "flow" : best.has(node) ? "best" : node.kept ? "kept" : "dropped"),
          d: `M${px + 78} ${py + 18}C${px + 92} ${py + 18} ${x - 14} ${y + 18} ${x} ${y + 18}`,
        }),
      );
    }
    const open = () => go({ node: node.id });
    leaves.push(
      svg(
        "g",
        {
          class: ["leaf", node.kept ? "kept" : "", best.has(node) ? "best" : "", node === chosen ? "now" : ""].join(" "),
          role: "button",
          tabindex: node === chosen ? 0 : -1,
          "data-node": node.id,
          "data-key": node === chosen ? "node" : null,
          "aria-label": beamSentence(node),
          onclick: open,
          onkeydown: (event) => {
            if (event.key === "Enter" || event.key === " ") {
              event.preventDefault();
              open();
            }
          },
        },
        svg("rect", { x, y, width: 78, height: 36, rx: 7 }),
        svg("text", { x: x + 39, y: y + 15, "text-anchor": "middle", class: "mono" }, cut(node.token, 8) + (node.finished ? " ■" : "")),
        svg("text", { x: x + 39, y: y + 30, "text-anchor": "middle", class: "mono", "data-v": node.score }, short(node.score)),
        svg("title", {}, beamSentence(node)),
      ),
    );
  }
  const heads = steps.map((step, n) =>
    svg("text", { x: 47 + n * wide, y: 14, "text-anchor": "middle", class: "small" }, step < 0 ? say("start") : `${say("step")} ${step}`),
  );
  const known = new Set(["id", "parent", "token", "step", "kept", "finished", "log_prob", "total", "score"]);
  const more = [
    ...new Set(beam.nodes.flatMap((node) => Object.keys(node).filter((key) => !known.has(key) && typeof node[key] === "number"))),
  ];
  const columns = ["log_prob", "total", ...more, "score"],
    title = { log_prob: say("log_prob"), total: say("sum_lp"), score: say("score") };
  const table = plainTable(
    [say("step"), say("token"), ...columns.map((key) => title[key] || key), say("fate")],
    pathTo(state.node).map((node) => [
      el("td", {}, node.step < 0 ? "–" : String(node.step)),
      el("td", { class: "mono" }, visible(node.token)),
      columns.map((key) => el("td", { class: "num", title: full(node[key]), "data-v": node[key] }, short(node[key]))),
      el("td", {}, fateOf(node)),
    ]),
  );
  return [
    figure(
      say("beam_tree"),
      say("cap_beam"),
      scroller(
        svg(
          "svg",
          { viewBox: `0 0 ${width} ${height}`, width, height, role: "group", "aria-label": say("beam_tree") },
          edges,
          leaves,
          heads,
        ),
      ),
    ),
    figure(say("beam_path"), say("cap_path"), scroller(table)),
  ];
}
const fateOf = (node) =>
  [pathTo(beam.best).includes(node) ? say("is_best") : say(node.kept ? "was_kept" : "was_dropped"), node.finished ? say("finished") : ""]
    .filter(Boolean)
    .join(", ");
const beamSentence = (node) =>
  say("say_beam", {
    step: node.step,
    token: visible(node.token),
    log_prob: short(node.log_prob),
    total: short(node.total),
    score: short(node.score),
    fate: fateOf(node),
  });
