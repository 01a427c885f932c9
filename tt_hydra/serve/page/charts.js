// Charts as inline SVG: each takes plain numbers and the width in pixels that it may fill.

import { figure, svg } from "./dom.js";

const LEFT = 44;
const TOP = 10;
const BOTTOM = 20;

const label = (x, y, text, attributes = {}) => svg("text", { x, y, ...attributes }, text);

function frame(width, height, told, ...children) {
  return svg("svg", { class: "chart", viewBox: `0 0 ${width} ${height}`, width, height, role: "img", "aria-label": told }, children);
}

/** Round steps that cut [low, high] into at most so many parts. */
export function ticks(low, high, parts = 5) {
  const span = high - low || 1;
  const power = 10 ** Math.floor(Math.log10(span / parts));
  const step = [1, 2, 5, 10].map((each) => each * power).find((each) => span / each <= parts * (1 + 1e-9));
  const found = [];
  for (let tick = Math.ceil(low / step - 1e-9) * step; tick <= high + step * 1e-9; tick += step) found.push(Number(tick.toPrecision(12)));
  return found;
}

/**
 * Values over time. series: [{ name, kind, values }] with null for a gap; times in milliseconds;
 * band: { low, high } of the same length; mark: a level that alarms; range: [low, high] of the axis, null for its own.
 */
export function lines({ times, series, band, mark, range = [0, null], width, height = 150, told }) {
  const every = [...series.flatMap(({ values }) => values), ...(band ? [...band.low, ...band.high] : []), mark].filter(Number.isFinite);
  const low = range[0] ?? Math.min(...every);
  const high = range[1] ?? (Math.max(low, ...every) * 1.08 || 1);
  const right = width - 8;
  const bottom = height - BOTTOM;
  const start = times[0];
  const span = Math.max(1, times.at(-1) - start);
  const x = (time) => LEFT + ((right - LEFT) * (time - start)) / span;
  const y = (value) => bottom - ((bottom - TOP) * (value - low)) / (high - low || 1);
  const grid = ticks(low, high, Math.floor(height / 35)).flatMap((tick) => [
    svg("line", { class: "grid", x1: LEFT, x2: right, y1: y(tick), y2: y(tick) }),
    label(LEFT - 6, y(tick) + 4, figure(tick), { "text-anchor": "end" }),
  ]);
  const ends = [label(LEFT, height - 4, clock(start)), label(right, height - 4, clock(times.at(-1)), { "text-anchor": "end" })];
  const shade = band ? svg("path", { class: "band", d: area(times, band, x, y) }) : null;
  const level = Number.isFinite(mark) ? svg("line", { class: "mark", x1: LEFT, x2: right, y1: y(mark), y2: y(mark) }) : null;
  const drawn = series.flatMap(({ kind, values }) => [
    svg("path", { class: `line ${kind}`, d: path(times, values, x, y) }),
    dot(times, values, x, y, kind),
  ]);
  return frame(width, height, told, grid, ends, shade, level, drawn);
}

function dot(times, values, x, y, kind) {
  const last = values.findLastIndex(Number.isFinite);
  return last < 0 ? null : svg("circle", { class: `dot ${kind}`, cx: x(times[last]), cy: y(values[last]), r: 3 });
}

function path(times, values, x, y) {
  let pen = "M";
  const steps = [];
  times.forEach((time, place) => {
    if (!Number.isFinite(values[place])) pen = "M";
    else {
      steps.push(`${pen}${x(time).toFixed(1)} ${y(values[place]).toFixed(1)}`);
      pen = "L";
    }
  });
  return steps.join("");
}

function area(times, { low, high }, x, y) {
  const places = times.map((_, place) => place).filter((place) => Number.isFinite(low[place]) && Number.isFinite(high[place]));
  const at = (values) => (place) => `${x(times[place]).toFixed(1)} ${y(values[place]).toFixed(1)}`;
  return places.length ? `M${[...places.map(at(high)), ...places.reverse().map(at(low))].join("L")}Z` : "";
}

const clock = (time) => new Date(time).toTimeString().slice(0, 8);

/** Percentiles of each phase as one bar each: p50 strong, p95 lighter, p99 lightest. */
export function phases({ rows, width, told }) {
  const height = 34 * rows.length + 4;
  const most = Math.max(...rows.map(({ p99 }) => p99), 1e-9);
  const right = width - 60;
  const start = 62;
  const long = (value) => Math.max(1, ((right - start) * value) / most);
  const drawn = rows.flatMap(({ name, p50, p95, p99 }, place) => {
    const top = 34 * place + 6;
    const bar = (value, kind) => svg("rect", { class: kind, x: start, y: top, width: long(value), height: 18, rx: 3 }, svg("title", {}, `${name} ${kind}: ${figure(value)} ms`));
    return [label(0, top + 13, name, { class: "name" }), bar(p99, "p99"), bar(p95, "p95"), bar(p50, "p50"), label(start + long(p99) + 6, top + 13, `${figure(p99)} ms`)];
  });
  return frame(width, height, told, drawn);
}

/** An estimate with its interval on a scale that ends at 1, and the level below which it alarms. */
export function gauge({ value, low, high, mark, width, told }) {
  const least = Math.max(0, Math.min(0.9, Math.floor(10 * Math.min(low, mark ?? 1)) / 10 - 0.1));
  const start = 14;
  const right = width - 14;
  const x = (each) => start + ((right - start) * (Math.max(each, least) - least)) / (1 - least);
  const scale = ticks(least, 1).map((tick) => label(x(tick), 58, figure(tick), { "text-anchor": "middle" }));
  return frame(width, 64, told,
    svg("rect", { class: "track", x: start, y: 20, width: right - start, height: 16, rx: 4 }),
    svg("rect", { class: "interval", x: x(low), y: 20, width: Math.max(2, x(high) - x(low)), height: 16, rx: 4 }),
    Number.isFinite(mark) ? svg("line", { class: "mark", x1: x(mark), x2: x(mark), y1: 12, y2: 44 }) : null,
    svg("line", { class: "point", x1: x(value), x2: x(value), y1: 15, y2: 41 }), scale);
}

/** Figures beside their thresholds: 1 is where it alarms. */
export function ratios({ rows, width, told }) {
  const height = 34 * rows.length + 18;
  const most = Math.max(1.6, ...rows.map(({ ratio }) => Math.min(ratio, 5)));
  const start = 74;
  const right = width - 48;
  const x = (value) => start + ((right - start) * Math.min(value, most)) / most;
  const drawn = rows.flatMap(({ name, ratio, alarm }, place) => {
    const top = 34 * place + 6;
    return [
      label(0, top + 13, name, { class: "name" }),
      svg("rect", { class: "track", x: start, y: top, width: right - start, height: 18, rx: 3 }),
      svg("rect", { class: alarm ? "over" : "under", x: start, y: top, width: Math.max(1, x(Math.max(0, ratio)) - start), height: 18, rx: 3 }),
      label(right + 6, top + 13, figure(ratio, 2)),
    ];
  });
  return frame(width, height, told, drawn, svg("line", { class: "mark", x1: x(1), x2: x(1), y1: 0, y2: height - 14 }), label(x(1), height - 2, "alarm", { "text-anchor": "middle" }));
}
