// My pieces: find, open, star, delete, bring back.

import * as api from "./api.js";
import { clock, current, label, t, titleOf } from "./i18n.js";
import { complain, notify } from "./notices.js";

const $ = (id) => document.getElementById(id);

export class Library {
  /** open(id) shows a piece; gone(id) when one was deleted. */
  constructor({ open, gone, shown }) {
    Object.assign(this, { open, gone, shown });
    $("library-open").onclick = () => this.show();
    $("library-close").onclick = () => $("library").close();
    $("library").addEventListener("click", (event) => { if (event.target === $("library")) $("library").close(); });
    $("search").addEventListener("input", () => this.refresh());
    $("only-starred").addEventListener("change", () => this.refresh());
  }

  async show() {
    if (!$("library").open) $("library").showModal();
    await this.refresh();
  }

  async refresh() {
    if (!$("library").open) return;
    const search = $("search").value.trim();
    const starred = $("only-starred").checked;
    this.asked = [search, starred].join();
    try {
      const pieces = await api.pieces(search, starred);
      if (this.asked !== [search, starred].join()) return; // another letter was typed meanwhile
      $("pieces").replaceChildren(...pieces.map((piece) => this.#row(piece)));
      $("no-pieces").hidden = pieces.length > 0;
      $("no-pieces").textContent = t(search || starred ? "noneFound" : "noPieces");
    } catch (error) {
      complain(error);
    }
  }

  #row(piece) {
    const row = document.createElement("li");
    row.classList.toggle("shown", piece.id === this.shown());
    const link = document.createElement("a");
    link.href = `/p/${piece.id}`;
    const title = document.createElement("span");
    title.textContent = titleOf(piece);
    const facts = document.createElement("small");
    const when = new Date(piece.changed_ms).toLocaleString(current(), { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" });
    facts.textContent = `${clock(piece.end_ms)} · ${when}`;
    link.append(title, facts);
    link.onclick = (event) => {
      if (event.metaKey || event.ctrlKey || event.shiftKey) return;
      event.preventDefault();
      $("library").close();
      this.open(piece.id);
    };
    row.append(link, this.#icon("star", "star", piece, () => this.#star(piece)), this.#icon("bin", "delete", piece, () => this.remove(piece)));
    return row;
  }

  #icon(name, key, piece, run) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "quiet icon";
    button.innerHTML = `<svg><use href="#i-${name}"/></svg>`;
    label(button, `${t(key)}: ${titleOf(piece)}`);
    if (name === "star") {
      button.setAttribute("aria-pressed", piece.starred);
      button.classList.toggle("star-on", piece.starred);
    }
    button.onclick = run;
    return button;
  }

  async #star(piece) {
    try {
      const changed = await api.change(piece.id, { starred: !piece.starred });
      dispatchEvent(new CustomEvent("piece-changed", { detail: changed }));
      await this.refresh();
    } catch (error) {
      complain(error);
    }
  }

  async remove(piece) {
    try {
      await api.remove(piece.id);
    } catch (error) {
      complain(error);
      return;
    }
    this.gone(piece.id);
    await this.refresh();
    notify(t("deleted", { title: titleOf(piece) }), { text: t("undo"), run: () => this.#restore(piece.id) });
  }

  async #restore(id) {
    try {
      await api.restore(id);
      notify(t("restored"));
      await this.open(id);
      await this.refresh();
    } catch (error) {
      complain(error);
    }
  }
}
