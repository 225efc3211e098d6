// What the page says: a passing notice, a lasting banner, the line of status.

import { label, t } from "./i18n.js";

const SHOWN_MS = 6000;
const READ_MS = 90; // a letter, for whoever reads slowly
const MARGIN = 8;
const TOOLS = 170; // pixels at the roll's right, where its buttons are
const $ = (id) => document.getElementById(id);

/** One sentence for some seconds; with an action, or if it is long, longer. It stays while the pointer or the focus is on it. */
export function notify(text, action = null) {
  const list = place();
  const notice = document.createElement("div");
  notice.className = "notice";
  const words = document.createElement("p");
  words.textContent = text;
  notice.append(words);
  if (action) notice.append(button(action.text, () => { notice.remove(); action.run(); }));
  notice.append(dismissal(notice));
  while (list.children.length > 2) list.firstChild.remove();
  list.append(notice);
  const away = () => {
    if (notice.matches(":hover, :focus-within")) setTimeout(away, 1000);
    else notice.remove();
  };
  setTimeout(away, Math.max(action ? 2 * SHOWN_MS : SHOWN_MS, READ_MS * text.length));
}

function button(text, run) {
  const element = document.createElement("button");
  element.type = "button";
  element.textContent = text;
  element.onclick = run;
  return element;
}

function dismissal(notice) {
  const element = button("", () => notice.remove());
  element.innerHTML = '<svg><use href="#i-close"/></svg>';
  label(element, t("close"));
  return element;
}

/** Over the top of the roll, or of the window if the roll is not in sight; in an open dialog, beyond which nothing can be pressed. */
function place() {
  const list = $("notices");
  const host = document.querySelector("dialog[open]") ?? document.body;
  if (list.parentElement !== host) {
    host.append(list);
    if (host !== document.body) host.addEventListener("close", () => document.body.append(list), { once: true }); // still to be read, and pressed
  }
  const stage = (host === document.body ? [$("roll"), $("takes")].find((element) => element && !element.hidden) : null) ?? host;
  const box = stage.getBoundingClientRect();
  const seen = host === document.body && box.bottom > 120;
  list.style.top = `${seen ? Math.max(MARGIN, box.top + MARGIN) : MARGIN}px`;
  list.style.left = `${Math.max(MARGIN, box.left + MARGIN)}px`;
  list.style.width = `${Math.min(innerWidth, box.right) - Math.max(0, box.left) - 2 * MARGIN - (seen && box.width > 600 ? TOOLS : 0)}px`;
  return list;
}

/** A fault in one friendly sentence. */
export function complain(error) {
  if (error.name === "AbortError") return;
  if (error.code === "offline") {
    dispatchEvent(new Event("offline-studio"));
    return;
  }
  if (!error.code) console.error(error);
  notify(t(`e_${error.code ?? "internal_error"}`, { message: error.message, ...error.values }));
}

const banners = new Set();

/** What lasts, until it is over: the latest of it. */
export function banner(key, on = true) {
  banners.delete(key);
  if (on) banners.add(key);
  const shown = [...banners].at(-1);
  const element = $("banner");
  element.hidden = !shown;
  element.dataset.t = shown ?? "";
  element.textContent = shown ? t(shown) : "";
}

export function status(text, busy = false) {
  const element = $("status");
  if (element.textContent !== text) element.textContent = text;
  element.classList.toggle("busy", busy);
}
