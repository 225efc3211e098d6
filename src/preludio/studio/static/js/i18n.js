// Words. Each language is a file with the same keys; the browser's language chooses, and the switch overrules it.

const LANGUAGES = ["en", "es"];
let words = {};
let language = "en";

export const current = () => language;

export function t(key, values = {}) {
  return (words[key] ?? key).replace(/\{(\w+)\}/g, (_, name) => values[name] ?? "");
}

export function preferred() {
  const stored = localStorage.getItem("preludio.language");
  if (LANGUAGES.includes(stored)) return stored;
  const wanted = (navigator.languages ?? [navigator.language]).map((name) => name.slice(0, 2).toLowerCase());
  return wanted.find((name) => LANGUAGES.includes(name)) ?? "en";
}

export async function speak(name, root = document) {
  const answer = await fetch(`/static/lang/${name}.json`);
  if (!answer.ok) throw new Error(`no language ${name}`);
  words = await answer.json();
  language = name;
  document.documentElement.lang = name;
  translate(root);
}

export function translate(root) {
  for (const element of root.querySelectorAll("[data-t]")) element.textContent = t(element.dataset.t);
  for (const element of root.querySelectorAll("[data-t-placeholder]")) element.placeholder = t(element.dataset.tPlaceholder);
  for (const element of root.querySelectorAll("[data-t-label]")) label(element, t(element.dataset.tLabel));
}

export function label(element, text) {
  element.setAttribute("aria-label", text);
  if (element.matches("button")) element.title = text;
}

export function clock(ms) {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
}

/** To the tenth of a second. */
export function fine(ms) {
  const tenths = Math.max(0, Math.round(ms / 100));
  const mark = (0.1).toLocaleString(language).charAt(1);
  return `${clock(tenths * 100)}${mark}${tenths % 10}`;
}

export function titleOf(piece) {
  return piece.title || t("untitled", { n: piece.number });
}
