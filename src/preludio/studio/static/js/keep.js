// Title, star, downloads, link, history.

import * as api from "./api.js";
import { change, send, unsent } from "./changes.js";
import { clock, current, t, titleOf } from "./i18n.js";
import { complain, notify } from "./notices.js";

const $ = (id) => document.getElementById(id);

export class Keep {
  constructor(studio) {
    this.studio = studio;
    $("title").addEventListener("change", () => this.#rename());
    $("title").addEventListener("keydown", (event) => {
      if (event.key === "Enter") $("title").blur();
      if (event.key === "Escape") { $("title").value = titleOf(studio.piece); $("title").blur(); }
    });
    $("star").onclick = () => this.#change({ starred: !studio.piece.starred });
    $("copy-link").onclick = () => this.#copyLink();
    $("delete").onclick = () => { $("keep").open = false; studio.library.remove(studio.piece); };
    for (const link of $("keep").querySelectorAll("[data-format]")) link.addEventListener("click", (event) => this.#download(event, link));
    addEventListener("pointerdown", (event) => { if (!$("keep").contains(event.target)) $("keep").open = false; });
    $("keep").addEventListener("keydown", (event) => {
      if (event.key !== "Escape") return;
      $("keep").open = false;
      $("keep").querySelector("summary").focus();
    });
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
    $("keep").open = false;
  }

  /** By hand, so that the page can say that it takes a while, or that it failed. */
  async #download(event, link) {
    event.preventDefault();
    if (link.ariaDisabled === "true") return;
    link.ariaDisabled = "true";
    const words = link.textContent;
    link.textContent = t("preparing");
    try {
      const answer = await api.download(api.downloadPath(this.studio.piece.id, link.dataset.format));
      const name = decodeURIComponent(answer.headers.get("content-disposition")?.match(/filename\*?=(?:utf-8'')?"?([^";]+)/i)?.[1] ?? `preludio.${link.dataset.format}`);
      const anchor = document.createElement("a");
      anchor.href = URL.createObjectURL(await answer.blob());
      anchor.download = name;
      anchor.click();
      setTimeout(() => URL.revokeObjectURL(anchor.href), 60_000);
    } catch (error) {
      complain(error instanceof TypeError ? new api.ApiError("offline") : error);
    } finally {
      link.textContent = words;
      link.ariaDisabled = "false";
    }
  }

  show(piece) {
    if (!piece) return;
    for (const link of $("keep").querySelectorAll("[data-format]")) link.href = api.downloadPath(piece.id, link.dataset.format);
    const versions = piece.history ?? [];
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
