// How to compose: two sliders for everyone, and four numbers for those who want them.

import { t } from "./i18n.js";
import { ApiError } from "./api.js";

const $ = (id) => document.getElementById(id);
const LENGTHS = [15, 30, 45, 60, 90, 120, 180, 300, 600];
const FIELDS = ["temperature", "top-p", "min-p", "seed"];
const NAMES = { temperature: "temperature", "top-p": "topP", "min-p": "minP", seed: "seed" };

/** Calm ... wild, 0 to 100: the temperature from 0.9 to 1.12, and with heat a floor under unlikely events. */
export function filtersOf(mood) {
  const temperature = mood <= 50 ? 0.9 + (mood / 50) * 0.1 : 1 + ((mood - 50) / 50) * 0.12;
  return { temperature: Math.round(temperature * 100) / 100, min_p: mood > 50 ? Math.round(((mood - 50) / 50) * 2) / 100 : 0 };
}

export function prepare() {
  $("mood").addEventListener("input", () => {
    const filters = filtersOf(Number($("mood").value));
    $("temperature").value = filters.temperature;
    $("min-p").value = filters.min_p;
    show();
  });
  $("length").addEventListener("input", show);
  show();
}

export function show() {
  const mood = Number($("mood").value);
  const word = t(`mood${mood < 15 ? 0 : mood < 40 ? 1 : mood <= 60 ? 2 : mood <= 85 ? 3 : 4}`);
  const seconds = LENGTHS[$("length").value];
  const length = seconds < 60 ? t("lengthShort", { n: seconds }) : seconds === 60 ? t("lengthOne") : t("lengthLong", { n: (seconds / 60).toLocaleString(document.documentElement.lang) });
  $("mood-out").textContent = word;
  $("mood").setAttribute("aria-valuetext", word);
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
