// The screen's piano: 88 keys, one stop for the Tab key, arrows within. It lights what sounds, and plays what is touched.

import { noteColour } from "./colours.js";

const NAMES = ["C", "C♯", "D", "D♯", "E", "F", "F♯", "G", "G♯", "A", "A♯", "B"];
const BLACK = new Set([1, 3, 6, 8, 10]);
const [LOWEST, HIGHEST] = [21, 108];
const FOLLOW_MS = 1500; // the keys do not jump about more often

export const nameOf = (pitch) => `${NAMES[pitch % 12]}${Math.floor(pitch / 12) - 1}`;

export class Keyboard {
  constructor(element, hands) {
    this.element = element;
    this.keys = new Map();
    this.lit = new Map(); // pitch -> colour
    for (let pitch = LOWEST; pitch <= HIGHEST; pitch += 1) this.#addKey(pitch);
    this.focus(60, false);
    this.#listen(hands);
    new ResizeObserver(() => this.#measure()).observe(element);
    for (const [id, octaves] of [["lower", -1], ["higher", 1]]) document.getElementById(id).onclick = () => this.scrollBy(octaves);
    element.addEventListener("scroll", () => this.#showEnds());
    requestAnimationFrame(() => this.reveal(60));
  }

  #measure() {
    const white = this.keys.get(60).getBoundingClientRect().width;
    if (white) this.element.style.setProperty("--key-width", `${white}px`);
    this.#showEnds();
  }

  /** Buttons beside the piano, where not all of it fits. */
  #showEnds() {
    const { scrollLeft, scrollWidth, clientWidth } = this.element;
    const fits = scrollWidth <= clientWidth + 1;
    for (const id of ["lower", "higher"]) document.getElementById(id).hidden = fits;
    document.getElementById("lower").disabled = scrollLeft <= 1;
    document.getElementById("higher").disabled = scrollLeft >= scrollWidth - clientWidth - 1;
  }

  scrollBy(octaves) {
    const white = this.keys.get(60).getBoundingClientRect().width;
    this.element.scrollLeft += octaves * 7 * white;
  }

  /** Where a key is, in pixels of the keyboard as it is shown: its left edge and its width. */
  place(pitch) {
    const white = this.keys.get(60).getBoundingClientRect().width;
    const key = this.keys.get(pitch);
    const left = key.offsetLeft - this.element.scrollLeft;
    return BLACK.has(pitch % 12) ? { left: left - 0.31 * white, wide: 0.62 * white, isBlack: true } : { left, wide: white, isBlack: false };
  }

  #addKey(pitch) {
    const key = document.createElement("button");
    key.type = "button";
    key.className = BLACK.has(pitch % 12) ? "key black" : "key";
    key.tabIndex = -1;
    key.dataset.pitch = pitch;
    key.setAttribute("aria-label", nameOf(pitch));
    if (pitch % 12 === 0) key.dataset.c = nameOf(pitch);
    this.element.append(key);
    this.keys.set(pitch, key);
  }

  focus(pitch, now = true) {
    if (!this.keys.has(pitch)) return;
    this.keys.get(this.focused ?? 60).tabIndex = -1;
    this.focused = pitch;
    this.keys.get(pitch).tabIndex = 0;
    if (now) this.keys.get(pitch).focus();
  }

  /** Scrolls a key into the middle, where not all keys fit. */
  reveal(pitch) {
    const key = this.keys.get(pitch);
    this.element.scrollLeft = key.offsetLeft - this.element.clientWidth / 2;
  }

  #listen(hands) {
    const { element } = this;
    const under = (event) => Number(document.elementFromPoint(event.clientX, event.clientY)?.closest?.(".key")?.dataset.pitch) || null;
    const touched = new Map(); // pointer -> pitch
    const move = (id, pitch) => {
      if (touched.get(id) === pitch) return;
      if (touched.get(id)) hands.up(touched.get(id));
      if (pitch) hands.down(pitch, 72);
      touched.set(id, pitch);
    };
    element.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      move(event.pointerId, under(event));
      if (event.pointerType === "mouse") element.setPointerCapture(event.pointerId);
    });
    element.addEventListener("pointermove", (event) => { if (touched.has(event.pointerId)) move(event.pointerId, under(event)); });
    for (const end of ["pointerup", "pointercancel"]) {
      element.addEventListener(end, (event) => {
        move(event.pointerId, null);
        touched.delete(event.pointerId);
      });
    }
    element.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1, ArrowUp: 12, ArrowDown: -12 }[event.key];
      if (step) this.focus(this.focused + step);
      else if (event.key === "Home") this.focus(LOWEST);
      else if (event.key === "End") this.focus(HIGHEST);
      else if (event.key === "Enter") { if (!event.repeat) hands.down(this.focused, 72); } else return;
      event.preventDefault();
      event.stopPropagation();
    });
    const letGo = (event) => { if (event.type === "blur" || event.key === "Enter") hands.up(this.focused); };
    element.addEventListener("keyup", letGo);
    element.addEventListener("blur", letGo, true);
  }

  /** notes: rows that sound now, from the piece and from the hands. */
  light(notes, follow = false) {
    if (follow) this.#follow(notes);
    const wanted = new Map(notes.map((note) => [note[2], noteColour(note[3], note[5])]));
    for (const pitch of this.lit.keys()) if (!wanted.has(pitch)) this.keys.get(pitch)?.classList.remove("lit");
    for (const [pitch, colour] of wanted) {
      if (this.lit.get(pitch) === colour) continue;
      const key = this.keys.get(pitch);
      key?.style.setProperty("--lit", colour);
      key?.classList.add("lit");
    }
    this.lit = wanted;
  }

  /** Where not all keys fit, those that sound come into sight, now and then. */
  #follow(notes) {
    const { element } = this;
    const now = performance.now();
    if (!notes.length || now - (this.followedAt ?? 0) < FOLLOW_MS || element.scrollWidth <= element.clientWidth + 1) return;
    const places = notes.map((note) => this.place(Math.min(HIGHEST, Math.max(LOWEST, note[2]))));
    if (places.some(({ left, wide }) => left >= 0 && left + wide <= element.clientWidth)) return;
    this.followedAt = now;
    this.reveal(Math.min(HIGHEST, Math.max(LOWEST, notes.at(-1)[2])));
  }
}
