// What the page says: a passing notice, a lasting banner, the line of status.

import { t } from "./i18n.js";

const SHOWN_MS = 6000;
const READ_MS = 90; // a letter, for whoever reads slowly
const list = () => document.getElementById("notices");

/** One sentence for some seconds; with an action, or if it is long, longer. */
export function notify(text, action = null) {
  const notice = document.createElement("div");
  notice.className = "notice";
  const words = document.createElement("p");
  words.textContent = text;
  notice.append(words);
  if (action) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = action.text;
    button.onclick = () => {
      notice.remove();
      action.run();
    };
    notice.append(button);
  }
  while (list().children.length > 2) list().firstChild.remove();
  list().append(notice);
  setTimeout(() => notice.remove(), Math.max(action ? 2 * SHOWN_MS : SHOWN_MS, READ_MS * text.length));
}

/** A fault in one friendly sentence. */
export function complain(error) {
  if (error.name === "AbortError") return;
  if (error.code === "offline") {
    dispatchEvent(new Event("offline-studio"));
    return;
  }
  if (!error.code) console.error(error);
  notify(t(`e_${error.code ?? "our_fault"}`, { message: error.message, ...error.values }));
}

const banners = new Set();

/** What lasts, until it is over: the latest of it. */
export function banner(key, on = true) {
  banners.delete(key);
  if (on) banners.add(key);
  const shown = [...banners].at(-1);
  const element = document.getElementById("banner");
  element.hidden = !shown;
  element.dataset.t = shown ?? "";
  element.textContent = shown ? t(shown) : "";
}

export function status(text, busy = false) {
  const element = document.getElementById("status");
  if (element.textContent !== text) element.textContent = text;
  element.classList.toggle("busy", busy);
}
