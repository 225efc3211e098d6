// Velocity as colour, in OKLCH, where equal steps look equal; the same hues as in the pictures. By night, loud is bright.

const STEPS = 16;
const RAMPS = {
  light: { composed: [[0.8, 0.13, 78], [0.3, 0.15, -40]], given: [[0.77, 0.03, 250], [0.27, 0.05, 262]], ring: 0.28 },
  dark: { composed: [[0.5, 0.13, -35], [0.88, 0.13, 82]], given: [[0.5, 0.03, 262], [0.88, 0.03, 250]], ring: 0.26 },
};

const ramp = ([from, to]) => Array.from({ length: STEPS }, (_, step) => {
  const share = step / (STEPS - 1);
  return from.map((value, place) => value + (to[place] - value) * share);
});
const css = ([lightness, chroma, hue], alpha = 1) => `oklch(${lightness.toFixed(3)} ${chroma.toFixed(3)} ${((hue + 360) % 360).toFixed(1)} / ${alpha})`;

let tables = {};
let inks = new Map();
let name = "light";

export function choose(theme) {
  name = theme;
  inks = new Map();
  const { composed, given, ring } = RAMPS[theme];
  const of = (pair) => ramp(pair).map((colour) => css(colour));
  const pale = (pair) => ramp(pair).map((colour) => css(colour, ring));
  tables = { note: [of(given), of(composed)], ring: [pale(given), pale(composed)] };
}

const step = (velocity) => Math.min(STEPS - 1, Math.max(0, Math.floor(((velocity - 20) / 90) * STEPS)));
export const noteColour = (velocity, part) => tables.note[part][step(velocity)];
export const ringColour = (velocity, part) => tables.ring[part][step(velocity)];
export const chosen = () => name;

/** A colour of the style sheet. */
export function ink(variable) {
  if (!inks.has(variable)) inks.set(variable, getComputedStyle(document.documentElement).getPropertyValue(variable).trim());
  return inks.get(variable);
}

choose("light");
