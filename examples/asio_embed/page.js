// SPDX-License-Identifier: BSD-3-Clause
// Draws the samples that come over the WebSocket at /feed; sample_text.hpp shows one. Counters count from the program's
// start, and rates are made of two samples here, so that one that was passed over changes nothing.
"use strict";

const at = (id) => document.getElementById(id);
const whole = new Intl.NumberFormat("en", {maximumFractionDigits: 0});
const short = new Intl.NumberFormat("en", {maximumFractionDigits: 1});
const rate = (number) => (number < 100 ? short : whole).format(number);
const calm = matchMedia("(prefers-reduced-motion: reduce)");

const least_step = 200;      // milliseconds between two points of the chart: so many points suffice
const longest_span = 300;    // seconds that are kept
const points = [];           // {ms, rx, tx, drop, rx_bits, tx_bits, drops}, of which the last is shown as the rates
let latest = null;           // the last sample
let base = null;             // the sample of the last point
let drawing = false;         // one is asked for
let drawn_at = -Infinity;
let paused = false;
let retry_ms = 500;

const sum = (counts) => Object.values(counts).reduce((all, each) => all + each, 0);

function put(id, text) {
  const element = at(id);
  if (element.textContent !== text) { element.textContent = text; }
}

// Keeps a sample, and makes a point of it and the one before.
function take(sample) {
  if (points.length !== 0 && sample.ms < points.at(-1).ms) { points.length = 0; }  // the program was started again
  latest = sample;
  if (base === null) {
    base = sample;
    return;
  }
  const seconds = (sample.ms - base.ms) / 1000;
  if (seconds * 1000 < least_step) { return; }
  const drops = {};
  for (const [reason, count] of Object.entries(sample.drops)) { drops[reason] = (count - (base.drops[reason] ?? 0)) / seconds; }
  points.push({
    ms: sample.ms,
    rx: (sample.rx.packets - base.rx.packets) / seconds,
    tx: (sample.tx.packets - base.tx.packets) / seconds,
    rx_bits: (sample.rx.bytes - base.rx.bytes) * 8 / seconds,
    tx_bits: (sample.tx.bytes - base.tx.bytes) * 8 / seconds,
    drop: (sum(sample.drops) - sum(base.drops)) / seconds,
    drops,
  });
  base = sample;
  while (points[0].ms < sample.ms - longest_span * 1000) { points.shift(); }
}

function bits(number) {
  for (const [unit, size] of [["Gbit/s", 1e9], ["Mbit/s", 1e6], ["kbit/s", 1e3]]) {
    if (number >= size) { return short.format(number / size) + " " + unit; }
  }
  return whole.format(number) + " bit/s";
}

function draw_rates() {
  for (const way of ["rx", "tx"]) { put(way + "-total", whole.format(latest[way].packets)); }
  put("drop-total", whole.format(sum(latest.drops)));
  for (const kind of ["arp", "icmp", "udp"]) { put(kind, whole.format(latest.replies[kind])); }
  const now = points.at(-1);
  if (now === undefined) { return; }
  for (const way of ["rx", "tx", "drop"]) { put(way + "-rate", rate(now[way])); }
  for (const way of ["rx", "tx"]) { put(way + "-bits", bits(now[way + "_bits"])); }
}

function make(name, attributes, parent) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) { element.setAttribute(key, value); }
  return parent.appendChild(element);
}

// The least of 1, 2 and 5 times a power of ten that is not below `most`.
function round_up(most) {
  const power = 10 ** Math.floor(Math.log10(Math.max(most, 1)));
  return [1, 2, 5, 10].map((each) => each * power).find((each) => each >= most);
}

function draw_chart() {
  const chart = at("chart");
  const width = chart.clientWidth, height = chart.clientHeight;
  const span = Number(at("span").value);
  const end = points.length === 0 ? 0 : points.at(-1).ms;
  const seen = points.filter((each) => each.ms >= end - span * 1000);
  const top = round_up(seen.reduce((most, each) => Math.max(most, each.rx, each.tx, each.drop), 1));
  const left = 12 + 8 * whole.format(top).length, right = width - 8, high = 12, low = height - 26;
  const x = (ms) => right - (end - ms) / (span * 1000) * (right - left);
  const y = (number) => low - number / top * (low - high);
  chart.setAttribute("viewBox", `0 0 ${width} ${height}`);
  chart.replaceChildren();
  for (const part of [0, 0.5, 1]) {
    const level = y(part * top);
    make("line", {x1: left, x2: right, y1: level, y2: level}, chart);
    make("text", {x: left - 6, y: level + 4, "text-anchor": "end"}, chart).textContent = short.format(part * top);
  }
  make("text", {x: left, y: height - 6}, chart).textContent = `${span} s ago`;
  make("text", {x: right, y: height - 6, "text-anchor": "end"}, chart).textContent = "now";
  for (const way of ["drop", "rx", "tx"]) {
    const line = seen.map((each) => `${x(each.ms).toFixed(1)},${y(each[way]).toFixed(1)}`).join(" ");
    make("polyline", {class: way, points: line}, chart);
  }
  const mean = (way) => rate(seen.reduce((all, each) => all + each[way], 0) / Math.max(seen.length, 1));
  chart.setAttribute("aria-label", `Lines of the last ${span} seconds. Packets per second in the mean: ` +
                     `${mean("rx")} received, ${mean("tx")} sent, ${mean("drop")} dropped.`);
}

// Rows stay where they are: a reason gets one when it first occurs.
function draw_drops() {
  const body = at("drops");
  const rates = points.at(-1)?.drops ?? {};
  for (const [reason, count] of Object.entries(latest.drops)) {
    let row = at("drop-" + reason);
    if (row === null) {
      row = body.insertRow();
      row.id = "drop-" + reason;
      const name = row.appendChild(document.createElement("th"));
      name.scope = "row";
      name.textContent = reason.replaceAll("_", " ");
      row.insertCell();
      row.insertCell();
    }
    row.cells[1].textContent = whole.format(count);
    row.cells[2].textContent = rate(rates[reason] ?? 0);
  }
  at("no-drops").hidden = body.rows.length !== 0;
}

function draw_frames() {
  const {all, ...places} = latest.frames;
  for (const [place, count] of Object.entries(places)) {
    put("frames-" + place, whole.format(count));
    document.querySelector("#census ." + place).style.width = 100 * count / all + "%";
  }
  put("frames-sum", `${whole.format(sum(places))} of ${whole.format(all)}`);
  for (const [ring, {used, size}] of Object.entries(latest.rings)) {
    at("ring-" + ring).max = size;
    at("ring-" + ring).value = used;
    put(`ring-${ring}-text`, `${whole.format(used)} of ${whole.format(size)}`);
  }
}

function draw() {
  drawing = false;
  if (paused || latest === null) { return; }
  drawn_at = performance.now();
  draw_rates();
  draw_chart();
  draw_drops();
  draw_frames();
  put("source", latest.source);
  put("viewers", whole.format(latest.feed.viewers));
  put("skipped", whole.format(latest.feed.skipped));
}

// At most once a frame of the screen; every two seconds for those who want little motion.
function ask_to_draw() {
  if (drawing) { return; }
  drawing = true;
  const wait = calm.matches ? drawn_at + 2000 - performance.now() : 0;
  if (wait > 0) {
    setTimeout(() => requestAnimationFrame(draw), wait);
  } else {
    requestAnimationFrame(draw);
  }
}

function connect() {
  const socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/feed`);
  socket.addEventListener("open", () => {
    retry_ms = 500;
    base = null;
    at("drops").replaceChildren();
    put("state", "Connected.");
  });
  socket.addEventListener("message", (event) => {
    take(JSON.parse(event.data));
    ask_to_draw();
  });
  socket.addEventListener("close", () => {
    put("state", "Not connected: the program has ended or does not answer. What is shown is old; the page tries again.");
    setTimeout(connect, retry_ms);
    retry_ms = Math.min(2 * retry_ms, 8000);
  });
}

at("pause").addEventListener("click", () => {
  paused = !paused;
  at("pause").setAttribute("aria-pressed", String(paused));
  if (!paused) { ask_to_draw(); }
});
at("span").addEventListener("change", ask_to_draw);
addEventListener("resize", ask_to_draw);
put("state", "Connecting.");
connect();
