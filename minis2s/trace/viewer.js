/* The viewer of one traced training step: hand-written, without a library.
 *
 * `page` holds all numbers (the dict of minis2s.trace.page). `state` holds what is chosen. Each view has one
 * function that draws it anew from these two; `go` changes the state, draws, and says one sentence aloud.
 * What comes from the page enters the document as text only (textContent), never as markup.
 */
(function () {
"use strict";

// JSON has no nan and no infinity: html.py writes {"number": "NaN"}
const page = JSON.parse(document.getElementById("page-data").textContent, (key, value) =>
  value && typeof value.number === "string" && Object.keys(value).length === 1 ? Number(value.number) : value);

// -- words -------------------------------------------------------------------------------------------------

const WORDS = {
  en: {
    other: "中文", help: "Help", close: "Close", keys: "Keys", views: "views", language: "Show this page in Chinese",
    model: "Model", attention: "Attention", loss: "Loss", bptt: "Gradient paths", what: "What if", beam: "Beam",
    sampled: "{n} of {H} hidden units are shown.", row: "row {row} of the batch", total: "loss {loss}",
    first: "first", back: "back", next: "next", last: "last", play: "play", stop: "stop", unit: "unit", moment: "moment",
    flip: "forward ⇄ backward", source: "source", target: "target", forward: "forward", backward: "backward",
    heading_cell: "{layer}, t = {t}, token “{token}”: {way}", heading_attention: "attention at target step {t}: {way}",
    heading_output: "output at target step {t}: {way}", heading_loss: "the loss",
    say_cell_f: "{way} {n} of {of}. {layer} reads “{token}” at t = {t}. Unit {unit}: {c}h = {h}.",
    say_cell_b: "{way} {n} of {of}. {layer}, t = {t} (“{token}”): the gradient that arrives at h has length {norm}; most of it comes from: {part}.",
    say_attention_f: "{way} {n} of {of}. Target step {t} (“{token}”) looks most at “{most}” (weight {weight}).",
    say_attention_b: "{way} {n} of {of}. Target step {t}: the loss would change most with the weight of “{most}” (gradient {weight}).",
    say_output_f: "{way} {n} of {of}. Target step {t}: “{token}” is right and gets the probability {p}; loss term {loss}.",
    say_output_b: "{way} {n} of {of}. Target step {t}: the logit of “{token}” gets p − 1 = {grad} (before the division by the number of terms): it is pushed up.",
    say_loss: "{n} of {of}. The loss is {loss} ({how}). From here the gradient runs back, right to left.",
    cap_model_f: "The unrolled model in the forward pass: each square of a cell is one unit of h, orange is positive, blue with a dash is negative; thick lines bring what is used now.",
    cap_model_b: "The unrolled model in the backward pass: dashed cells show the gradient dh, each by its own scale; thick dashed lines bring it, the thicker the more.",
    cap_heat_f: "All arrays of this cell, one column for each unit; colours are relative to the largest value of that name in this layer (gates: to 1).",
    cap_heat_b: "The gradients of this cell, one column for each unit; colours are relative to the largest value of that name in this layer.",
    gates_f: "Gates and states", gates_b: "Gradients", equations: "Equations of unit {unit}", equal: "with numbers",
    cap_equations: "The equations in force at this step, and below each the same with the numbers of unit {unit}.",
    parts_c: "Where c of unit {unit} comes from", kept: "kept: f · c_prev", written: "written: i · g", sum: "sum",
    cap_parts_c: "The new cell state of unit {unit}: what the forget gate keeps of the old one, plus what the input gate writes.",
    parts_d: "Where {name} of unit {unit} comes from", parts_norm: "Parts of {name}, all units (length of the vector)",
    cap_parts_d: "The parts of {name} at unit {unit} add up to {value}; a hatched bar to the left is negative.",
    cap_parts_norm: "How long each part of {name} is over all units; parts may cancel, so lengths need not add up.",
    att_row: "One row of attention", cap_att_f: "Scores go through a softmax over the source: the weights are positive and add up to 1.",
    cap_att_b: "The softmax sends back dscore = weight · (dweight − their weighted mean): the row adds up to 0.",
    out_top: "Best tokens", cap_out_f: "The five most probable tokens at target step {t}; ✓ marks the right one (“{token}”, p = {p}).",
    cap_out_b: "The gradient of −ln p at the logits: p for a wrong token, p − 1 for the right one: it pulls up the right one and pushes down the others.",
    loss_terms: "The terms of the loss", cap_losses: "The terms of the loss, −ln p of the right token, one for each target step: {how}; step {t} (“{token}”) has {value}.",
    cap_top: "The five most probable tokens at step {t}: “{best}” is first with {p}; the right one is “{token}” with {right}.",
    minus_log: "−ln p = −ln {p} = {loss}; it counts {counts} in the loss.",
    say_losses: "Target step {t}, “{token}”: loss term {value}, probability {p}, best token “{best}”.",
    att_map: "Attention map", cap_map: "Rows are target steps, columns are source tokens: at step {t}, “{target}” and “{source}” have {kind} {value}.",
    weights: "weights", scores: "scores", dweights: "gradient of weights", dscores: "gradient of scores",
    one_weights: "the weight", one_scores: "the score", one_dweights: "the gradient of the weight", one_dscores: "the gradient of the score",
    say_map: "Target step {t}, “{target}”; source {s}, “{source}”: {kind} is {value}.",
    no_attention: "This model has no attention: the decoder knows the source only through the bridge.",
    no_outputs: "Nothing was recorded here.", show: "show",
    bptt_map: "How much gradient reaches each state", cap_bptt: "Rows are loss terms, columns are states: the length of the gradient of one term at one state; the loss at step {s} gives {value} at {layer}, t = {t}. Colours fall by 2, 5, 20, 100 and 1000 below the largest.",
    bptt_paths: "By which path", cap_paths: "How long the gradient is that took each path as its last one into this state; the parts are vectors, so their lengths need not add up to the length of the sum, {value}.",
    bptt_reach: "How far back the term at step {s} reaches", cap_reach: "The gradient of this one loss term at every state, along time; each quarter of the height is a factor of ten.",
    say_bptt: "Loss step {s} (“{token}”) at {layer}, t = {t}: length {value}; largest path: {path}.", none_path: "none", state: "state", loss_step: "loss step",
    choices: "Choose a change", what_losses: "Loss terms: old and new", what_outputs: "Outputs: old and new",
    "pin a gate": "Pin a gate", "overwrite an attention row": "Overwrite an attention row", "force a token": "Force a token", "cut a path": "Cut a path",
    cap_choices: "Each change was computed exactly, beforehand: the new loss stands beside it; without a change it is {loss}.",
    cap_what: "Grey: as it was; hatched: with the change “{label}”. The loss goes from {old} to {loss}.",
    cap_outputs: "The best token of each step before and after; changed ones are marked ≠.",
    say_what: "{label}: the loss goes from {old} to {loss}; {changed} of {count} best tokens change.",
    step: "step", start: "start", right: "right", old: "before", new: "with the change", old_p: "p before", new_p: "p after",
    beam_tree: "The beam", cap_beam: "Each column is a step, its best score on top; solid frames were kept, dashed ones dropped, filled ones lead to the best, ■ is finished.",
    beam_path: "The scores along the path", cap_path: "Each step adds its log probability to the sum; the score is what the beam compares, the sum with its length penalty.",
    say_beam: "Step {step}, “{token}”: log p {log_prob}, sum {total}, score {score}; {fate}.", was_kept: "kept", was_dropped: "dropped", is_best: "on the best path",
    finished: "finished", log_prob: "log p", sum_lp: "sum", score: "score", token: "token", fate: "fate",
    help_intro: "Everything here works with the keyboard alone. Tab moves between the controls; arrow keys move inside the view that is open.",
    k_view: "open a view", k_step: "model: one moment forward or back; attention, loss, beam: left or right", k_unit: "model: another unit; other views: up or down",
    k_ends: "first or last moment (or step)", k_page: "model: a cell further, same layer", k_flip: "model: the same place forward or backward", k_loss: "model: to the loss",
    k_play: "model: play or stop", k_map: "attention: weights, scores and their gradients", k_lang: "language", k_help: "this help", k_tab: "next control; Enter or Space presses it",
  },
  zh: {
    other: "English", help: "帮助", close: "关闭", keys: "按键", views: "视图", language: "用英文显示本页",
    model: "模型", attention: "注意力", loss: "损失", bptt: "梯度路径", what: "假如", beam: "束搜索",
    sampled: "共 {H} 个隐单元，这里显示 {n} 个。", row: "批次的第 {row} 行", total: "损失 {loss}",
    first: "开头", back: "后退", next: "前进", last: "末尾", play: "播放", stop: "停止", unit: "单元", moment: "时刻",
    flip: "前向 ⇄ 反向", source: "源", target: "目标", forward: "前向", backward: "反向",
    heading_cell: "{layer}，t = {t}，词元“{token}”：{way}", heading_attention: "目标第 {t} 步的注意力：{way}",
    heading_output: "目标第 {t} 步的输出：{way}", heading_loss: "损失",
    say_cell_f: "{way}，第 {n} / {of} 步。{layer} 在 t = {t} 读入“{token}”。单元 {unit}：{c}h = {h}。",
    say_cell_b: "{way}，第 {n} / {of} 步。{layer}，t = {t}（“{token}”）：到达 h 的梯度长度为 {norm}，主要来自：{part}。",
    say_attention_f: "{way}，第 {n} / {of} 步。目标第 {t} 步（“{token}”）最关注“{most}”（权重 {weight}）。",
    say_attention_b: "{way}，第 {n} / {of} 步。目标第 {t} 步：损失对“{most}”的权重最敏感（梯度 {weight}）。",
    say_output_f: "{way}，第 {n} / {of} 步。目标第 {t} 步：正确词元“{token}”的概率为 {p}，损失项 {loss}。",
    say_output_b: "{way}，第 {n} / {of} 步。目标第 {t} 步：“{token}”的 logit 得到梯度 p − 1 = {grad}（尚未除以项数），因此会被推高。",
    say_loss: "第 {n} / {of} 步。损失为 {loss}（{how}）。从这里起，梯度从右向左反向传播。",
    cap_model_f: "前向传播中展开的模型：格子里的每个小方块是 h 的一个单元，橙色为正，带短横的蓝色为负；粗线送来此刻用到的量。",
    cap_model_b: "反向传播中展开的模型：虚线格子显示梯度 dh，各用自己的标度；粗虚线送来梯度，越粗越多。",
    cap_heat_f: "这个单元格的全部数组，每个隐单元一列；颜色相对于本层中同名量的最大值（门相对于 1）。",
    cap_heat_b: "这个单元格的梯度，每个隐单元一列；颜色相对于本层中同名量的最大值。",
    gates_f: "门与状态", gates_b: "梯度", equations: "单元 {unit} 的方程", equal: "代入数值",
    cap_equations: "这一步所用的方程，下方代入单元 {unit} 的数值。",
    parts_c: "单元 {unit} 的 c 从哪里来", kept: "保留：f · c_prev", written: "写入：i · g", sum: "和",
    cap_parts_c: "单元 {unit} 的新细胞状态：遗忘门从旧状态保留的，加上输入门写入的。",
    parts_d: "单元 {unit} 的 {name} 从哪里来", parts_norm: "{name} 的各部分（全部单元，向量长度）",
    cap_parts_d: "单元 {unit} 处 {name} 的各部分之和为 {value}；向左的斜纹条为负。",
    cap_parts_norm: "{name} 的各部分在全部单元上的长度；各部分可能互相抵消，所以长度不必相加等于总长。",
    att_row: "注意力的一行", cap_att_f: "分数经过对源的 softmax：权重为正，和为 1。",
    cap_att_b: "softmax 的反向：dscore = 权重 ·（dweight − 其加权平均）：整行之和为 0。",
    out_top: "最可能的词元", cap_out_f: "目标第 {t} 步概率最大的五个词元；✓ 标出正确的（“{token}”，p = {p}）。",
    cap_out_b: "−ln p 对 logit 的梯度：错误词元为 p，正确词元为 p − 1：拉高正确的，压低其余的。",
    loss_terms: "损失的各项", cap_losses: "损失的各项，即每个目标步上正确词元的 −ln p：{how}；第 {t} 步（“{token}”）为 {value}。",
    cap_top: "第 {t} 步概率最大的五个词元：“{best}”以 {p} 居首；正确的是“{token}”，概率 {right}。",
    minus_log: "−ln p = −ln {p} = {loss}；计入损失的是 {counts}。",
    say_losses: "目标第 {t} 步，“{token}”：损失项 {value}，概率 {p}，最可能的词元“{best}”。",
    att_map: "注意力图", cap_map: "行是目标步，列是源词元：第 {t} 步的“{target}”与“{source}”的{kind}为 {value}。",
    weights: "权重", scores: "分数", dweights: "权重的梯度", dscores: "分数的梯度",
    one_weights: "权重", one_scores: "分数", one_dweights: "权重的梯度", one_dscores: "分数的梯度",
    say_map: "目标第 {t} 步“{target}”，源第 {s} 位“{source}”：{kind}为 {value}。",
    no_attention: "这个模型没有注意力：解码器只能通过桥接了解源句。",
    no_outputs: "这里没有记录。", show: "显示",
    bptt_map: "到达每个状态的梯度有多少", cap_bptt: "行是损失项，列是状态：一个损失项在一个状态处的梯度长度；第 {s} 步的损失在 {layer}、t = {t} 处为 {value}。颜色的界限是最大值的 1/2、1/5、1/20、1/100、1/1000。",
    bptt_paths: "经由哪条路径", cap_paths: "梯度经由每条路径（进入该状态的最后一段）到达时的长度；各部分是向量，长度不必相加等于总长 {value}。",
    bptt_reach: "第 {s} 步的损失项能回传多远", cap_reach: "这一个损失项在每个状态处的梯度，沿时间排列；高度每四分之一代表十倍。",
    say_bptt: "损失第 {s} 步（“{token}”）在 {layer}，t = {t}：长度 {value}；最大的路径：{path}。", none_path: "无", state: "状态", loss_step: "损失步",
    choices: "选择一个改动", what_losses: "损失项：原来与现在", what_outputs: "输出：原来与现在",
    "pin a gate": "固定一个门", "overwrite an attention row": "改写一行注意力", "force a token": "强制一个词元", "cut a path": "切断一条路径",
    cap_choices: "每个改动都已事先精确计算：旁边是新的损失；没有改动时为 {loss}。",
    cap_what: "灰色：原来；斜纹：作了改动“{label}”之后。损失从 {old} 变为 {loss}。",
    cap_outputs: "每一步改动前后最可能的词元；变了的用 ≠ 标出。",
    say_what: "{label}：损失从 {old} 变为 {loss}；{count} 个最可能词元中有 {changed} 个改变。",
    step: "步", start: "开始", right: "正确", old: "原来", new: "改动后", old_p: "原来的 p", new_p: "之后的 p",
    beam_tree: "束", cap_beam: "每列是一步，分数最高的在上；实线框被保留，虚线框被舍弃，填色的通向最好的结果，■ 表示已结束。",
    beam_path: "沿路径的分数", cap_path: "每一步把它的对数概率加到和里；束所比较的分数是带长度惩罚的和。",
    say_beam: "第 {step} 步，“{token}”：log p {log_prob}，和 {total}，分数 {score}；{fate}。", was_kept: "保留", was_dropped: "舍弃", is_best: "在最佳路径上",
    finished: "已结束", log_prob: "log p", sum_lp: "和", score: "分数", token: "词元", fate: "去留",
    help_intro: "这里的一切都可以只用键盘完成。Tab 在控件之间移动；方向键在打开的视图里移动。",
    k_view: "打开一个视图", k_step: "模型：前进或后退一个时刻；注意力、损失、束：左右移动", k_unit: "模型：换一个单元；其他视图：上下移动",
    k_ends: "第一个或最后一个时刻（或步）", k_page: "模型：同一层的下一个单元格", k_flip: "模型：同一处的前向或反向", k_loss: "模型：到损失处",
    k_play: "模型：播放或停止", k_map: "注意力：权重、分数及其梯度", k_lang: "语言", k_help: "本帮助", k_tab: "下一个控件；Enter 或空格按下它",
  },
};
const PATHS_ZH = { readout: "读出", attention: "注意力", recurrent: "循环权重", "layer above": "上一层", bridge: "桥接",
  "input feeding": "输入馈送", carry: "遗忘门传送", "own h": "自身的 h", "layer input": "层输入" };

/** What each part of dh or dc is, for the learner. */
const PARTS = {
  en: { readout: "from the output layer of this step", attention: "from the attention, which asked with this state or looked at it", recurrent: "through Wh from the gates of the next step",
    "layer above": "through Wx of the layer above", bridge: "from the decoder's first state", "input feeding": "from the next step, whose input holds this context",
    carry: "dc of the next step, times its forget gate", "own h": "dh · o · (1 − tanh_c²), through this step's h" },
  zh: { readout: "来自这一步的输出层", attention: "来自注意力：它用这个状态提问，或看了它", recurrent: "经由 Wh，来自下一步的各个门",
    "layer above": "经由上一层的 Wx", bridge: "来自解码器的初始状态", "input feeding": "来自下一步，其输入含有此处的上下文",
    carry: "下一步的 dc 乘以它的遗忘门", "own h": "dh · o · (1 − tanh_c²)，经由这一步的 h" },
};

const wanted = String(page.lang || navigator.language || "en").toLowerCase();
const state = { lang: wanted.startsWith("zh") ? "zh" : "en", view: "model", moment: 0, unit: 0, kind: "weights",
  att: { t: 0, s: 0 }, loss: 0, bptt: { state: 0, s: 0 }, choice: 0, node: null };

function say(key, values) {
  return WORDS[state.lang][key].replace(/\{(\w+)\}/g, (all, name) => (values && name in values ? values[name] : all));
}
const pathName = (name) => (state.lang === "zh" && PATHS_ZH[name]) || name;

// -- numbers -----------------------------------------------------------------------------------------------

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

// -- small makers of elements ------------------------------------------------------------------------------

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

/** Bars that lie, each with its name and number: [{name, value, mark, total}]. signs: from the middle to both sides. */
function lyingBars(items, signs) {
  const scale = largest(items.map((item) => item.value)) || 1;
  return el("div", { class: "bars", role: "list" }, items.map((item) => {
    const size = Number.isFinite(item.value) ? Math.abs(item.value) / scale : 0;
    const width = (signs ? 50 : 100) * size;
    const left = signs ? (item.value < 0 ? 50 - width : 50) : 0;
    const colour = signs ? (item.value < 0 ? "minus" : "plus") : "plain";
    const total = item.total ? " total" : "";
    return [
      el("span", { class: "name" + total, role: "listitem" }, item.name, el("span", { class: "hidden-text" }, " " + short(item.value))),
      el("span", { class: "track" + total, "aria-hidden": "true" },
        el("span", { class: "fill " + colour, style: `left:${left.toFixed(2)}%;width:${width.toFixed(2)}%` }),
        signs ? el("span", { class: "axis" }) : null),
      el("span", { class: "num" + total, "aria-hidden": "true", title: full(item.value), "data-v": item.value }, short(item.value)),
    ];
  }));
}

/** Bars that stand, each a button: [{values: [v] or [old, new], label, sub, title}]. powers: a quarter of the height is a factor of ten. */
function standingBars(items, chosen, pick, name, powers) {
  const scale = largest(items.flatMap((item) => item.values)) || 1;
  const height = (v) => (!(v > 0) || v === Infinity ? 0 : powers ? Math.max(0.01, 1 + Math.log10(v / scale) / 4) : v / scale);
  return scroller(el("div", { class: "columns", role: "group", "aria-label": name }, items.map((item, n) =>
    el("button", { class: "column", type: "button", "aria-pressed": String(n === chosen), onclick: () => pick(n), title: item.title,
      "data-key": "column" + n },
      el("span", { class: "num", "data-v": item.values.at(-1) }, short(item.values.at(-1))),
      el("span", { class: "room" + (item.values.length > 1 ? " pair" : ""), "aria-hidden": "true" }, item.values.map((v, k) =>
        el("span", { class: "fill " + (item.values.length === 1 ? "plain" : k ? "new" : "old"),
          style: `height:${(100 * height(v)).toFixed(2)}%` }))),
      el("span", { class: "what" }, item.label), el("span", { class: "quiet sub" }, item.sub || "\u00a0")))));
}

let pointer = "";
const whereIs = (event) => `${event.clientX} ${event.clientY}`;
for (const kind of ["mousemove", "mousedown"]) document.addEventListener(kind, (event) => { pointer = whereIs(event); }, true);

/** A heat map: rows [{name, values, colour: v => class, words, gap}], heads: texts of the columns. */
function heatMap({ rows, heads, corner, label, chosenColumn, picked, pick, litRow, litColumn, edges, turned }) {
  const head = el("tr", {}, el("td", { style: "cursor:default" }, corner || ""), heads.map((text, k) =>
    el("th", { scope: "col", class: [k === litColumn ? "lit" : "", edges && edges.has(k) ? "edge" : "", turned ? "turn" : "words"].join(" "), "data-column": k },
      el("span", {}, text))));
  const body = rows.map((row, r) => el("tr", { class: row.gap ? "gap" : "" },
    el("th", { scope: "row", class: (r === litRow ? "lit " : "") + (row.words ? "words" : ""), "data-row": r }, row.name),
    row.values.map((v, k) => {
      const on = picked && picked[0] === r && picked[1] === k;
      const marks = [row.colour(v), k === chosenColumn ? "sel" : "", on ? "pick" : "", edges && edges.has(k) ? "edge" : ""];
      return el("td", { class: marks.join(" "), "data-v": v, "data-r": r, "data-k": k, title: `${row.name} · ${heads[k]}: ${full(v)}`,
        tabindex: picked ? (on ? 0 : -1) : null, "data-key": on ? "picked" : null }, row.text ? row.text(v) : short(v));
    })));
  const table = el("table", { class: "heat", "aria-label": label }, el("thead", {}, head), el("tbody", {}, body));
  const place = (event) => {
    const cell = event.target.closest("td[data-r]");
    return cell && [Number(cell.dataset.r), Number(cell.dataset.k)];
  };
  table.addEventListener("click", (event) => { const at = place(event); if (at && pick) pick(at[0], at[1]); });
  if (picked) { // both names are lit where the pointer is, and again those of the chosen cell when it has left
    const light = (r, k) => {
      for (const th of table.querySelectorAll("th[data-row]")) th.classList.toggle("lit", Number(th.dataset.row) === r);
      for (const th of table.querySelectorAll("th[data-column]")) th.classList.toggle("lit", Number(th.dataset.column) === k);
    };
    table.addEventListener("mouseover", (event) => {
      const at = place(event);
      if (at && whereIs(event) !== pointer) light(at[0], at[1]); // not where the table was drawn anew under a resting pointer
    });
    table.addEventListener("focusin", (event) => { const at = place(event); if (at) light(at[0], at[1]); });
    table.addEventListener("mouseleave", () => light(picked[0], picked[1]));
  }
  return scroller(table);
}
function legend(names, texts) {
  return el("div", { class: "legend", "aria-hidden": "true" }, names.map((name, n) => el("span", { class: name }, texts[n])));
}
const SIGNED_NAMES = ["n4", "n3", "n2", "n1", "z", "p1", "p2", "p3", "p4"];
const signedLegend = () => legend(SIGNED_NAMES, ["−1", "−.75", "−.5", "−.25", "0", "+.25", "+.5", "+.75", "+1"]);

// -- what is on the page -----------------------------------------------------------------------------------

const layers = page.layers || [];
const encoder = layers.filter((layer) => layer.part === "encoder");
const decoder = layers.filter((layer) => layer.part !== "encoder");
const source = page.source || [];
const targetIn = page.target_in || [];
const targetOut = page.target_out || [];
const losses = page.losses || [];
const outputs = page.outputs || [];
const attention = page.attention && page.attention.weights ? page.attention : null;
const units = page.units || [...Array(page.H || 0).keys()];
const stepsOf = new Map(layers.map((layer) => [layer, new Map(layer.steps.map((step) => [step.t, step]))]));
const stepAt = (layer, t) => stepsOf.get(layer).get(t);
/** Time steps in the order in which the layer reads them. */
function timesOf(layer) {
  const times = layer.steps.map((step) => step.t).sort((a, b) => a - b);
  return layer.reversed ? times.reverse() : times;
}
const levelOf = (layer) => Number((/\.(\d+)/.exec(layer.name) || [0, 0])[1]);
const targetLength = Math.max(targetOut.length, losses.length, outputs.length, ...decoder.map((layer) => layer.steps.length), 0);
const hasBackward = layers.some((layer) => layer.steps.some((step) => step.backward));

/** Every moment, in order: forward cell by cell, the loss, backward the same way back. */
function allMoments() {
  const forward = [];
  for (const layer of encoder) for (const t of timesOf(layer)) forward.push({ kind: "cell", layer, t });
  for (let t = 0; t < targetLength; t++) {
    for (const layer of decoder) if (stepAt(layer, t)) forward.push({ kind: "cell", layer, t });
    if (attention && attention.weights[t]) forward.push({ kind: "attention", t });
    if (outputs[t] || losses[t] !== undefined) forward.push({ kind: "output", t });
  }
  for (const m of forward) m.way = "forward";
  const middle = losses.length ? [{ kind: "loss", way: "loss" }] : [];
  const backward = hasBackward ? [...forward].reverse().map((m) => ({ ...m, way: "backward" })) : [];
  return [...forward, ...middle, ...backward];
}
const moments = allMoments();
const keyOf = (m) => `${m.kind}:${m.layer ? layers.indexOf(m.layer) : ""}:${m.t}`;
const forwardIndex = new Map(), backwardIndex = new Map();
moments.forEach((m, n) => (m.way === "backward" ? backwardIndex : forwardIndex).set(keyOf(m), n));
const lossMoment = moments.findIndex((m) => m.kind === "loss");

const scales = new Map(); // the largest value of a name in a layer: colours do not jump from step to step
function scaleOf(layer, way, name) {
  if (/^[iforu]$/.test(name)) return 1;
  const key = `${layer.name} ${way} ${name}`;
  if (!scales.has(key)) scales.set(key, largest(layer.steps.flatMap((step) => (step[way] && step[way][name]) || [])));
  return scales.get(key);
}

// -- equations with numbers --------------------------------------------------------------------------------

const SIGMOIDS = (gates) => gates.map((k) => `${k} = sigmoid(z_${k})`);
const THROUGH = (gates) => gates.map((k) => `dz_${k} = d${k} * ${k} * (1 - ${k})`);
/** Elementwise equations, right for one unit alone. The page's own may hold matrix products, whose terms one unit does not fill. */
const EQUATIONS = {
  lstm: {
    forward: [...SIGMOIDS(["i", "f", "o"]), "g = tanh(z_g)", "c = f * c_prev + i * g", "tanh_c = tanh(c)", "h = o * tanh_c"],
    backward: ["do = dh * tanh_c", "df = dc * c_prev", "di = dc * g", "dg = dc * i", ...THROUGH(["i", "f", "o"]),
      "dz_g = dg * (1 - g**2)", "dc_prev = dc * f"],
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
    if (token === "(") { const v = sum(); return tokens[at++] === ")" ? v : NaN; }
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
    const number = short(values[piece]), alone = pieces[n - 1].endsWith("(") && pieces[n + 1].startsWith(")");
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
      const own = "dh * o * (1 - tanh_c**2)", through = (part) => part === "own h" && layer.cell === "lstm";
      rows.push({ name, text: `${name} = ${Object.keys(parts).map((part) => (through(part) ? own : pathName(part))).join(" + ")}`, value,
        numbers: Object.entries(parts).map(([part, array], k) => [k ? " + " : "", through(part) ? filled(own, values) : el("b", { class: "num" }, bracket(short(array[unit])))]) });
      continue;
    }
    if (!known.length) {
      if (name === "dh_prev") rows.push({ name, text: "dh_prev = dz Whᵀ", value, numbers: null });
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
  return el("table", { class: "equations" }, el("tbody", {}, rows.map((row) => el("tr", { "data-name": row.name },
    el("td", {}, el("code", {}, pretty(row.text)), row.numbers ? el("span", { class: "filled" }, "= ", row.numbers) : null),
    el("td", { class: "num value", title: full(row.value), "data-v": row.value }, "= " + short(row.value))))));
}

// -- the unrolled model ------------------------------------------------------------------------------------

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
  const attRow = Math.max(encoder.length, decoder.length), outRow = attRow + (attention ? 1 : 0); // above all cells
  Object.assign(picture, { x, y, rowOf, attRow, outRow, start });
  picture.cells.clear(); picture.edges.clear(); picture.tokens.clear();

  const edges = svg("g"), rays = svg("g"), nodes = svg("g"), tokens = svg("g"), names = svg("g", { class: "names" });
  picture.rays = rays;
  const edge = (key, d, marker) => { const p = svg("path", { class: "edge", d }); p.dataset.marker = marker || ""; picture.edges.set(key, p); edges.append(p); };
  const half = SIZE.cell / 2;

  for (const layer of layers) {
    const part = layer.part === "encoder" ? "encoder" : "decoder", k = rowOf.get(layer), times = timesOf(layer), id = layers.indexOf(layer);
    const sign = layer.reversed ? -1 : 1;
    // along time: h below, c above where the cell has one
    for (let n = 1; n < times.length; n++) {
      const from = x(part, times[n - 1]) + sign * half, to = x(part, times[n]) - sign * half;
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
  // the bridge: from the last state of each encoder layer to the first of the decoder layer of that level
  if (encoder.length && decoder.length) {
    decoder.forEach((layer) => {
      const from = encoder.find((e) => levelOf(e) === levelOf(layer) && !e.reversed) || encoder.at(-1);
      const a = x("encoder", S - 1) + half, b = x("decoder", 0) - half, ya = y(rowOf.get(from)) + 8, yb = y(rowOf.get(layer)) + 8;
      edge(`bridge:${layers.indexOf(layer)}`, `M${a} ${ya}C${a + 40} ${ya + 26} ${b - 40} ${yb + 26} ${b} ${yb}`);
    });
    names.append(svg("text", { x: (x("encoder", S - 1) + x("decoder", 0)) / 2, y: y(0) + 36, "text-anchor": "middle", class: "small" }, pathName("bridge")));
  }
  const topLayer = decoder.at(-1);
  for (let t = 0; t < targetLength; t++) {
    const X = x("decoder", t);
    if (attention && attention.weights[t]) {
      if (topLayer) edge(`att:${t}`, `M${X} ${y(rowOf.get(topLayer)) - half}V${y(attRow) + 15}`);
      nodes.append(cellNode({ kind: "attention", t }, X, y(attRow)));
      if (t + 1 < targetLength && topLayer && decoder[0].steps.some((step) => step.dh_parts && step.dh_parts["input feeding"])) {
        const Y = y(rowOf.get(decoder[0]));
        edge(`feed:${t + 1}`, `M${X + 14} ${y(attRow)}C${X + 34} ${y(attRow)} ${X + 20} ${Y - 10} ${X + column - half} ${Y - 14}`);
      }
    }
    if (outputs[t] || losses[t] !== undefined) {
      const from = attention && attention.weights[t] ? y(attRow) - 15 : topLayer ? y(rowOf.get(topLayer)) - half : base;
      edge(`out:${t}`, `M${X} ${from}V${y(outRow) + 17}`);
      nodes.append(cellNode({ kind: "output", t }, X, y(outRow)));
    }
  }
  if (attention) names.append(svg("text", { x: start - 10, y: y(attRow) + 4, "text-anchor": "end", class: "mono" }, say("attention").toLowerCase()));
  if (extra > (attention ? 1 : 0)) {
    names.append(svg("text", { x: start - 10, y: y(outRow) + 4, "text-anchor": "end", class: "mono" }, "p(" + say("right") + ")"));
  }
  if (lossMoment >= 0) {
    nodes.append(cellNode({ kind: "loss" }, width - SIZE.right / 2 + 4, y(outRow)));
    edge("loss", `M${x("decoder", targetLength - 1) + half} ${y(outRow)}H${width - SIZE.right / 2 - 32}`);
  }
  const token = (part, t, text) => {
    const g = svg("g", { class: "token" }, svg("rect", { x: x(part, t) - 25, y: base - 6, width: 50, height: 22, rx: 5 }),
      svg("text", { x: x(part, t), y: base + 10, "text-anchor": "middle", class: "mono" }, cut(text, 6)), svg("title", {}, text));
    picture.tokens.set(part + t, g);
    tokens.append(g);
  };
  source.forEach((text, t) => token("encoder", t, text));
  targetIn.forEach((text, t) => token("decoder", t, text));
  if (source.length) names.append(svg("text", { x: gutter - 10, y: base + 10, "text-anchor": "end", class: "small" }, say("source")));
  if (targetIn.length) names.append(svg("text", { x: start - 10, y: base + 10, "text-anchor": "end", class: "small" }, say("target")));

  const tip = (id, turn) => svg("marker", { id, viewBox: "0 0 8 8", refX: 6, refY: 4, markerWidth: 11, markerHeight: 11, markerUnits: "userSpaceOnUse", orient: turn },
    svg("path", { class: "tip", d: "M0 0L8 4L0 8z" }));
  const height = base + 24;
  return svg("svg", { viewBox: `0 0 ${width} ${height}`, width, height, role: "group", "aria-label": say("model"), id: "model-picture",
    style: `width:100%;height:auto;max-width:${width}px;min-width:${Math.round(0.72 * width)}px` },
  svg("defs", {}, tip("tip-end", "auto"), tip("tip-start", "auto-start-reverse")), edges, rays, names, tokens, nodes);
}

/** One node: a cell with a small square for each unit, an attention disc, an output, the loss. */
function cellNode(m, x, y) {
  const key = keyOf(m), g = svg("g", { class: "cell", role: "button", tabindex: -1, "data-cell": key, "aria-label": labelOf(m) });
  g.append(svg("title", {}, labelOf(m)));
  if (m.kind === "cell") {
    const step = stepAt(m.layer, m.t), half = SIZE.cell / 2;
    g.append(svg("rect", { class: "box", x: x - half, y: y - half, width: SIZE.cell, height: SIZE.cell, rx: 6 }));
    g.append(glyph("f", step.forward && step.forward.h, scaleOf(m.layer, "forward", "h"), x, y));
    // dh by its own scale: gradients of different steps differ by powers of ten
    if (step.backward) g.append(glyph("b", step.backward.dh, largest(step.backward.dh || []), x, y));
  } else if (m.kind === "attention") {
    g.append(svg("circle", { class: "box", cx: x, cy: y, r: 15 }), svg("text", { x, y: y + 5, "text-anchor": "middle", class: "node-text" }, "α"));
  } else if (m.kind === "output") {
    const out = outputs[m.t], p = out ? out.p : Math.exp(-losses[m.t]);
    const colour = out ? single(p, 1, EVEN) : "s0";
    g.append(svg("rect", { class: "box", x: x - 23, y: y - 17, width: 46, height: 34, rx: 8 }));
    g.append(svg("rect", { class: "lit-fill " + colour, x: x - 21, y: y - 15, width: 42, height: 30, rx: 6 }));
    const style = `fill:var(--${colour}-t)`;
    g.append(svg("text", { x, y: y - 1, "text-anchor": "middle", class: "mono node-text", "data-style": style }, cut(targetOut[m.t] ?? "", 5)));
    if (out) g.append(svg("text", { x, y: y + 12, "text-anchor": "middle", class: "small node-text", "data-style": style }, short(p)));
  } else {
    g.append(svg("rect", { class: "box", x: x - 36, y: y - 20, width: 72, height: 40, rx: 20 }));
    g.append(svg("text", { x, y: y - 2, "text-anchor": "middle", class: "small" }, say("loss").toLowerCase()));
    g.append(svg("text", { x, y: y + 13, "text-anchor": "middle", "data-v": page.loss, id: "loss-value" }, short(page.loss)));
  }
  const open = () => go({ moment: sameWay(m) });
  g.addEventListener("click", open);
  g.addEventListener("keydown", (event) => { if (event.key === "Enter" || event.key === " ") { event.preventDefault(); open(); } });
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
  const now = moments[state.moment], back = backwardIndex.get(keyOf(m));
  return now.way === "backward" && back !== undefined ? back : forwardIndex.get(keyOf(m));
}
function glyph(kind, values, scale, x, y) {
  const g = svg("g", { class: "glyph " + kind, "aria-hidden": "true" });
  if (!values || !values.length) return g;
  const across = Math.ceil(Math.sqrt(values.length)), size = (SIZE.cell - 6) / across;
  let dashes = "";
  values.forEach((v, n) => {
    const X = x - SIZE.cell / 2 + 3 + (n % across) * size, Y = y - SIZE.cell / 2 + 3 + Math.floor(n / across) * size;
    const colour = signed(v, scale);
    g.append(svg("rect", { class: colour, x: X.toFixed(1), y: Y.toFixed(1), width: (size - 0.8).toFixed(1), height: (size - 0.8).toFixed(1), rx: 1 }));
    if (colour[0] === "n") dashes += `M${(X + size * 0.22).toFixed(1)} ${(Y + size / 2 - 0.4).toFixed(1)}h${(size * 0.5).toFixed(1)}`;
  });
  g.append(svg("path", { class: "minus-marks", d: dashes || "M0 0" }));
  return g;
}

/** Which lines bring a part of dh or dc into this cell, in the backward pass. */
function edgesOfPart(layer, t, part) {
  const id = layers.indexOf(layer), times = timesOf(layer), next = times[times.indexOf(t) + 1];
  if (part === "recurrent") return [`rec:${id}:${next}`];
  if (part === "carry") return [`carry:${id}:${next}`];
  if (part === "bridge") return layer.part === "encoder" ? decoder.filter((d) => levelOf(d) === levelOf(layer)).map((d) => `bridge:${layers.indexOf(d)}`) : [];
  if (part === "layer above") return [...picture.edges.keys()].filter((key) => key.startsWith("up:") && key.endsWith(`:${t}:${id}`));
  if (part === "readout") return [`att:${t}`, attention ? "" : `out:${t}`];
  if (part === "attention") return layer.part === "encoder" ? ["rays"] : [`att:${t}`];
  if (part === "input feeding") return [`feed:${t + 1}`];
  return [];
}

/** Colours and lines of the picture for the moment. */
function updatePicture() {
  const m = moments[state.moment];
  for (const [key, g] of picture.cells) {
    const back = backwardIndex.get(key), ahead = forwardIndex.get(key);
    const done = ahead !== undefined && ahead <= state.moment;
    g.classList.toggle("done", done);
    g.classList.toggle("back", back !== undefined && back <= state.moment);
    g.classList.toggle("now", m && key === keyOf(m));
    g.setAttribute("tabindex", m && key === keyOf(m) ? 0 : -1);
    for (const text of g.querySelectorAll("[data-style]")) text.setAttribute("style", done ? text.dataset.style : "");
  }
  for (const path of picture.edges.values()) { path.setAttribute("class", "edge"); path.removeAttribute("marker-end"); path.removeAttribute("marker-start"); path.removeAttribute("style"); }
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
    const { layer, t } = m, id = layers.indexOf(layer), part = layer.part === "encoder" ? "encoder" : "decoder";
    picture.tokens.get(part + t)?.classList.add("lit");
    if (m.way === "forward") {
      light(`rec:${id}:${t}`); light(`carry:${id}:${t}`); light(`feed:${t}`);
      if (part === "decoder" && t === timesOf(layer)[0]) light(`bridge:${id}`);
      for (const key of picture.edges.keys()) if (key.startsWith(`up:${id}:${t}:`)) light(key);
    } else {
      const step = stepAt(layer, t), parts = Object.entries({ ...step.dh_parts, ...(step.dc_parts && { carry: step.dc_parts.carry || [] }) });
      const sum = parts.reduce((all, [, values]) => all + norm(values), 0) || 1;
      for (const [name, values] of parts) {
        for (const key of edgesOfPart(layer, t, name)) {
          if (key === "rays") drawRays((k) => attention.weights.map((row, q) => [q, t, row[t]]), true); else light(key, norm(values) / sum);
        }
      }
    }
  } else if (m.kind === "attention") {
    light(m.way === "forward" ? `att:${m.t}` : `out:${m.t}`);
    picture.tokens.get("decoder" + m.t)?.classList.add("lit");
    const row = m.way === "forward" ? attention.weights[m.t] : (attention.dscores || attention.weights)[m.t];
    const most = largest(row) || 1;
    drawRays(() => row.map((w, s) => [m.t, s, m.way === "forward" ? w : Math.abs(w) / most]), m.way === "backward");
    const best = row.reduce((at, w, s) => (Math.abs(w) > Math.abs(row[at]) ? s : at), 0);
    picture.tokens.get("encoder" + best)?.classList.add("lit");
  } else if (m.kind === "output") {
    if (m.way === "forward") light(`out:${m.t}`);
  } else if (m.kind === "loss") {
    light("loss");
  }
}
/** Lines between attention discs and source states, the thicker the more weight. */
function drawRays(list, back) {
  if (!attention || !encoder.length) return;
  for (const [t, s, w] of list()) {
    if (!(w > 0.01)) continue;
    const x1 = picture.x("encoder", s), y1 = picture.y(encoder.length - 1) - SIZE.cell / 2, x2 = picture.x("decoder", t), y2 = picture.y(picture.attRow);
    const lane = Math.min(y2 + 27, y1 - 6); // between the cells and the discs, so that none is crossed
    picture.rays.append(svg("path", { class: "edge ray" + (back ? " back" : ""), d: `M${x1} ${y1}C${x1} ${lane} ${x1 + 8} ${lane} ${x1 + 34} ${lane}H${x2 - 40}C${x2 - 16} ${lane} ${x2 - 18} ${y2 + 14} ${x2 - 11} ${y2 + 11}`,
      style: `stroke-width:${(0.6 + 5 * w).toFixed(2)};opacity:${(0.25 + 0.75 * Math.min(1, w)).toFixed(2)}` }));
  }
}

// -- what the chosen moment shows --------------------------------------------------------------------------

function momentPanel() {
  const m = moments[state.moment];
  if (!m) return [el("p", {}, say("no_outputs"))];
  const way = m.way === "loss" ? "" : say(m.way);
  const heading = (key, values) => el("h2", { id: "panel-heading", tabindex: -1 }, say(key, { ...values, way }));
  if (m.kind === "cell") return [heading("heading_cell", { layer: m.layer.name, t: m.t, token: visible(stepAt(m.layer, m.t).token) }), ...cellPanel(m)];
  if (m.kind === "attention") return [heading("heading_attention", { t: m.t }), ...attentionPanel(m)];
  if (m.kind === "output") return [heading("heading_output", { t: m.t }), ...outputPanel(m)];
  return [heading("heading_loss", {}), lossFigure((t) => go({ moment: forwardIndex.get(keyOf({ kind: "output", t })) ?? lossMoment }), -1)];
}

function cellPanel({ layer, t, way }) {
  const step = stepAt(layer, t), unit = state.unit, name = units[unit], arrays = Object.entries(step[way] || {}).filter(([, v]) => Array.isArray(v));
  let before = "";
  const rows = arrays.map(([key, values]) => {
    const group = key.startsWith("z") || key.startsWith("dz") ? "z" : /_prev$/.test(key) ? "prev" : /^d?[cht]/.test(key) ? "state" : "gate";
    const gap = before && group !== before;
    before = group;
    const scale = scaleOf(layer, way, key);
    return { name: key, values, gap, colour: (v) => signed(v, scale) };
  });
  const maps = figure(say(way === "forward" ? "gates_f" : "gates_b"), say(way === "forward" ? "cap_heat_f" : "cap_heat_b"),
    heatMap({ rows, heads: units.map(String), corner: say("unit"), label: say("gates_f"), chosenColumn: unit, litColumn: unit, pick: (r, k) => go({ unit: k }) }),
    signedLegend());
  const right = [figure(say("equations", { unit: name }), say("cap_equations", { unit: name }), equationTable(layer, step, way, unit))];
  if (way === "forward" && layer.cell === "lstm" && step.forward.c_prev) {
    const { f, c_prev, i, g, c } = step.forward;
    right.push(figure(say("parts_c", { unit: name }), say("cap_parts_c", { unit: name }), lyingBars([
      { name: say("kept"), value: f[unit] * c_prev[unit] }, { name: say("written"), value: i[unit] * g[unit] },
      { name: "c", value: c[unit], total: true }], true)));
  }
  const norms = [];
  if (way === "backward") {
    for (const key of ["dh", "dc"]) {
      const parts = Object.entries(step[key + "_parts"] || {}), sum = step.backward && step.backward[key];
      if (!parts.length || !sum) continue;
      right.push(figure(say("parts_d", { name: key, unit: name }), say("cap_parts_d", { name: key, unit: name, value: short(sum[unit]) }),
        lyingBars([...parts.map(([part, values]) => ({ name: pathName(part), value: values[unit] })), { name: key, value: sum[unit], total: true }], true), partsExplained(layer, t, parts, unit)));
      norms.push(figure(say("parts_norm", { name: key }), say("cap_parts_norm", { name: key }),
        lyingBars([...parts.map(([part, values]) => ({ name: pathName(part), value: norm(values) })), { name: key, value: norm(sum), total: true }], false)));
    }
  }
  return [el("div", { class: "grid" }, el("div", {}, maps, norms), el("div", {}, right))];
}

/** One line for each part: what it is; the carry with its numbers. */
function partsExplained(layer, t, parts, unit) {
  const times = timesOf(layer), next = stepAt(layer, times[times.indexOf(t) + 1]);
  return el("ul", { class: "quiet parts" }, parts.filter(([part]) => PARTS[state.lang][part]).map(([part, values]) => {
    let numbers = "";
    if (part === "carry" && next && next.backward && next.backward.dc && next.forward.f) {
      const dc = next.backward.dc[unit], f = next.forward.f[unit];
      if (Math.abs(dc * f - values[unit]) <= 1e-4 * Math.max(Math.abs(values[unit]), 1e-3)) numbers = `: ${bracket(short(dc))} · ${short(f)} = ${short(values[unit])}`;
    }
    return el("li", {}, el("b", {}, pathName(part)), " ", PARTS[state.lang][part], numbers);
  }));
}

function attentionPanel({ t, way }) {
  const names = way === "forward" ? ["scores", "weights"] : ["dweights", "dscores"];
  const s = Math.min(state.att.s, source.length - 1);
  const rows = names.filter((name) => attention[name] && attention[name][t]).map((name) => {
    const scale = largest(attention[name].flat());
    return { name: say(name), words: true, values: attention[name][t], colour: (v) => (name === "weights" ? single(v, 1, EVEN) : signed(v, scale)) };
  });
  const w = attention.weights[t], lines = [];
  if (way === "forward" && attention.scores) {
    const sum = attention.scores[t].reduce((all, v) => all + Math.exp(v - Math.max(...attention.scores[t])), 0);
    const own = Math.exp(attention.scores[t][s] - Math.max(...attention.scores[t]));
    lines.push(`α = softmax(score) = exp(${short(attention.scores[t][s])}) / Σ = ${short(own / sum)}`);
  }
  if (way === "backward" && attention.dweights && attention.dscores) {
    const mean = w.reduce((all, v, k) => all + v * attention.dweights[t][k], 0);
    lines.push(`dscore = α · (dα − Σ α dα) = ${short(w[s])} · (${short(attention.dweights[t][s])} − ${bracket(short(mean))}) = ${short(attention.dscores[t][s])}`);
  }
  const bars = say(names[way === "forward" ? 1 : 0]);
  return [el("div", { class: "grid" }, figure(say("att_row"), say(way === "forward" ? "cap_att_f" : "cap_att_b"),
    heatMap({ rows, heads: source.map(visible), label: say("att_row"), chosenColumn: s, litColumn: s, pick: (r, k) => go({ att: { t, s: k } }) }),
    lines.map((text) => el("p", {}, `“${visible(source[s])}”: `, el("code", {}, text)))),
  figure(bars, sentence("model"), lyingBars(source.map((token, k) => ({ name: visible(token), value: rows[way === "forward" ? rows.length - 1 : 0].values[k] })), way !== "forward")))];
}

function outputPanel({ t, way }) {
  const out = outputs[t];
  if (!out) return [el("p", {}, `${say("loss")}: ${short(losses[t])}`)];
  const token = visible(out.right);
  if (way === "forward") return [topFigure(t)];
  const rest = out.top.filter(([word]) => word !== out.right);
  return [figure(say("out_top"), say("cap_out_b"), lyingBars([{ name: `✓ ${token}`, value: out.p - 1 }, ...rest.map(([word, p]) => ({ name: visible(word), value: p }))], true))];
}

// -- the views ---------------------------------------------------------------------------------------------

function modelView() {
  const m = moments[state.moment], n = moments.length;
  const step = (by) => () => go({ moment: state.moment + by });
  const button = (key, sign, by, off) => el("button", { type: "button", onclick: step(by), disabled: off, title: say(key), "aria-label": say(key), "data-key": key }, sign);
  const bar = el("div", { class: "bar" },
    button("first", "|◀", -n, state.moment === 0), button("back", "◀", -1, state.moment === 0), button("next", "▶", 1, state.moment >= n - 1),
    button("last", "▶|", n, state.moment >= n - 1),
    el("button", { type: "button", onclick: playOrStop, "data-key": "play", id: "play" }, say(playing ? "stop" : "play")),
    el("input", { type: "range", min: 0, max: Math.max(0, n - 1), value: state.moment, "aria-label": say("moment"), "data-key": "range",
      "aria-valuetext": m ? sentences.model() : "", oninput: (event) => go({ moment: Number(event.target.value) }) }),
    el("span", { class: "num", id: "where" }, m ? `${m.way === "loss" ? say("loss") : say(m.way)} ${state.moment + 1}/${n}` : ""),
    hasBackward ? el("button", { type: "button", onclick: flip, "data-key": "flip", disabled: m && m.kind === "loss" }, say("flip")) : null,
    units.length ? el("label", {}, say("unit") + " ", el("select", { "data-key": "unit", onchange: (event) => go({ unit: Number(event.target.value) }) },
      units.map((name, k) => el("option", { value: k, selected: k === state.unit }, String(name))))) : null);
  const caption = m && m.way === "backward" ? "cap_model_b" : "cap_model_f";
  if (!picture.svg || picture.lang !== state.lang) { picture.svg = drawModel(); picture.lang = state.lang; picture.box = scroller(picture.svg); }
  updatePicture();
  return [bar, figure(say("model"), say(caption), picture.box), momentPanel()];
}

function attentionView() {
  if (!attention) return [el("p", {}, say("no_attention"))];
  const kinds = ["weights", "scores", "dweights", "dscores"].filter((kind) => attention[kind]);
  const { t, s } = state.att, kind = state.kind, scale = largest(attention[kind].flat());
  const colour = kind === "weights" ? (v) => single(v, 1, EVEN) : (v) => signed(v, scale);
  const rows = attention[kind].map((values, k) => ({ name: `${k}: ${cut(targetOut[k] ?? "", 10)}`, words: true, values, colour }));
  const buttons = el("div", { class: "tools" }, say("show") + ":", kinds.map((name) =>
    el("button", { type: "button", "aria-pressed": String(name === kind), onclick: () => go({ kind: name }), "data-key": "kind-" + name }, say(name))));
  const value = attention[kind][t][s];
  const row = source.map((token, k) => ({ name: visible(token), value: attention[kind][t][k] }));
  return [buttons, el("div", { class: "grid" },
    figure(`${say("att_map")}: ${say(kind)}`, say("cap_map", { t, target: visible(targetOut[t] ?? ""), source: visible(source[s] ?? ""), kind: say("one_" + kind), value: full(value) }),
      heatMap({ rows, heads: source.map((token) => cut(token, 8)), corner: "", label: say("att_map"), picked: [t, s], litRow: t, litColumn: s, pick: (r, k) => go({ att: { t: r, s: k } }) }),
      kind === "weights" ? legend(["s0", "s1", "s2", "s3", "s4", "s5"], ["0", ".05", ".2", ".4", ".6", ".8"]) : signedLegend()),
    figure(`${say("target")} ${t} “${visible(targetOut[t] ?? "")}”: ${say(kind)}`, sentence("attention"), lyingBars(row, kind !== "weights")))];
}

const lossSum = losses.reduce((sum, v) => sum + v, 0);
/** How the loss comes from its terms: their sum, or the sum over the number of terms that the batch has. */
function lossFormula() {
  const terms = lossSum / page.loss, near = Math.round(terms);
  if (!Number.isFinite(terms) || Math.abs(terms - 1) < 1e-3) return `Σ = ${full(page.loss)}`;
  return `Σ / ${Math.abs(terms - near) < 1e-3 * near ? near : short(terms)} = ${short(lossSum)} / ${Math.abs(terms - near) < 1e-3 * near ? near : short(terms)} = ${full(page.loss)}`;
}
function lossFigure(pick, chosen) {
  const t = chosen < 0 ? state.loss : chosen;
  const items = losses.map((v, k) => ({ values: [v], label: cut(targetOut[k] ?? "", 6), sub: String(k), title: `${k} “${targetOut[k] ?? ""}”: ${full(v)}` }));
  return figure(say("loss_terms"), say("cap_losses", { how: lossFormula(), t, token: visible(targetOut[t] ?? ""), value: full(losses[t]) }),
    standingBars(items, chosen, pick, say("loss_terms")));
}
function topFigure(t) {
  const out = outputs[t];
  if (!out) return null;
  const items = out.top.map(([word, p]) => ({ name: (word === out.right ? "✓ " : "") + visible(word), value: p }));
  if (!out.top.some(([word]) => word === out.right)) items.push({ name: `✓ ${visible(out.right)}`, value: out.p, total: true });
  const best = out.top[0] || ["", NaN];
  return figure(`${say("out_top")}: ${say("step")} ${t}`, say("cap_top", { t, best: visible(best[0]), p: short(best[1]), token: visible(out.right), right: full(out.p) }),
    lyingBars(items, false), el("p", {}, el("code", {}, say("minus_log", { p: short(out.p), loss: short(-Math.log(out.p)), counts: short(losses[t] * (lossSum ? page.loss / lossSum : 1)) }))));
}
function lossView() {
  if (!losses.length) return [el("p", {}, say("no_outputs"))];
  return [el("div", { class: "grid" }, lossFigure((t) => go({ loss: t }), state.loss), topFigure(state.loss))];
}

function bpttView() {
  const { states, loss_steps: steps, paths, norm: lengths, total } = page.bptt, at = state.bptt, here = states[at.state];
  const scale = largest(total.flat());
  const edges = new Set(states.map((one, k) => (k && one.layer !== states[k - 1].layer ? k : -1)));
  const heads = states.map((one) => `${one.layer} ${one.t}`);
  const rows = steps.map((s, r) => ({ name: `${s}: ${cut(targetOut[s] ?? "", 8)}`, words: true, values: states.map((one, k) => total[k][r]), colour: (v) => single(v, scale, FALLING) }));
  const value = total[at.state][at.s];
  const choose = (label, list, now, pick, key) => el("label", {}, label + " ", el("select", { "data-key": key, onchange: (event) => pick(Number(event.target.value)) },
    list.map((text, k) => el("option", { value: k, selected: k === now }, text))));
  return [
    el("div", { class: "tools" }, choose(say("loss_step"), steps.map((s) => `${s} “${visible(targetOut[s] ?? "")}”`), at.s, (s) => go({ bptt: { ...at, s } }), "bptt-s"),
      choose(say("state"), heads, at.state, (k) => go({ bptt: { ...at, state: k } }), "bptt-state")),
    figure(say("bptt_map"), say("cap_bptt", { s: steps[at.s], layer: here.layer, t: here.t, value: full(value) }),
      heatMap({ rows, heads, corner: "", label: say("bptt_map"), picked: [at.s, at.state], litRow: at.s, litColumn: at.state, edges, turned: true,
        pick: (r, k) => go({ bptt: { state: k, s: r } }) }),
      legend(["s0", "s1", "s2", "s3", "s4", "s5"], ["<", "1/1000", "1/100", "1/20", "1/5", "1/2"])),
    figure(`${say("bptt_paths")}: ${here.layer}, t = ${here.t}`, say("cap_paths", { value: full(value) }),
        lyingBars([...paths.map((path, p) => ({ name: pathName(path), value: lengths[at.state][at.s][p] })), { name: say("sum"), value, total: true }], false)),
    figure(say("bptt_reach", { s: steps[at.s] }), say("cap_reach"),
      standingBars(states.map((one, k) => ({ values: [total[k][at.s]], label: String(one.t), sub: k && one.layer === states[k - 1].layer ? "" : one.layer, title: `${heads[k]}: ${full(total[k][at.s])}` })),
        at.state, (k) => go({ bptt: { ...at, state: k } }), say("bptt_map"), true))];
}

const bestTokens = () => outputs.map((out) => (out.top[0] ? out.top[0][0] : ""));
function whatView() {
  const list = page.what_if, now = list[state.choice], old = bestTokens();
  let kind = null;
  const buttons = list.map((one, n) => {
    const head = one.kind === kind ? null : el("h3", {}, one.kind in WORDS.en ? say(one.kind) : one.kind);
    kind = one.kind;
    const change = one.loss - page.loss;
    return [head, el("button", { type: "button", "aria-pressed": String(n === state.choice), onclick: () => go({ choice: n }), "data-key": "choice" + n },
      el("span", {}, one.label), el("span", { class: "num", "data-v": one.loss }, `${short(one.loss)} ${change > 0 ? "▲" : change < 0 ? "▼" : "="}`))];
  });
  const items = (now.losses || []).map((v, k) => ({ values: [losses[k], v], label: cut(targetOut[k] ?? "", 6), sub: String(k), title: `${full(losses[k])} → ${full(v)}` }));
  const table = el("table", { class: "plain-table" }, el("thead", {}, el("tr", {}, ["step", "right", "old", "new", "old_p", "new_p"].map((key) => el("th", { scope: "col" }, say(key))))),
    el("tbody", {}, (now.output || []).map((token, k) => el("tr", {}, el("td", {}, String(k)), el("td", { class: "mono" }, visible(targetOut[k] ?? "")), el("td", { class: "mono" }, visible(old[k] ?? "")),
      el("td", { class: "mono" + (token !== old[k] ? " changed" : "") }, (token !== old[k] ? "≠ " : "") + visible(token)),
      el("td", { class: "num" }, outputs[k] ? short(outputs[k].p) : "–"), el("td", { class: "num", "data-v": now.right_p && now.right_p[k] }, short(now.right_p && now.right_p[k]))))));
  return [el("div", { class: "grid even" },
    el("div", {}, figure(say("choices"), say("cap_choices", { loss: full(page.loss) }), el("div", { class: "choices" }, buttons))),
    el("div", {}, items.length ? figure(say("what_losses"), say("cap_what", { label: now.label, old: full(page.loss), loss: full(now.loss) }), standingBars(items, -1, () => {}, say("what_losses"))) : null,
      figure(say("what_outputs"), say("cap_outputs"), scroller(table))))];
}

// the beam: a column for each step, the best score on top
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
  const best = new Set(pathTo(beam.best)), chosen = nodeOf.get(state.node), wide = 104, high = 46, steps = [...byStep.keys()].sort((a, b) => a - b);
  const place = new Map();
  steps.forEach((step, n) => byStep.get(step).forEach((node, k) => place.set(node, [8 + n * wide, 26 + k * high])));
  const rows = Math.max(...[...byStep.values()].map((list) => list.length)), width = steps.length * wide + 8, height = rows * high + 30;
  const edges = [], leaves = [], now = new Set(pathTo(state.node));
  for (const node of [...beam.nodes].sort((a, b) => best.has(a) - best.has(b))) {
    const [x, y] = place.get(node), parent = nodeOf.get(node.parent);
    if (parent) {
      const [px, py] = place.get(parent);
      edges.push(svg("path", { class: "edge " + (now.has(node) ? "flow" : best.has(node) ? "best" : node.kept ? "kept" : "dropped"), d: `M${px + 78} ${py + 18}C${px + 92} ${py + 18} ${x - 14} ${y + 18} ${x} ${y + 18}` }));
    }
    const open = () => go({ node: node.id });
    leaves.push(svg("g", { class: ["leaf", node.kept ? "kept" : "", best.has(node) ? "best" : "", node === chosen ? "now" : ""].join(" "), role: "button",
      tabindex: node === chosen ? 0 : -1, "data-node": node.id, "data-key": node === chosen ? "node" : null, "aria-label": beamSentence(node), onclick: open,
      onkeydown: (event) => { if (event.key === "Enter" || event.key === " ") { event.preventDefault(); open(); } } },
    svg("rect", { x, y, width: 78, height: 36, rx: 7 }), svg("text", { x: x + 39, y: y + 15, "text-anchor": "middle", class: "mono" }, cut(node.token, 8) + (node.finished ? " ■" : "")),
    svg("text", { x: x + 39, y: y + 30, "text-anchor": "middle", class: "mono", "data-v": node.score }, short(node.score)), svg("title", {}, beamSentence(node))));
  }
  const heads = steps.map((step, n) => svg("text", { x: 47 + n * wide, y: 14, "text-anchor": "middle", class: "small" }, step < 0 ? say("start") : `${say("step")} ${step}`));
  const known = new Set(["id", "parent", "token", "step", "kept", "finished", "log_prob", "total", "score"]);
  const more = [...new Set(beam.nodes.flatMap((node) => Object.keys(node).filter((key) => !known.has(key) && typeof node[key] === "number")))];
  const columns = ["log_prob", "total", ...more, "score"], title = { log_prob: say("log_prob"), total: say("sum_lp"), score: say("score") };
  const table = el("table", { class: "plain-table" }, el("thead", {}, el("tr", {}, [say("step"), say("token"), ...columns.map((key) => title[key] || key), say("fate")].map((text) => el("th", { scope: "col" }, text)))),
    el("tbody", {}, pathTo(state.node).map((node) => el("tr", {}, el("td", {}, node.step < 0 ? "–" : String(node.step)), el("td", { class: "mono" }, visible(node.token)),
      columns.map((key) => el("td", { class: "num", title: full(node[key]), "data-v": node[key] }, short(node[key]))), el("td", {}, fateOf(node))))));
  return [figure(say("beam_tree"), say("cap_beam"), scroller(svg("svg", { viewBox: `0 0 ${width} ${height}`, width, height, role: "group", "aria-label": say("beam_tree") }, edges, leaves, heads))),
    figure(say("beam_path"), say("cap_path"), scroller(table))];
}
const fateOf = (node) => [pathTo(beam.best).includes(node) ? say("is_best") : say(node.kept ? "was_kept" : "was_dropped"), node.finished ? say("finished") : ""].filter(Boolean).join(", ");
const beamSentence = (node) => say("say_beam", { step: node.step, token: visible(node.token), log_prob: short(node.log_prob), total: short(node.total), score: short(node.score), fate: fateOf(node) });

// -- one sentence for each view and state, for the live region ---------------------------------------------

const sentences = {
  model() {
    const m = moments[state.moment];
    if (!m) return say("no_outputs");
    const count = { way: m.way === "loss" ? "" : say(m.way), n: state.moment + 1, of: moments.length, t: m.t };
    if (m.kind === "loss") return say("say_loss", { ...count, loss: full(page.loss), how: lossFormula() });
    const back = m.way === "backward";
    if (m.kind === "cell") {
      const step = stepAt(m.layer, m.t), about = { ...count, layer: m.layer.name, token: visible(step.token), unit: units[state.unit] };
      if (!back) return say("say_cell_f", { ...about, h: short(step.forward.h && step.forward.h[state.unit]), c: step.forward.c ? `c = ${short(step.forward.c[state.unit])}, ` : "" });
      const parts = Object.entries(step.dh_parts || {}).sort((a, b) => norm(b[1]) - norm(a[1]));
      return say("say_cell_b", { ...about, norm: short(step.backward && step.backward.dh ? norm(step.backward.dh) : NaN), part: parts.length ? pathName(parts[0][0]) : say("none_path") });
    }
    if (m.kind === "attention") {
      const row = (back && attention.dweights ? attention.dweights : attention.weights)[m.t];
      const most = row.reduce((at, w, s) => (Math.abs(w) > Math.abs(row[at]) ? s : at), 0);
      return say(back ? "say_attention_b" : "say_attention_f", { ...count, token: visible(targetOut[m.t] ?? ""), most: visible(source[most] ?? ""), weight: short(row[most]) });
    }
    const out = outputs[m.t];
    return say(back ? "say_output_b" : "say_output_f", { ...count, token: visible(targetOut[m.t] ?? ""), p: short(out && out.p), grad: short(out && out.p - 1), loss: short(losses[m.t]) });
  },
  attention() {
    if (!attention) return say("no_attention");
    const { t, s } = state.att;
    return say("say_map", { t, s, target: visible(targetOut[t] ?? ""), source: visible(source[s] ?? ""), kind: say("one_" + state.kind), value: full(attention[state.kind][t][s]) });
  },
  loss() {
    const t = state.loss, out = outputs[t];
    return say("say_losses", { t, token: visible(targetOut[t] ?? ""), value: full(losses[t]), p: short(out && out.p), best: out && out.top[0] ? visible(out.top[0][0]) : "–" });
  },
  bptt() {
    const { states, loss_steps: steps, paths, norm: lengths, total } = page.bptt, at = state.bptt, row = lengths[at.state][at.s];
    const most = row.reduce((best, v, p) => (v > row[best] ? p : best), 0);
    return say("say_bptt", { s: steps[at.s], token: visible(targetOut[steps[at.s]] ?? ""), layer: states[at.state].layer, t: states[at.state].t, value: full(total[at.state][at.s]),
      path: row[most] > 0 ? pathName(paths[most]) : say("none_path") });
  },
  what() {
    const one = page.what_if[state.choice], old = bestTokens();
    return say("say_what", { label: one.label, old: full(page.loss), loss: full(one.loss), count: old.length, changed: (one.output || []).filter((token, k) => token !== old[k]).length });
  },
  beam: () => beamSentence(nodeOf.get(state.node)),
};

/** With a capital letter. */
const sentence = (view) => sentences[view]().replace(/^./u, (first) => first.toUpperCase());

const VIEWS = [["model", modelView], ["attention", attentionView], ["loss", lossView]];
if (page.bptt && page.bptt.states && page.bptt.states.length && page.bptt.total) VIEWS.push(["bptt", bpttView]);
if (page.what_if && page.what_if.length) VIEWS.push(["what", whatView]);
if (beam) VIEWS.push(["beam", beamView]);

// -- the frame around the views ----------------------------------------------------------------------------

const app = document.getElementById("app");
const boxes = new Map(); // view -> its section
let stale = new Set(), later = null, live = null;

function build() {
  document.documentElement.lang = state.lang === "zh" ? "zh-CN" : "en";
  const notes = [page.row !== undefined ? say("row", { row: page.row }) : "", Number.isFinite(page.loss) ? say("total", { loss: short(page.loss) }) : "",
    page.H > units.length ? say("sampled", { n: units.length, H: page.H }) : ""].filter(Boolean).join(" · ");
  live = el("p", { class: "live", role: "status", "aria-live": "polite", id: "live" });
  boxes.clear();
  const sections = VIEWS.map(([name]) => {
    const section = el("section", { class: "view", id: "view-" + name, "aria-label": say(name) });
    boxes.set(name, section);
    return section;
  });
  app.replaceChildren(
    el("header", {}, el("div", {}, el("h1", {}, page.title || "minis2s"), el("div", { class: "quiet" }, notes)),
      el("div", { class: "tools" }, el("button", { type: "button", onclick: otherLanguage, "data-key": "lang", "aria-label": say("language"), lang: state.lang === "zh" ? "en" : "zh" }, say("other")),
        el("button", { type: "button", onclick: help, "data-key": "help" }, say("help") + " ", el("kbd", {}, "?")))),
    el("nav", { "aria-label": say("views") }, VIEWS.map(([name], n) => el("button", { type: "button", onclick: () => go({ view: name }), "data-view": name, "data-key": "nav-" + name },
      say(name) + " ", el("kbd", {}, String(n + 1))))),
    live, el("main", {}, sections), helpDialog());
  stale = new Set(VIEWS.map(([name]) => name));
}

/** Draw one view anew; what had the focus in it has it afterwards, and boxes keep how far they were scrolled. */
function draw(name) {
  const box = boxes.get(name), active = document.activeElement, inside = box.contains(active);
  const key = inside && active.dataset ? active.dataset.key : null, cell = inside && active.closest("[data-cell], [data-node], td[data-r]");
  const at = [...box.querySelectorAll(".scroll, .choices")].map((one) => [one.scrollLeft, one.scrollTop]);
  box.replaceChildren(...[el("h2", { class: "hidden-text" }, say(name)), VIEWS.find(([other]) => other === name)[1]()].flat(3).filter(Boolean));
  stale.delete(name);
  [...box.querySelectorAll(".scroll, .choices")].forEach((one, n) => { if (at[n]) [one.scrollLeft, one.scrollTop] = at[n]; });
  if (!inside || document.activeElement === active) return;
  const again = cell ? box.querySelector(name === "model" ? ".cell.now" : name === "beam" ? ".leaf.now" : "td.pick") : key && box.querySelector(`[data-key="${key}"]`);
  if (again) again.focus({ preventScroll: true });
}
/** Bring what is chosen into sight inside its scrolling box; the page itself does not move. */
function reveal(name) {
  const box = boxes.get(name), chosen = box.querySelectorAll(".cell.now, td.pick, .leaf.now, .column[aria-pressed=true], td.sel");
  const choice = box.querySelector(".choices [aria-pressed=true]");
  if (choice) {
    const list = choice.closest(".choices"), a = choice.getBoundingClientRect(), b = list.getBoundingClientRect();
    if (a.top < b.top || a.bottom > b.bottom) list.scrollTop += a.top - b.top - b.height / 2;
  }
  for (const node of chosen) {
    const outer = node.closest(".scroll");
    if (!outer || outer.scrollWidth <= outer.clientWidth) continue;
    const a = node.getBoundingClientRect(), b = outer.getBoundingClientRect(), margin = Math.min(100, b.width / 4);
    if (a.left < b.left + margin) outer.scrollLeft -= b.left + margin - a.left;
    else if (a.right > b.right - margin) outer.scrollLeft += a.right - b.right + margin;
  }
}
const drawStale = () => { for (const name of [...stale]) draw(name); };

/** Change the state, draw the view that is open (the others a little later, for print), and say what is there now. */
function go(change) {
  Object.assign(state, change);
  state.moment = Math.max(0, Math.min(moments.length - 1, state.moment || 0));
  state.unit = Math.max(0, Math.min(units.length - 1, state.unit));
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
    const k = m.kind === "cell" && page.bptt && page.bptt.states ? page.bptt.states.findIndex((one) => one.layer === m.layer.name && one.t === m.t) : -1;
    if (k >= 0) state.bptt = { ...state.bptt, state: k };
  }
}
const bestSource = (t) => attention.weights[t].reduce((at, w, s) => (w > attention.weights[t][at] ? s : at), 0);

function show() {
  for (const [name] of VIEWS) {
    boxes.get(name).classList.toggle("on", name === state.view);
    const tab = app.querySelector(`[data-view=${name}]`);
    if (name === state.view) tab.setAttribute("aria-current", "page"); else tab.removeAttribute("aria-current");
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
  if (playing) { clearInterval(playing); playing = null; } else {
    if (state.moment >= moments.length - 1) state.moment = 0;
    playing = setInterval(() => {
      if (state.moment >= moments.length - 1 || state.view !== "model") playOrStop(); else go({ moment: state.moment + 1 });
    }, 700);
  }
  go({});
}
/** The same place in the other pass. */
function flip() {
  const m = moments[state.moment], other = m && (m.way === "forward" ? backwardIndex : forwardIndex).get(keyOf(m));
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
  const rows = [["1 … " + VIEWS.length, "k_view"], ["← →", "k_step"], ["↑ ↓", "k_unit"], ["Home End", "k_ends"], ["[ ]", "k_page"], ["b", "k_flip"], ["l", "k_loss"],
    ["p", "k_play"], ["m", "k_map"], ["z", "k_lang"], ["Tab", "k_tab"], ["?", "k_help"]];
  return el("dialog", { id: "help", "aria-label": say("keys") }, el("h2", {}, say("keys")), el("p", {}, say("help_intro")),
    el("table", {}, el("tbody", {}, rows.map(([key, text]) => el("tr", {}, el("td", {}, key.split(" ").map((one) => [one === "…" ? one : el("kbd", {}, one), " "])), el("td", {}, say(text)))))),
    el("p", {}, el("button", { type: "button", onclick: () => document.getElementById("help").close() }, say("close") + " ", el("kbd", {}, "Esc"))));
}
const help = () => document.getElementById("help").showModal();

// -- keys --------------------------------------------------------------------------------------------------

const clamp = (v, n) => Math.max(0, Math.min(n - 1, v));
/** What an arrow does in each view: dx, dy are -1, 0 or 1; Infinity for Home and End. */
const MOVES = {
  model: (dx, dy) => (dy ? go({ unit: clamp(state.unit + dy, units.length) }) : go({ moment: clamp(state.moment + dx, moments.length) })),
  attention: (dx, dy) => attention && go({ att: { t: clamp(state.att.t + dy, attention.weights.length), s: clamp(state.att.s + dx, source.length) } }),
  loss: (dx, dy) => losses.length && go({ loss: clamp(state.loss + (dx || dy), losses.length) }),
  bptt: (dx, dy) => go({ bptt: { s: clamp(state.bptt.s + dy, page.bptt.loss_steps.length), state: clamp(state.bptt.state + dx, page.bptt.states.length) } }),
  what: (dx, dy) => go({ choice: clamp(state.choice + (dy || dx), page.what_if.length) }),
  beam(dx, dy) {
    const node = nodeOf.get(state.node), row = byStep.get(node.step);
    if (dy) return go({ node: row[clamp(row.indexOf(node) + dy, row.length)].id });
    if (dx < 0) return go({ node: (Number.isFinite(dx) ? nodeOf.get(node.parent) || node : pathTo(node.id)[0]).id });
    if (!Number.isFinite(dx)) return go({ node: beam.best });
    const best = pathTo(beam.best), children = (byStep.get(node.step + 1) || []).filter((one) => one.parent === node.id);
    return go({ node: (children.find((one) => best.includes(one)) || children.find((one) => one.kept) || children[0] || node).id });
  },
};
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1], Home: [-Infinity, 0], End: [Infinity, 0] };

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented || document.getElementById("help").open) return;
  const tag = event.target.tagName;
  if (tag === "SELECT") return; // the browser moves inside these
  if (tag === "INPUT" && (event.key.startsWith("Arrow") || event.key === "Home" || event.key === "End" || event.key.startsWith("Page"))) return;
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
})();
