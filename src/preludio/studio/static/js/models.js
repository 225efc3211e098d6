// Which model composes: those that the studio has, with their licences.

import * as api from "./api.js";
import { t } from "./i18n.js";
import { complain } from "./notices.js";
import { recall, remember } from "./settings.js";

const $ = (id) => document.getElementById(id);

export class Models {
  constructor() {
    this.list = [];
    $("model").addEventListener("change", () => {
      remember("model", $("model").value);
      this.words();
    });
  }

  async load() {
    try {
      this.list = await api.models();
    } catch (error) {
      complain(error);
      return;
    }
    $("model").replaceChildren(...this.list.map(({ name }) => new Option(name, name)));
    const before = recall("model");
    if (this.list.some(({ name }) => name === before)) $("model").value = before;
    this.words();
  }

  /** The name of the one that is chosen; null for the studio's own choice. */
  get chosen() {
    return $("model").value || null;
  }

  words() {
    const model = this.list.find(({ name }) => name === $("model").value);
    if (!model) return;
    const values = { millions: (model.parameters / 1e6).toLocaleString(document.documentElement.lang, { maximumFractionDigits: 1 }), data: model.data || t("notSaid"), licence: model.licence || t("notSaid") };
    $("model-text").textContent = t("modelText", values);
  }

  /** Under which licence the weights are that composed something. */
  licence(name) {
    const model = this.list.find((each) => each.name === name);
    return model ? t("licenceModel", { name, licence: model.licence || t("notSaid"), data: model.data || t("notSaid") }) : t("licenceUnknown");
  }
}
