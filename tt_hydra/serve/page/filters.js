// Rows of conditions on the items' columns.

import { h } from "./dom.js";
import { Refused } from "./api.js";
import { several, text } from "./fields.js";

const HOW = { is: "is any of", not: "is none of", gte: "at least", lte: "at most", gt: "more than", lt: "less than" };
const NUMBER = /^(u?int|float|double|decimal|number|integer|numeric)/i;
const MOMENT = /^(date|time)/i;
const BOOLEAN = /^bool/i;

const ordered = (column) => column.kind === "numeric" || NUMBER.test(column.type ?? "") || MOMENT.test(column.type ?? "");

export function filters(columns) {
  const list = h("ul", { class: "filters" });
  const add = h("button", { type: "button", class: "quiet", onclick: () => append({ column: columns[0].name, how: "is", values: [] }).focus() }, "Add a filter");
  const node = h("div", { class: "field" }, h("span", { class: "label" }, "Only items where"), list, columns.length ? add : null);
  let rows = [];
  const tell = () => node.dispatchEvent(new Event("input", { bubbles: true }));
  const append = (condition) => {
    const made = row(columns, condition, () => {
      rows = rows.filter((each) => each !== made);
      made.node.remove();
      tell();
      add.focus();
    });
    rows.push(made);
    list.append(made.node);
    return made;
  };
  return {
    node,
    read: () => rows.map((each) => each.read()).filter(({ values }) => values.length),
    write: (conditions) => {
      rows = [];
      list.replaceChildren();
      conditions.filter(({ column, how }) => HOW[how] && columns.some(({ name }) => name === column)).forEach(append);
    },
  };
}

function row(columns, { column, how, values }, remove) {
  const names = h("select", { "aria-label": "Column" }, columns.map(({ name }) => h("option", { value: name }, name)));
  const ways = h("select", { "aria-label": "Condition" });
  const place = h("span", { class: "value" });
  let value;
  const chosen = () => columns.find(({ name }) => name === names.value);
  const draw = (wanted, given) => {
    ways.replaceChildren(...Object.entries(HOW).filter(([key]) => key === "is" || key === "not" || ordered(chosen())).map(([key, label]) => h("option", { value: key }, label)));
    ways.value = [...ways.options].some((option) => option.value === wanted) ? wanted : "is";
    const many = ways.value === "is" || ways.value === "not";
    const suggested = BOOLEAN.test(chosen().type ?? "") ? ["true", "false"] : chosen().values;
    value = many ? several({ values: suggested, label: "Value" }) : text({ placeholder: "value" });
    value.input.setAttribute("aria-label", "Value");
    value.write(many ? given : given[0]);
    place.replaceChildren(value.node);
  };
  const given = () => [value.read() ?? []].flat();
  names.value = column;
  names.addEventListener("input", () => draw(ways.value, []));
  ways.addEventListener("input", () => draw(ways.value, given()));
  draw(how, values);
  const away = h("button", { type: "button", class: "quiet", "aria-label": "Remove this filter", onclick: remove }, "×");
  return {
    node: h("li", {}, names, ways, away, place),
    focus: () => names.focus(),
    read: () => ({ column: names.value, how: ways.value, values: given() }),
  };
}

/** The conditions as the server takes them. */
export function filterBody(conditions, columns) {
  const body = new Map();
  for (const { column, how, values } of conditions) {
    const cast = values.map((value) => typed(value, columns.find(({ name }) => name === column)));
    const several = cast.length === 1 ? cast[0] : cast;
    const before = body.get(column);
    if (before !== undefined && (how === "is" || Array.isArray(before) || typeof before !== "object")) {
      throw new Refused(`The filter names ${column} twice: "${HOW.is}" stands alone.`);
    }
    body.set(column, how === "is" ? several : { ...before, [how]: how === "not" ? several : cast[0] });
  }
  return Object.fromEntries(body);
}

function typed(value, column) {
  const type = column?.type ?? "";
  if (BOOLEAN.test(type) && /^(true|false)$/i.test(value)) return value.toLowerCase() === "true";
  const number = column?.kind === "numeric" ? !/^(str|utf|object|date|time)/i.test(type) : NUMBER.test(type);
  return number && value.trim() !== "" && Number.isFinite(Number(value)) ? Number(value) : value;
}
