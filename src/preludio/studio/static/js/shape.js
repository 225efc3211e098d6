// How to compose: two sliders for everyone, and four numbers for those who want them.

import { t } from "./i18n.js";
import { ApiError } from "./api.js";
import { noteFields } from "./settings.js";

const $ = (id) => document.getElementById(id);
const LENGTHS = [15, 30, 45, 60, 90, 120, 180, 300, 600];
const FIELDS = ["temperature", "top-p", "min-p", "seed"];
const NAMES = { temperature: "temperature", "top-p": "topP", "min-p": "minP", seed: "seed" };

/** Likelier ... more surprising events, 0 to 100: the temperature from 0.9 to 1.12, and above 1 a floor under unlikely events. */
export function filtersOf(surprise) {
  const temperature = surprise <= 50 ? 0.9 + (surprise / 50) * 0.1 : 1 + ((surprise - 50) / 50) * 0.12;
  return { temperature: Math.round(temperature * 100) / 100, min_p: surprise > 50 ? Math.round(((surprise - 50) / 50) * 2) / 100 : 0 };
}

export function prepare() {
  $("surprise").addEventListener("input", () => {
    const filters = filtersOf(Number($("surprise").value));
    $("temperature").value = filters.temperature;
    $("min-p").value = filters.min_p;
    noteFields("temperature", "min-p");
    show();
  });
  $("length").addEventListener("input", show);
  show();
}

/** How much is composed, in milliseconds. */
export const lengthMs = () => LENGTHS[$("length").value] * 1000;

export function show() {
  const surprise = Number($("surprise").value);
  const word = t(`surprise${surprise < 15 ? 0 : surprise < 40 ? 1 : surprise <= 60 ? 2 : surprise <= 85 ? 3 : 4}`);
  const seconds = LENGTHS[$("length").value];
  const length = seconds < 60 ? t("lengthShort", { n: seconds }) : seconds === 60 ? t("lengthOne") : t("lengthLong", { n: (seconds / 60).toLocaleString(document.documentElement.lang) });
  $("surprise-out").textContent = word;
  $("surprise").setAttribute("aria-valuetext", word);
  $("length-out").textContent = length;
  $("length").setAttribute("aria-valuetext", length);
}

/** The wish as the API takes it. Throws ApiError "bad_number" for a number that cannot be. */
export function wish() {
  for (const id of FIELDS) {
    const field = $(id);
    if (field.validity.rangeOverflow || field.validity.rangeUnderflow || field.validity.badInput || (id === "seed" ? field.validity.stepMismatch : field.value === "")) {
      field.closest("details").open = true;
      field.focus();
      const error = new ApiError("bad_number");
      error.values = { name: t(NAMES[id]), min: field.min, max: field.max };
      throw error;
    }
  }
  const seed = $("seed").value === "" ? null : Number($("seed").value);
  return { seconds: LENGTHS[$("length").value], temperature: Number($("temperature").value), top_p: Number($("top-p").value), min_p: Number($("min-p").value), seed };
}

export const takes = () => Number(document.querySelector("input[name=takes]:checked").value);
