// Single notes: chosen with the pointer or the arrows, moved, deleted. Each change is a version of the piece, so undo takes it back.

import * as api from "./api.js";
import { ink } from "./colours.js";
import { fine, t } from "./i18n.js";
import { nameOf } from "./keyboard.js";
import { complain } from "./notices.js";

const NEAR = 6; // pixels round a note that take hold of it; for a finger more
const NEAR_FINGER = 14;
const DRAG = 4; // pixels that make a drag of a click
const NUDGE_MS = 10; // by an arrow
const [LOWEST, HIGHEST] = [21, 108];
const $ = (id) => document.getElementById(id);

export class Editing {
  constructor(studio) {
    Object.assign(this, { studio, on: false, chosen: null, drag: null, sending: Promise.resolve() });
    $("edit").onclick = () => this.turn(!this.on);
    $("edit-delete").onclick = () => this.change(null);
    addEventListener("keydown", (event) => this.#key(event));
    studio.player.addEventListener("change", () => this.show());
  }

  turn(on) {
    this.on = on && this.possible;
    this.chosen = this.drag = null;
    this.studio.roll.editor = this.on ? this : null;
    $("roll").classList.toggle("editing", this.on);
    this.show();
  }

  get possible() {
    const { studio } = this;
    return studio.piece?.version !== null && studio.piece !== null && !studio.busy && !studio.following.on && !studio.takes.open;
  }

  /** A drag is going on, so fingers do not pan. */
  get busy() {
    return this.drag !== null;
  }

  /** What the picture depends on. */
  get picture() {
    return `${this.chosen} ${this.drag?.to}`;
  }

  #at(event) {
    const { roll } = this.studio;
    const near = event.pointerType === "mouse" ? NEAR : NEAR_FINGER;
    const distance = ({ x, y, wide, high }) => Math.hypot(Math.max(x - event.offsetX, 0, event.offsetX - x - wide), Math.max(y - event.offsetY, 0, event.offsetY - y - high));
    let [best, least] = [null, near];
    for (const note of this.studio.player.notes) {
      const away = distance(roll.box(note));
      if (away < least) [best, least] = [note, away];
    }
    return best;
  }

  /** True if the pointer took hold of a note. */
  down(event) {
    if (event.button !== 0 || this.drag) return false;
    this.chosen = this.#at(event);
    this.show();
    if (!this.chosen) return false;
    this.studio.roll.canvas.setPointerCapture(event.pointerId);
    this.drag = { pointer: event.pointerId, x: event.offsetX, y: event.offsetY, to: null };
    this.#sound(this.chosen);
    return true;
  }

  move(event) {
    const { drag, chosen } = this;
    if (drag?.pointer !== event.pointerId) return;
    const [dx, dy] = [event.offsetX - drag.x, event.offsetY - drag.y];
    if (!drag.to && Math.hypot(dx, dy) < DRAG) return;
    const { scale, lane } = this.studio.roll;
    const to = moved(chosen, Math.round(dx / scale), -Math.round(dy / lane));
    if (drag.to?.[2] !== to[2]) this.#sound(to);
    drag.to = to;
    this.show();
  }

  up(event) {
    const { drag } = this;
    if (drag?.pointer !== event.pointerId) return;
    this.drag = null;
    if (drag.to && event.type === "pointerup") this.change(drag.to);
  }

  #key(event) {
    if (!this.on || !this.chosen || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.matches("input, select, textarea, summary, a, .key") || event.target.closest("dialog")) return;
    const step = event.shiftKey ? 10 : 1;
    const moves = { ArrowLeft: [-NUDGE_MS * step, 0], ArrowRight: [NUDGE_MS * step, 0], ArrowUp: [0, event.shiftKey ? 12 : 1], ArrowDown: [0, event.shiftKey ? -12 : -1] };
    if (event.key === "Delete" || event.key === "Backspace") this.change(null);
    else if (event.key === "Escape") this.turn(false);
    else if (moves[event.key]) this.change(moved(this.chosen, ...moves[event.key]));
    else return;
    event.preventDefault();
  }

  /** The chosen note as it is to be, or null to delete it. One after another, for each goes on from the version that the one before made. */
  change(to) {
    const note = this.chosen;
    if (!note || String(to) === String(note)) return;
    this.chosen = to;
    this.sending = this.sending.then(() => this.#send(note, to));
  }

  async #send(note, to) {
    const { studio } = this;
    try {
      const piece = await studio.step((seen) => api.edit(seen, [{ note: note.slice(0, 4), to: to?.slice(0, 4) ?? null }]));
      if (!piece) return this.turn(false);
      studio.show(piece, { keepPlace: true });
      this.chosen = studio.player.notes.find((each) => isSame(each, this.chosen)) ?? this.chosen; // or one that a later change makes
      if (to) this.#sound(to);
    } catch (error) {
      this.chosen = null;
      complain(error);
    }
    this.show();
  }

  #sound([, , pitch, velocity]) {
    const { sampler } = this.studio;
    if (sampler.silent || this.studio.player.playing) return;
    sampler.wake();
    const voice = sampler.strike(pitch, velocity, 0);
    sampler.release(voice, sampler.context.currentTime + 0.35);
  }

  show() {
    if (this.on && !this.possible) {
      this.turn(false);
      return;
    }
    $("edit").disabled = !this.possible;
    $("edit").setAttribute("aria-pressed", String(this.on));
    $("editing").hidden = !this.on;
    $("edit-delete").disabled = !this.chosen;
    const [onset, , pitch] = this.drag?.to ?? this.chosen ?? [];
    const words = pitch === undefined ? t("editNone") : t("editNote", { name: nameOf(pitch), time: fine(onset) });
    if ($("edit-out").textContent !== words) $("edit-out").textContent = words;
  }

  /** Outlines the chosen note where it is, or where it is being moved to. */
  draw(c) {
    if (!this.chosen) return;
    const { x, y, wide, high } = this.studio.roll.box(this.drag?.to ?? this.chosen);
    c.save();
    c.strokeStyle = ink("--accent");
    c.lineWidth = 2;
    c.beginPath();
    c.roundRect(x - 2, y - 2, wide + 4, high + 4, 4);
    c.stroke();
    if (this.drag?.to) {
      c.fillStyle = ink("--accent");
      c.globalAlpha = 0.5;
      c.fill();
    }
    c.restore();
  }
}

const isSame = (one, other) => String(one.slice(0, 4)) === String(other?.slice(0, 4));

/** A row so many milliseconds later and semitones higher, within the piece and the piano. */
function moved([onset, offset, pitch, velocity, until, part], byMs, semitones) {
  const by = Math.max(byMs, -onset);
  return [onset + by, offset + by, Math.min(HIGHEST, Math.max(LOWEST, pitch + semitones)), velocity, until + by, part];
}
