// Inputs: each is { node, read() -> value or undefined, write(value) }.

import { h } from "./dom.js";

const FEW = 24;
let made = 0;

const fresh = () => `field-${(made += 1)}`;

export function labelled(label, control, note) {
  const input = control.input;
  input.id ||= fresh();
  const told = note ? h("p", { class: "note", id: `${input.id}-note` }, note) : null;
  if (told) input.setAttribute("aria-describedby", told.id);
  return { ...control, node: h("div", { class: "field" }, h("label", { for: input.id }, label), control.node ?? input, told) };
}

export function text({ placeholder, values, name } = {}) {
  const [list, attributes] = suggestions(values);
  const input = h("input", { type: "text", placeholder, name, spellcheck: "false", ...attributes });
  return {
    input,
    node: list ? h("span", { class: "with-list" }, input, list) : input,
    read: () => input.value.trim() || undefined,
    write: (value) => { input.value = value ?? ""; },
  };
}

export function number({ placeholder, min, max, step = "any" } = {}) {
  const input = h("input", { type: "number", inputmode: "decimal", placeholder, min, max, step });
  return {
    input,
    read: () => (input.value === "" ? undefined : Number(input.value)),
    write: (value) => { input.value = value ?? ""; },
  };
}

/** One of a closed set: a list to choose from where it is short, else a text with suggestions. */
export function choice({ values = [], any = "any" } = {}) {
  if (!values.length || values.length > FEW) return text({ values });
  const input = h("select", {}, h("option", { value: "" }, any), values.map((value) => h("option", { value: String(value) }, String(value))));
  return {
    input,
    read: () => input.value || undefined,
    write: (value) => {
      const wanted = String(value ?? "");
      if (wanted && ![...input.options].some((option) => option.value === wanted)) input.append(h("option", { value: wanted }, wanted));
      input.value = wanted;
    },
  };
}

export function tick(label) {
  const input = h("input", { type: "checkbox", id: fresh() });
  return {
    input,
    node: h("label", { class: "tick", for: input.id }, input, label),
    read: () => input.checked,
    write: (value) => { input.checked = Boolean(value); },
  };
}

/** Several values: Enter adds what is written, Backspace in an empty field takes the last one away. */
export function several({ values, placeholder = "add, then Enter", label } = {}) {
  const [list, attributes] = suggestions(values);
  const input = h("input", { type: "text", placeholder, spellcheck: "false", "aria-label": label, ...attributes });
  const chips = h("ul", { class: "chips" });
  const node = h("div", { class: "several" }, chips, input, list);
  let held = [];
  const changed = () => {
    chips.replaceChildren(...held.map((value) => h("li", {}, value, remove(value))));
    chips.hidden = !held.length;
  };
  const tell = () => node.dispatchEvent(new Event("input", { bubbles: true }));
  const remove = (value) =>
    h("button", { type: "button", "aria-label": `Remove ${value}`, onclick: () => { held = held.filter((each) => each !== value); changed(); tell(); input.focus(); } }, "×");
  const add = () => {
    const value = input.value.trim();
    input.value = "";
    if (!value || held.includes(value)) return;
    held.push(value);
    changed();
    tell();
  };
  input.addEventListener("keydown", (event) => {
    if (event.isComposing) return;
    if (event.key === "Enter" && input.value.trim()) {
      event.preventDefault();
      add();
    } else if (event.key === "Backspace" && !input.value && held.length) {
      held.pop();
      changed();
      tell();
    }
  });
  input.addEventListener("input", (event) => {
    event.stopPropagation(); // nothing is asked until it is added
    if (event.inputType === "insertReplacementText") add();
  });
  input.addEventListener("blur", add);
  changed();
  return {
    input,
    node,
    read: () => (held.length ? [...held] : undefined),
    write: (value) => { held = [value ?? []].flat().map(String); changed(); },
  };
}

function suggestions(values) {
  if (!values?.length) return [null, {}];
  const list = h("datalist", { id: fresh() }, values.map((value) => h("option", { value: String(value) })));
  return [list, { list: list.id }];
}
