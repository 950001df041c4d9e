// The live part of the page: plots, fresh numbers, a filter. Without it the tables still stand.
//
// Names and messages are written by whoever may write an Ingress: they become text nodes, never
// markup.

const PERIOD = 1000; // Milliseconds from an answer to the next question.
const PATIENCE = 8000; // Longer than the administration waits for the control side.
const LONGEST = 5000; // Characters of a question.
const PLOTS = [
  ["requests", "Requests per second"],
  ["errors", "Errors (5xx) per second"],
  ["connections", "Open connections"],
  ["dropped", "Dropped packets per second"],
];
const VIP_PLOTS = [["requests", "Requests per second"], ["packets", "Packets per second"], ["dropped", "Dropped per second"]];

function element(name, text, parent) {
  const made = document.createElement(name);
  made.textContent = text;
  parent.append(made);
  return made;
}

// A plot with its number; returns what takes the next value.
function plot(parent, title, name) {
  const number = element("output", "–", parent);
  const space = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(space, "svg");
  const path = document.createElementNS(space, "path");
  svg.setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("role", "img");
  svg.setAttribute("data-plot", name);
  svg.append(path);
  parent.append(svg);
  const values = [];
  const push = (value) => {
    values.push(value);
    if (values.length > POINTS) values.shift();
    number.textContent = shown(value);
    const label = `${title}: ${shown(value)}, highest ${shown(Math.max(0, ...values))}`;
    svg.setAttribute("aria-label", label);
    path.setAttribute("d", line(values));
  };
  push(null);
  return push;
}

function rowsOf(id) {
  return [...document.querySelectorAll(`#${id} > tbody > tr`)];
}

function vipPlots() {
  const head = document.querySelector("#vips > thead > tr");
  if (head) VIP_PLOTS.forEach(([, title]) => element("th", title, head));
  return new Map(rowsOf("vips").map((row) => {
    const vip = row.cells[0].textContent;
    return [vip, VIP_PLOTS.map(([name, title]) =>
      [name, plot(element("td", "", row), `${vip}: ${title}`, name)])];
  }));
}

// What is asked each time: of routes only those whose rows are seen, because a node may have
// thousands, and each costs an answer its bytes.
function question() {
  const asked = new URLSearchParams();
  for (const row of rowsOf("routes")) {
    const { top, bottom } = row.getBoundingClientRect();
    if (row.hidden || bottom <= 0 || top >= innerHeight) continue;
    asked.append("route", row.cells[5]?.textContent ?? "");
    if (asked.toString().length > LONGEST) break;
  }
  asked.set("lists", asked.has("route") ? "routes" : "");
  return asked;
}

function refreshTables(status) {
  for (const [id, { key, rows }] of Object.entries(TABLES)) {
    const fresh = new Map(rows(status).map(([keys, cells]) => [keys.join("\n"), cells]));
    for (const row of rowsOf(id)) {
      const cells = fresh.get(key.map((column) => row.cells[column].textContent).join("\n")) || {};
      for (const [column, value] of Object.entries(cells)) {
        row.cells[column].textContent = value;
      }
    }
  }
}

function refreshConditions({ ready, conditions }) {
  document.title = `Genkan: ${ready ? "ready" : "not ready"}`;
  document.getElementById("state").textContent = ready ? "ready" : "not ready";
  const list = document.getElementById("conditions");
  list.replaceChildren();
  for (const { name, state, message } of conditions) {
    const item = element("li", "", list);
    item.className = state;
    element("b", name, item);
    item.append(` ${message}`);
  }
}

// Hides the rows of hosts, routes, clusters and problems that do not hold the text.
function filterRows(text, count) {
  const wanted = text.toLowerCase();
  const rows = ["problems", "routes", "clusters"].flatMap(rowsOf);
  for (const row of rows) row.hidden = !row.textContent.toLowerCase().includes(wanted);
  const left = rows.filter((row) => !row.hidden).length;
  count.textContent = wanted ? `${left} of ${rows.length} rows` : "";
}

function start(live) {
  const { drops, snapshot } = live.dataset;
  const told = element("p", "", live);
  told.setAttribute("role", "status");
  const figures = element("div", "", live);
  const totals = PLOTS.map(([name, title]) => {
    const figure = element("figure", "", figures);
    element("figcaption", title, figure);
    return [name, plot(figure, title, name)];
  });
  const vips = vipPlots();
  const label = element("label", "filter ", document.getElementById("filter"));
  const field = element("input", "", label);
  const count = element("span", "", label);
  field.type = "search";
  field.addEventListener("input", () => filterRows(field.value, count));

  let [before, timer, answered, asking] = [null, null, new Date(), false];
  const show = (status) => {
    const found = rates(before, status, drops.split(" "));
    const total = { ...found?.total, connections: status.traffic.connections };
    for (const [name, push] of totals) push(total[name] ?? null);
    for (const [vip, plots] of vips) {
      for (const [name, push] of plots) push(found?.vips.get(vip)?.[name] ?? null);
    }
    refreshTables(status);
    refreshConditions(status.readiness);
    const changed = String(status.configuration.snapshot) !== snapshot;
    told.textContent = changed ? "The routes have changed since: reload for new rows." : "";
    before = status;
  };
  const ask = async () => {
    if (asking) return;
    asking = true;
    try {
      const signal = AbortSignal.timeout(PATIENCE);
      const answer = await fetch(`/status?${question()}`, { signal, cache: "no-store" });
      if (!answer.ok) throw new Error((await answer.text()).trim());
      show(await answer.json());
      answered = new Date();
      live.className = "";
    } catch (error) {
      told.textContent = `No answer since ${answered.toLocaleTimeString()}: ${error.message}`;
      live.className = "lost";
      before = null; // What was not seen is a gap.
    }
    asking = false;
    if (!document.hidden) timer = setTimeout(ask, PERIOD);
  };
  document.addEventListener("visibilitychange", () => {
    clearTimeout(timer);
    if (!document.hidden) { before = null; ask(); }
  });
  ask();
}

const place = document.getElementById("live");
if (place) start(place);
