// What the plots, lines and cells of the page are made of: functions of their arguments alone.
"use strict";

const POINTS = 120;
const WIDTH = 240;
const HEIGHT = 40;

function sum(counts, wanted) {
  return Object.keys(counts).filter(wanted).reduce((total, name) => total + counts[name], 0);
}

// The counters of a status that plots are made of; `drops`: names of the verdicts that drop.
// A lookup by `dispatch` is no further packet.
function counters(status, drops) {
  const vips = new Map(status.vips.map((vip) => [vip.name, {
    requests: vip.traffic.requests,
    packets: sum(vip.verdicts, (name) => !name.startsWith("dispatch_")),
    dropped: sum(vip.verdicts, (name) => drops.includes(name)),
  }]));
  const dropped = [...vips.values()].reduce((total, vip) => total + vip.dropped, 0);
  const { requests, answers } = status.traffic;
  return { total: { requests, errors: answers["5xx"] || 0, dropped }, vips };
}

// Null is "not known": a counter that went back, or was not there, says nothing about a rate.
function rate(now, before, seconds) {
  return before === undefined || now < before ? null : (now - before) / seconds;
}

function differences(now, before, seconds) {
  const names = Object.keys(now);
  return Object.fromEntries(names.map((name) => [name, rate(now[name], before?.[name], seconds)]));
}

// Rates between two statuses; null when they are not of one process, one after the other. Its own
// uptime is the clock: a late answer does not look like a burst.
function rates(before, now, drops) {
  const seconds = before ? now.process.uptime - before.process.uptime : 0;
  if (seconds <= 0 || before.process.pid !== now.process.pid) return null;
  const [old, fresh] = [counters(before, drops), counters(now, drops)];
  const vips = [...fresh.vips].map(([name, vip]) =>
    [name, differences(vip, old.vips.get(name), seconds)]);
  return { total: differences(fresh.total, old.total, seconds), vips: new Map(vips) };
}

// The `d` of a path through the values, the newest at the right; a gap where nothing is known.
function line(values) {
  const top = Math.max(1, ...values);
  let pen = "M";
  return values.map((value, index) => {
    if (value === null) { pen = "M"; return ""; }
    const x = WIDTH - (values.length - 1 - index) * WIDTH / (POINTS - 1);
    const y = HEIGHT - 1 - value / top * (HEIGHT - 2);
    const step = `${pen}${x.toFixed(1)} ${y.toFixed(1)}`;
    pen = "L";
    return step;
  }).join("");
}

function shown(value) {
  if (value === null || value === undefined) return "–";
  return value < 10 && value % 1 ? value.toFixed(1) : String(Math.round(value));
}

// All, and by worker where there are several.
function requests({ requests: all, by_worker: workers }) {
  return workers.length > 1 ? `${all} (${workers.join(" + ")})` : String(all);
}

// Cells that change, by column, of each row of a table; rows are found by the text of their keys.
const TABLES = {
  vips: { key: [0], rows: (status) => status.vips.map((vip) => [[vip.name], {
    4: requests(vip.traffic), 5: Object.keys(vip.verdicts).filter((name) => vip.verdicts[name] > 0)
      .map((name) => `${name} ${vip.verdicts[name]}`).join(", ") }]) },
  routes: { key: [0, 5], rows: (status) => (status.routes?.items || []).map((route) =>
    [[route.host || "", route.id], { 4: route.requests }]) },
  workers: { key: [0], rows: (status) => status.workers.map((worker) => [[worker.index],
    { 2: worker.connections, 3: worker.accepted, 4: worker.requests, 5: worker.panics }]) },
};
