// Files to take away, straight from the server to the disk: nothing of them is held in the page. And under which licences they are.

import * as api from "./api.js";
import { t } from "./i18n.js";
import { complain } from "./notices.js";

const $ = (id) => document.getElementById(id);
const links = () => $("download").querySelectorAll("[data-format]");

export class Downloads {
  constructor(studio, models) {
    this.studio = studio;
    this.models = models;
    for (const link of links()) link.addEventListener("click", (event) => this.#download(event, link));
  }

  /** Asked first whether it can be had, so that the page says in a sentence why not. */
  async #download(event, link) {
    event.preventDefault();
    const path = api.downloadPath(this.studio.piece.id, link.dataset.format);
    try {
      await api.check(path);
    } catch (error) {
      complain(error);
      return;
    }
    const anchor = document.createElement("a");
    anchor.href = path;
    anchor.download = "";
    anchor.click();
    $("download").open = false;
  }

  show(piece) {
    $("download").hidden = !piece;
    if (!piece) return;
    for (const link of links()) link.href = api.downloadPath(piece.id, link.dataset.format);
    $("licence").textContent = [...this.#licences(piece), t("licencePiano")].join(" ");
  }

  /** A sentence for each model that composed a part of what is shown. */
  #licences(piece) {
    const versions = new Map((piece.history ?? []).map((version) => [version.id, version]));
    const names = new Set();
    for (let version = versions.get(piece.head); version; version = versions.get(version.parent)) {
      if (version.kind === "compose" || version.kind === "again") names.add(version.options?.model ?? "");
      else if (version.kind === "duet") names.add("");
    }
    return [...names].map((name) => this.models.licence(name));
  }
}
