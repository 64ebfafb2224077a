"use strict";

const data = JSON.parse(document.getElementById("data").textContent);
const EVERY = 100; // a state is kept every so many steps: what lies between is worked out from it
const kept = new Map();
let current = -1;

// All text enters the page as text, never as markup.
function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}
const find = (id) => document.getElementById(id);

// States

function apply(state, delta) {
  for (const [block, users, content] of delta.blocks ?? []) {
    state.users[block] = users;
    state.contents[block] = content;
  }
  state.queue = splice(state.queue, delta.queue ?? []);
  for (const [request, table] of Object.entries(delta.tables ?? {})) {
    if (table === null) {
      state.tables.delete(request);
      continue;
    }
    const [rows, handled] = table;
    const old = state.tables.get(request)?.rows ?? [];
    state.tables.set(request, { rows: rows.map((splices, group) => splice(old[group] ?? [], splices)), handled });
  }
  if (delta.reserved) state.reserved = delta.reserved;
  return state;
}

function splice(list, splices) {
  for (const [at, gone, come] of splices) {
    const behind = list.splice(at).slice(gone);
    for (const entries of [come, behind]) for (const entry of entries) list.push(entry);
  }
  return list;
}

function copied(state) {
  const tables = [...state.tables].map(([request, { rows, handled }]) => [request, { rows: rows.map((row) => [...row]), handled }]);
  return { users: [...state.users], contents: [...state.contents], queue: [...state.queue], reserved: state.reserved, tables: new Map(tables) };
}

// The state before a step: what all steps before it have made of the first one.
function stateBefore(step) {
  let from = Math.floor(step / EVERY) * EVERY;
  while (from > 0 && !kept.has(from)) from -= EVERY;
  const state = from ? copied(kept.get(from)) : apply({ users: [], contents: [], queue: [], reserved: [], tables: new Map() }, data.start);
  for (let at = from; at < step; at += 1) {
    if (at && at % EVERY === 0 && !kept.has(at)) kept.set(at, copied(state));
    if (data.steps[at].seen.delta) apply(state, data.steps[at].seen.delta);
  }
  return state;
}

// Blocks

function holders(state) {
  const found = new Map();
  for (const [request, { rows }] of state.tables) {
    rows.forEach((row, group) => row.forEach((block, entry) => {
      if (block) found.set(block, [...(found.get(block) ?? []), `${request}, group ${group}, entry ${entry}`]);
    }));
  }
  return found;
}

// What is needed to draw many blocks of one state.
function drawing(state, touched, differing) {
  return { state, touched, differing, free: new Set(state.queue), reserved: new Set(state.reserved), holders: holders(state) };
}

function kindOf({ state, free, reserved }, block) {
  if (block === 0) return "null";
  if (reserved.has(block)) return "reserved";
  if (state.users[block]) return state.users[block] > 1 ? "shared" : "used";
  if (!free.has(block)) return "lost";
  return state.contents[block] < 0 ? "free" : "cached";
}

function about(drawn, block) {
  const kind = kindOf(drawn, block);
  const content = drawn.state.contents[block];
  return [
    `Block ${block}: ${data.states[kind]}`,
    ...(drawn.holders.get(block) ?? []),
    ...(content >= 0 ? [`content: ${data.contents[content]}`] : []),
    ...(drawn.differing.has(block) ? ["differs between the two sides"] : []),
  ].join("; ");
}

function drawBlock(drawn, block, tag = "li") {
  const kind = kindOf(drawn, block);
  const classes = ["block", kind];
  if (drawn.state.contents[block] >= 0) classes.push("keyed");
  if (drawn.differing.has(block)) classes.push("differs");
  else if (drawn.touched.has(block)) classes.push("touched");
  const text = about(drawn, block);
  const label = { null: "∅", reserved: `(${block})`, lost: `?${block}` }[kind] ?? String(block);
  const made = element(tag, { class: classes.join(" "), "data-block": block, title: text, "aria-label": text }, label);
  if (kind === "shared") made.append(element("small", {}, `×${drawn.state.users[block]}`));
  return made;
}

function drawRest(count, label) {
  const text = `${count} blocks that are free and without content throughout`;
  return element("li", { class: "block rest", title: text, "aria-label": text }, label);
}

function drawPool(drawn) {
  const list = element("ul", { class: "blocks pool", "aria-label": "the pool" });
  const shown = Math.min(data.drawn, drawn.state.users.length);
  for (let block = 0; block < shown; block += 1) list.append(drawBlock(drawn, block));
  const rest = drawn.state.users.length - shown;
  if (rest === 1) list.append(drawBlock(drawn, shown));
  else if (rest > 1) list.append(drawRest(rest, `${shown}–${shown + rest - 1}`));
  return list;
}

function drawQueue(drawn) {
  const { queue } = drawn.state;
  const list = element("ol", { class: "blocks queue", "aria-label": "the free queue, next first" });
  if (!queue.length) list.append(element("li", { class: "end" }, "empty"));
  for (let at = 0; at < queue.length; at += 1) {
    let end = at;
    while (queue[at] >= data.drawn && queue[end + 1] === queue[end] + 1) end += 1;
    if (end > at) list.append(drawRest(end - at + 1, `${queue[at]}–${queue[end]}`));
    else list.append(drawBlock(drawn, queue[at]));
    at = end;
  }
  return list;
}

function drawTables(drawn) {
  const made = [];
  for (const [request, { rows, handled }] of drawn.state.tables) {
    const table = element("div", { class: "table", role: "group", "aria-label": `block table of ${request}` }, element("b", {}, request));
    rows.forEach((row, group) => {
      const cells = element("ol", { class: "blocks", "aria-label": `group ${group}` });
      const nulls = row.findIndex((block) => block !== 0);
      const skipped = nulls < 0 ? row.length : nulls;
      if (skipped > 1) cells.append(element("li", { class: "block null", title: `${skipped} null entries` }, `∅×${skipped}`));
      else if (skipped) cells.append(drawBlock(drawn, 0));
      for (const block of row.slice(skipped)) cells.append(drawBlock(drawn, block));
      const told = `group ${group}, ${data.groups[group]?.[0] ?? "unknown"}`;
      table.append(element("span", { title: `${handled[group] ?? 0} entries were offered to the prefix cache` }, told), cells);
    });
    made.push(table);
  }
  return made.length ? made : [element("p", { class: "quiet" }, "No request holds a block.")];
}

// Steps

function changedBlocks(before, after) {
  const found = new Set();
  for (let block = 0; block < Math.max(before.users.length, after.users.length); block += 1) {
    if (before.users[block] !== after.users[block] || before.contents[block] !== after.contents[block]) found.add(block);
  }
  return found;
}

function drawSide(title, side, before, other) {
  const after = apply(copied(before), side.delta ?? {});
  const differing = other ? changedBlocks(apply(copied(before), other.delta ?? {}), after) : new Set();
  const touched = new Set([...changedBlocks(before, after), ...side.named]);
  const drawn = drawing(after, touched, differing);
  const parts = [];
  if (title) parts.push(element("h4", {}, title));
  parts.push(element("p", { class: "answer" }, side.answer));
  const told = [...side.changes, ...side.events.map((event) => `event: ${event}`)];
  if (told.length) parts.push(element("ul", { class: "changes" }, ...told.map((line) => element("li", {}, line))));
  if (!data.is_pictured) return element("div", {}, ...parts, element("p", { class: "quiet" }, "The state of this target cannot be pictured."));
  if (!side.delta) parts.push(element("p", { class: "quiet" }, "After this the state was not looked at: here is the one before."));
  parts.push(element("h5", {}, "Pool"), drawPool(drawn));
  parts.push(element("h5", {}, "Free queue, next first"), drawQueue(drawn));
  parts.push(element("h5", {}, "Block tables"), ...drawTables(drawn));
  return element("div", { class: "side" }, ...parts);
}

function drawStep(at) {
  const step = data.steps[at];
  const before = stateBefore(at);
  const sides = step.expected
    ? [drawSide(data.sides[0], step.expected, before, step.seen), drawSide(data.sides[1], step.seen, before, step.expected)]
    : [drawSide("", step.seen, before, null)];
  const broken = step.broken?.map((one) => element("div", { class: "broken" },
    element("p", {}, element("strong", {}, one.invariant), ` — ${one.statement}`),
    element("p", { class: "quiet" }, one.message))) ?? [];
  find("step").replaceChildren(element("h3", {}, step.says), element("div", { class: "both" }, ...sides), ...broken, element("p", { class: "quiet about", id: "about" }));
}

const lineOf = (at) => data.steps[at].line ?? "·";

function show(at, scroll = true) {
  const step = Math.max(0, Math.min(at, data.steps.length - 1));
  if (step === current || !data.steps.length) return;
  const rows = find("list").children;
  if (current >= 0) {
    rows[current].firstChild.removeAttribute("aria-current");
    rows[current].firstChild.tabIndex = -1;
  }
  current = step;
  rows[step].firstChild.setAttribute("aria-current", "step");
  rows[step].firstChild.tabIndex = 0;
  if (scroll) {
    const list = find("list");
    const top = rows[step].offsetTop;
    if (top < list.scrollTop || top + rows[step].offsetHeight > list.scrollTop + list.clientHeight) list.scrollTop = top - list.clientHeight / 2;
  }
  drawStep(step);
  const slider = find("slider");
  slider.value = step;
  slider.setAttribute("aria-valuetext", `operation ${lineOf(step)}: ${data.steps[step].says}`);
  find("place").textContent = `operation ${lineOf(step)} of ${lineOf(data.steps.length - 1)}`;
  find("previous").disabled = step === 0;
  find("next").disabled = step === data.steps.length - 1;
  find("jump").disabled = data.wrong_at === null || data.wrong_at === step;
}

// The page

function fill() {
  document.body.classList.add(data.is_well ? "is-well" : "is-wrong");
  find("origin").textContent = [data.name, data.origin].filter(Boolean).join(" · ");
  find("headline").textContent = data.headline;
  find("note").textContent = data.note;
  if (data.known.length) {
    const [id, verdict, title] = data.known;
    find("known").hidden = false;
    find("known").append(element("strong", {}, `Known deviation ${id}`), ` · ${verdict} · ${title}`);
  }
  find("verdict").hidden = data.is_well;
  find("rules").hidden = !data.rules.length;
  if (data.rules.length > 1) find("rules-title").textContent = "The rules";
  data.rules.forEach(([id, text, why], at) => {
    const told = why === data.rules[at + 1]?.[2] ? [] : [element("span", { class: "quiet" }, why)];
    find("rules").querySelector("dl").append(element("dt", {}, id), element("dd", {}, text, ...told));
  });
  const table = find("sides");
  if (data.level === "safe") find("sides-title").textContent = "What is wrong";
  table.querySelector("thead").append(element("tr", {}, ...["what", ...data.sides].map((name) => element("th", { scope: "col" }, name))));
  for (const [what, ...cells] of data.differences) {
    table.querySelector("tbody").append(element("tr", {}, element("th", { scope: "row" }, what), ...cells.map((cell) => element("td", {}, cell))));
  }
  find("facts").textContent = data.facts.join(" · ");
  find("groups").append(...data.groups.map(([, text], number) => element("li", {}, `group ${number}: ${text}`)));
  if (data.untold) find("untold").textContent = `${data.untold.toLocaleString("en")} operations of the trace are not told: they come after what is wrong.`;
  fillLegend();
  fillSteps();
}

function fillLegend() {
  const samples = { free: "1", cached: "1", used: "1", shared: "1×2", null: "∅", reserved: "(1)", lost: "?1" };
  const entries = Object.entries(data.states).map(([state, meaning]) => [`block ${state}${state === "cached" ? " keyed" : ""}`, samples[state], meaning]);
  entries.push(["block used keyed", "1", "a dot: its content can be found"], ["block used touched", "1", "changed or named by this step"], ["block used differs", "1", "differs between the two sides"]);
  find("legend").append(...entries.map(([name, sample, meaning]) => element("li", {}, element("span", { class: name, "aria-hidden": "true" }, sample), meaning)));
}

function fillSteps() {
  find("steps").hidden = find("marks").hidden = !data.steps.length;
  const last = data.steps.length - 1;
  find("list").append(...data.steps.map((step, at) => element("li", {}, element("button", { tabindex: -1, "data-step": at, ...(at === data.wrong_at ? { class: "wrong" } : {}) }, element("span", {}, String(lineOf(at))), element("span", {}, step.says)))));
  find("slider").max = Math.max(last, 0);
  const marked = data.wrong_at !== null && last > 0;
  find("mark").hidden = !marked;
  // The thumb's middle runs from half its width to half its width before the end.
  if (marked) find("mark").style.left = `calc(8px + (100% - 16px) * ${data.wrong_at / last})`;
  find("jump").hidden = data.wrong_at === null;
}

function listen() {
  find("slider").addEventListener("input", (event) => show(Number(event.target.value)));
  find("previous").addEventListener("click", () => show(current - 1));
  find("next").addEventListener("click", () => show(current + 1));
  find("jump").addEventListener("click", () => show(data.wrong_at));
  find("list").addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (button) show(Number(button.dataset.step), false);
  });
  document.addEventListener("keydown", (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    const to = { ArrowLeft: current - 1, ArrowRight: current + 1, Home: 0, End: data.steps.length - 1, d: data.wrong_at }[event.key];
    if (to === undefined || to === null) return;
    event.preventDefault();
    show(to);
  });
  find("step").addEventListener("pointerover", (event) => {
    const pointed = event.target.closest("[data-block]");
    for (const block of find("step").querySelectorAll(".pointed")) block.classList.remove("pointed");
    if (!pointed) return;
    for (const block of find("step").querySelectorAll(`[data-block="${pointed.dataset.block}"]`)) block.classList.add("pointed");
    find("about").textContent = pointed.title;
  });
}

fill();
listen();
show(data.wrong_at ?? 0);
