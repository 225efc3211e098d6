// Takes side by side: each has its roll, one is heard, one is kept.

import { label, t, translate } from "./i18n.js";
import { Roll } from "./roll.js";

export class Takes extends EventTarget {
  constructor(element, player) {
    super();
    this.element = element;
    this.player = player;
    this.list = [];
    this.heard = 0;
  }

  get open() {
    return this.list.length > 0;
  }

  /** versions: their ids. kept: rows that all of them begin with. */
  show(versions, prefix, seamMs) {
    this.element.replaceChildren();
    this.list = versions.map((version, number) => this.#added(version, number, [...prefix], seamMs));
    const none = button("quiet none", "keepNone", () => this.dispatchEvent(new Event("none")));
    this.element.append(none);
    this.element.hidden = false;
    this.hear(0, false);
  }

  close() {
    this.list = [];
    this.element.hidden = true;
    this.element.replaceChildren();
  }

  #added(version, number, notes, seamMs) {
    const box = document.createElement("section");
    box.className = "taking";
    box.setAttribute("aria-label", t("take", { n: number + 1 }));
    const frame = document.createElement("div");
    frame.className = "roll";
    const canvas = document.createElement("canvas");
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", t("take", { n: number + 1 }));
    frame.append(canvas);
    const bar = document.createElement("div");
    bar.className = "bar";
    const play = button("quiet", null, () => this.hear(number, true));
    play.innerHTML = '<svg><use href="#i-play"/></svg><span></span>';
    play.lastChild.textContent = t("take", { n: number + 1 });
    label(play, t("playTake", { n: number + 1 }));
    const keep = button("second", "keepTake", () => this.dispatchEvent(new CustomEvent("keep", { detail: version })));
    const space = document.createElement("span");
    space.className = "space";
    bar.append(play, space, keep);
    box.append(frame, bar);
    this.element.append(box);
    const take = { version, box, notes, endMs: notes.reduce((end, note) => Math.max(end, note[4]), 0) };
    take.roll = new Roll(canvas, take, { small: true, onSeek: (ms) => { this.hear(number, false); this.player.seek(ms); } });
    take.roll.seams = seamMs ? [seamMs] : [];
    return take;
  }

  add(number, rows) {
    const take = this.list[number];
    if (!take) return;
    take.notes.push(...rows);
    take.notes.sort((a, b) => a[0] - b[0]);
    take.endMs = rows.reduce((end, note) => Math.max(end, note[4]), take.endMs);
    if (number === this.heard) this.player.add(rows);
  }

  /** Turns to a take at the moment where one is; `play` begins to play. */
  hear(number, play) {
    const wasPlaying = this.player.playing;
    const at = this.player.positionMs;
    const again = number === this.heard && play && wasPlaying;
    this.heard = number;
    this.list.forEach((take, place) => take.box.classList.toggle("heard", place === number));
    if (again) {
      this.player.pause();
      return;
    }
    this.player.pause();
    this.player.set([...this.list[number].notes]);
    this.player.seek(at);
    if (play || wasPlaying) this.player.play(at >= this.list[number].endMs - 50 ? this.from ?? 0 : at);
  }

  draw(position, playing) {
    this.list.forEach((take, number) => take.roll.draw(number === this.heard ? position : 0, playing && number === this.heard));
  }

  words() {
    translate(this.element);
    this.list.forEach((take, number) => { take.box.querySelector(".bar span").textContent = t("take", { n: number + 1 }); });
  }
}

function button(name, key, run) {
  const element = document.createElement("button");
  element.type = "button";
  element.className = name;
  if (key) {
    element.dataset.t = key;
    element.textContent = t(key);
  }
  element.onclick = run;
  return element;
}
