// What stands above the roll: title, star, and the menu with link, history and deletion.

import * as api from "./api.js";
import { change, send, unsent } from "./changes.js";
import { clock, current, t, titleOf } from "./i18n.js";
import { complain, notify } from "./notices.js";

const $ = (id) => document.getElementById(id);

export class Header {
  constructor(studio) {
    this.studio = studio;
    $("title").addEventListener("change", () => this.#rename());
    $("title").addEventListener("keydown", (event) => {
      if (event.key === "Enter") $("title").blur();
      if (event.key === "Escape") { $("title").value = titleOf(studio.piece); $("title").blur(); }
    });
    $("star").onclick = () => this.#change({ starred: !studio.piece.starred });
    $("copy-link").onclick = () => this.#copyLink();
    $("delete").onclick = () => { $("piece-menu").open = false; studio.library.remove(studio.piece); };
    for (const menu of document.querySelectorAll(".menu")) closeByItself(menu);
  }

  #rename() {
    const title = $("title").value.trim();
    if (title === titleOf(this.studio.piece)) return;
    this.#change({ title });
  }

  async #change(changes) {
    const { id } = this.studio.piece;
    try {
      this.#changed(await change(id, changes));
      this.studio.library.refresh();
    } catch (error) {
      complain(error);
      if (unsent().includes(id)) this.#changed({ id, ...changes });
    }
  }

  #changed(facts) {
    dispatchEvent(new CustomEvent("piece-changed", { detail: facts }));
  }

  /** Names and stars that were given while the server was gone, here or in a page before. */
  async resend() {
    for (const id of unsent()) {
      try {
        this.#changed(await send(id));
      } catch (error) {
        complain(error);
        if (error.code === "offline") return;
      }
    }
  }

  async #copyLink() {
    const link = `${location.origin}/p/${this.studio.piece.id}`;
    try {
      await navigator.clipboard.writeText(link);
      notify(t("copied"));
    } catch {
      notify(link); // no clipboard here: to be copied by hand
    }
    $("piece-menu").open = false;
  }

  show(piece) {
    if (!piece) return;
    const versions = withoutIntermediateEdits(piece.history ?? [], piece.head);
    $("history").hidden = versions.length < 2;
    $("history").querySelector("ol").replaceChildren(...versions.toReversed().map((version) => this.#version(version)));
  }

  #version(version) {
    const row = document.createElement("li");
    const button = document.createElement("button");
    button.type = "button";
    button.className = "item";
    const when = new Date(version.created_ms).toLocaleTimeString(current(), { hour: "2-digit", minute: "2-digit" });
    const shown = version.id === this.studio.piece.head;
    const facts = document.createElement("small");
    facts.textContent = shown ? t("now") : `${clock(version.end_ms)} · ${when}`;
    button.append(t(`v_${version.kind}`, { time: clock(version.from_ms) }), facts);
    if (shown) button.setAttribute("aria-current", "true");
    button.onclick = () => this.studio.travel((seen) => api.goTo(seen, version.id));
    row.append(button);
    return row;
  }
}

/** Of a run of edits that were made one after another, the last; and what is shown, whichever it is. */
function withoutIntermediateEdits(versions, head) {
  const editedAgain = new Set(versions.filter((version) => version.kind === "edit").map((version) => version.parent));
  return versions.filter((version) => version.id === head || version.kind !== "edit" || !editedAgain.has(version.id));
}

/** A menu closes when one presses elsewhere, or Escape. */
function closeByItself(menu) {
  addEventListener("pointerdown", (event) => { if (!menu.contains(event.target)) menu.open = false; });
  menu.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    menu.open = false;
    menu.querySelector("summary").focus();
  });
}
