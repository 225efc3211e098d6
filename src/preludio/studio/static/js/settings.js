// What a person has set stays set: sliders, boxes and folds, from one visit to the next, in the browser's own storage.

const NAME = "preludio.settings";
const FIELDS = ["volume", "length", "surprise", "temperature", "top-p", "min-p", "tempo", "beats", "count-in", "metronome"];
const FOLDS = ["more"];
const $ = (id) => document.getElementById(id);
const takes = () => document.querySelectorAll("input[name=takes]");

function stored() {
  try {
    return Object(JSON.parse(localStorage.getItem(NAME)));
  } catch {
    return {}; // not ours
  }
}

/** What was set before under a name that is no field; undefined if nothing was. */
export const recall = (name) => stored()[name];

export function remember(name, value) {
  localStorage.setItem(NAME, JSON.stringify({ ...stored(), [name]: value }));
}

/** Sets all as it was left, and remembers it from now on. */
export function prepare() {
  const before = stored();
  for (const id of FIELDS) {
    const field = $(id);
    if (id in before) setField(field, before[id]);
    field.addEventListener("change", () => remember(id, valueOf(field)));
    field.addEventListener("input", () => remember(id, valueOf(field)));
  }
  for (const id of FOLDS) {
    $(id).open = before[id] ?? $(id).open;
    $(id).addEventListener("toggle", () => remember(id, $(id).open));
  }
  for (const radio of takes()) {
    if (before.takes === radio.value) radio.checked = true;
    radio.addEventListener("change", () => remember("takes", radio.value));
  }
}

/** Fields that a script has set. */
export function noteFields(...ids) {
  for (const id of ids) remember(id, valueOf($(id)));
}

const valueOf = (field) => (field.type === "checkbox" ? field.checked : field.value);

function setField(field, value) {
  const fallback = field.value;
  if (field.type === "checkbox") field.checked = Boolean(value);
  else field.value = value;
  if (field.value === "" || !field.checkValidity()) field.value = fallback; // of a version before, or written by another
}
