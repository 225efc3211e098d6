// Notes that fall on the keys of the screen's piano, which they reach when they sound.

import { chosen, ink, noteColour } from "./colours.js";
import { recall, remember } from "./settings.js";

const SHOWN_MS = 3500; // from the top to the keys
const LONGEST_MS = 20_000; // no note sounds longer
const $ = (id) => document.getElementById(id);

export class Falling {
  constructor(canvas, keyboard, player) {
    Object.assign(this, { canvas, keyboard, player, on: recall("falling") === true, drawn: null });
    this.context = canvas.getContext("2d");
    $("falling-on").onclick = () => {
      this.on = !this.on;
      remember("falling", this.on);
      this.show();
    };
    this.show();
  }

  show() {
    $("falling-on").setAttribute("aria-pressed", String(this.on));
    this.canvas.hidden = !this.on;
    this.drawn = null;
  }

  draw(position, held) {
    if (!this.on) return;
    const { canvas, player } = this;
    const piano = $("piano");
    const picture = [position, player.notes, player.notes.length, canvas.clientWidth, canvas.clientHeight, devicePixelRatio, piano.scrollLeft, chosen()];
    if (!held.length && this.drawn?.every((value, place) => value === picture[place])) return;
    this.drawn = picture;
    this.#clear();
    const [left, top] = [piano.getBoundingClientRect().left - canvas.getBoundingClientRect().left, canvas.clientHeight];
    const { context: c } = this;
    c.save();
    c.beginPath();
    c.rect(left, 0, piano.clientWidth, top);
    c.clip();
    c.translate(left, 0);
    this.#octaves(c, top);
    for (const note of this.#soon(position)) this.#bar(c, note, position, top);
    for (const note of held) this.#bar(c, note, position, top);
    c.restore();
  }

  #clear() {
    const { canvas, context } = this;
    const ratio = devicePixelRatio || 1;
    const [wide, high] = [Math.round(canvas.clientWidth * ratio), Math.round(canvas.clientHeight * ratio)];
    if (canvas.width !== wide || canvas.height !== high) Object.assign(canvas, { width: wide, height: high });
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, canvas.clientWidth, canvas.clientHeight);
  }

  *#soon(position) {
    const { notes } = this.player;
    for (let place = this.player.placeOf(position - LONGEST_MS); place < notes.length && notes[place][0] < position + SHOWN_MS; place += 1) {
      if (notes[place][1] > position) yield notes[place];
    }
  }

  #octaves(c, high) {
    c.fillStyle = ink("--line");
    for (let pitch = 24; pitch <= 108; pitch += 12) c.fillRect(Math.round(this.keyboard.place(pitch).left), 0, 1, high);
  }

  #bar(c, [onset, offset, pitch, velocity, , part], position, high) {
    if (pitch < 21 || pitch > 108) return;
    const { left, wide } = this.keyboard.place(pitch);
    const y = (ms) => high * (1 - (ms - position) / SHOWN_MS);
    const [top, bottom] = [Math.max(-8, y(offset)), Math.min(high + 8, y(onset))];
    c.fillStyle = noteColour(velocity, part);
    c.beginPath();
    c.roundRect(left + 1, top, Math.max(3, wide - 2), Math.max(3, bottom - top), 3);
    c.fill();
  }
}
