// The piano roll on a canvas: time runs to the right, pitch upwards, colour is strength.

import { clock } from "./i18n.js";
import { chosen, ink, noteColour, ringColour } from "./colours.js";
import { listenToFingers } from "./fingers.js";

const LONGEST_MS = 20_000; // no note sounds longer
const FIT_MS = 75_000; // a piece up to so long is shown whole
const MOST_ZOOM = 0.6; // pixels a millisecond
const AXIS = 24; // the strip of times below, high enough for a finger
const EDGE = 10; // pixels round an edge of the loop that take hold of it
const SNAP = 6; // pixels to a note's beginning, where a loop sounds best
const DRAG = 4; // pixels that make a drag of a click
const LEAST_KEYS = 37;
const TICKS_MS = [1000, 2000, 5000, 10_000, 15_000, 30_000, 60_000, 120_000, 300_000];
const GHOST = [60, 64, 67, 72, 76, 67, 72, 76, 60, 62, 69, 74, 77, 69, 74, 77, 59, 62, 67, 74, 77, 67, 74, 77, 60, 64, 67, 72, 76, 67, 72, 76].flatMap((pitch, place, all) =>
  place % 8 === 7 ? [pitch, ...all.slice(place - 7, place + 1)] : [pitch]);
const still = matchMedia("(prefers-reduced-motion: reduce)");

export class Roll {
  /** source: an object with `notes` (rows by onset), `endMs`, and perhaps `region` and `loop`. onSeek(ms) when the roll is clicked,
   * onRegion(region, done) while a loop is drawn on the strip of times. */
  constructor(canvas, source, { onSeek = null, onRegion = null, small = false, exact = false } = {}) {
    Object.assign(this, { canvas, source, small, exact, zoom: 1, startMs: 0, position: 0, seams: [], low: 41, high: 77, hover: null, drag: null, ratio: 1 });
    this.editor = null; // who takes what the pointer does to notes, while one edits: { down(event), move(event), up(event), picture, draw(c) }
    this.context = canvas.getContext("2d");
    new ResizeObserver(() => this.measure()).observe(canvas);
    if (onRegion) this.#listenToStrip(onRegion, onSeek);
    if (onSeek) this.#listen(onSeek);
  }

  #listen(onSeek) {
    const { canvas } = this;
    canvas.addEventListener("pointerdown", (event) => {
      const editing = this.editor?.down(event);
      if (!editing && event.pointerType === "mouse" && event.button === 0 && this.source.endMs && !this.drag) onSeek(this.timeAt(event.offsetX));
    });
    canvas.addEventListener("pointermove", (event) => {
      this.editor?.move(event);
      this.hover = event.pointerType === "mouse" ? event.offsetX : null;
    });
    for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, (event) => this.editor?.up(event));
    canvas.addEventListener("pointerleave", () => { this.hover = null; });
    canvas.addEventListener("wheel", (event) => {
      if (event.ctrlKey) this.zoomBy(event.deltaY < 0 ? 1.2 : 1 / 1.2, event.offsetX);
      else if (event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY)) this.panBy(-(event.deltaX || event.deltaY));
      else return;
      event.preventDefault();
    }, { passive: false });
    listenToFingers(canvas, {
      free: () => !this.editor?.busy,
      tap: (x) => { if (this.source.endMs && !this.editor) onSeek(this.timeAt(x)); },
      pan: (dx) => this.panBy(dx),
      pinch: (factor, x) => this.zoomBy(factor, x),
    });
  }

  /** Dragging along the times draws a loop; its edges can be taken hold of. A click there seeks as everywhere. */
  #listenToStrip(onRegion, onSeek) {
    const { canvas } = this;
    const onStrip = (event) => event.pointerType === "mouse" && this.source.endMs > 0 && event.offsetY >= this.height - AXIS; // a finger pans there too
    const end = (event) => {
      if (!this.drag) return;
      if (this.drag.moved) onRegion(this.#drawn(event.offsetX), true);
      else onSeek(this.timeAt(event.offsetX));
      this.drag = null;
    };
    canvas.addEventListener("pointerdown", (event) => {
      if (event.button !== 0 || !onStrip(event)) return;
      canvas.setPointerCapture(event.pointerId);
      this.drag = { x: event.offsetX, moved: false, fixedMs: this.#otherEdge(event.offsetX) };
    });
    canvas.addEventListener("pointermove", (event) => {
      canvas.style.cursor = this.drag || onStrip(event) ? "ew-resize" : "";
      if (!this.drag) return;
      this.drag.moved ||= Math.abs(event.offsetX - this.drag.x) >= DRAG;
      this.held = performance.now(); // the picture stays where it is meanwhile
      if (this.drag.moved) onRegion(this.#drawn(event.offsetX), false);
    });
    canvas.addEventListener("pointerup", end);
    canvas.addEventListener("pointercancel", () => { this.drag = null; });
  }

  /** Whoever takes hold of one edge of the loop leaves the other where it is. */
  #otherEdge(x) {
    const { region } = this.source;
    if (!region) return null;
    const edges = [region.from, Math.min(region.to, this.source.endMs)];
    const place = edges.findIndex((ms) => Math.abs(this.#x(ms) - x) <= EDGE);
    return place < 0 ? null : edges[1 - place];
  }

  #drawn(x) {
    const edges = [this.drag.fixedMs ?? this.#snapped(this.drag.x), this.#snapped(x)].sort((a, b) => a - b);
    return { from: edges[0], to: edges[1] >= this.source.endMs ? Infinity : edges[1] };
  }

  #snapped(x) {
    const ms = Math.min(this.timeAt(x), this.source.endMs);
    const place = this.#first(ms);
    const near = this.source.notes.slice(Math.max(0, place - 1), place + 1).map((note) => note[0]);
    return near.find((onset) => Math.abs(onset - ms) * this.scale <= SNAP) ?? ms;
  }

  /** As many pixels as the screen has for it, whatever the browser's zoom. */
  measure() {
    const { clientWidth, clientHeight } = this.canvas;
    this.drawn = null;
    this.width = clientWidth;
    this.height = clientHeight;
    this.ratio = devicePixelRatio || 1;
    this.canvas.width = Math.round(clientWidth * this.ratio);
    this.canvas.height = Math.round(clientHeight * this.ratio);
    this.context.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
  }

  /** The nearest border between two pixels of the screen. */
  #snap(x) {
    return Math.round(x * this.ratio) / this.ratio;
  }

  /** All of the piece, and a little. */
  get #wholeMs() {
    return Math.max(this.source.endMs * 1.02, 12_000);
  }

  get #fittedMs() {
    return this.#wholeMs <= FIT_MS || this.small ? this.#wholeMs : FIT_MS * Math.min(1, this.width / 900);
  }

  get shownMs() {
    if (this.exact) return Math.max(this.source.endMs, 1); // under a slider, whose ends are the piece's
    return Math.min(this.#fittedMs / this.zoom, this.#wholeMs);
  }

  get scale() {
    return this.width / this.shownMs;
  }

  pitchAt(y) {
    return this.high - Math.floor(y / this.lane);
  }

  timeAt(x) {
    return Math.max(0, this.startMs + x / this.scale);
  }

  /** Closer or further away. What is at x stays there; without x, the playhead, or if it is not in sight the middle. */
  zoomBy(factor, x = null) {
    const head = this.#x(this.position);
    const fixed = x ?? (head >= 0 && head <= this.width ? head : this.width / 2);
    const ms = this.startMs + fixed / this.scale;
    const least = this.#fittedMs / this.#wholeMs;
    const most = Math.max(1, (MOST_ZOOM * this.#fittedMs) / this.width);
    this.zoom = Math.min(most, Math.max(least, this.zoom * factor));
    this.#begin(ms - fixed / this.scale);
  }

  panBy(pixels) {
    this.#begin(this.startMs - pixels / this.scale);
  }

  /** A person has chosen what is shown: it does not follow the playhead for a while. */
  #begin(ms) {
    this.held = performance.now();
    this.startMs = Math.min(Math.max(0, ms), Math.max(0, this.#wholeMs - this.shownMs));
  }

  /** Which keys are shown: those of the piece, and some room. */
  #fitPitch() {
    const { notes } = this.source;
    if (this.fitted && this.measured === notes.length) return;
    this.measured = notes.length;
    let [low, high] = [127, 0];
    for (const note of this.source.notes) {
      if (note[2] < low) low = note[2];
      if (note[2] > high) high = note[2];
    }
    if (low > high) [low, high] = [48, 72];
    const missing = Math.max(0, LEAST_KEYS - (high - low + 5));
    const wanted = [low - 2 - Math.floor(missing / 2), high + 2 + Math.ceil(missing / 2)];
    this.low = Math.min(...(this.fitted ? [this.low] : []), wanted[0]);
    this.high = Math.max(...(this.fitted ? [this.high] : []), wanted[1]);
    this.fitted = this.source.notes.length > 0;
  }

  refit() {
    this.fitted = false;
    this.startMs = 0;
    this.zoom = 1;
  }

  /** The playhead stays in sight: gliding, or a page at a time where motion is unwelcome. */
  #follow(playing) {
    const shown = this.shownMs;
    const end = Math.max(this.exact ? this.source.endMs : this.#wholeMs, shown);
    const moved = this.position !== this.followed;
    this.followed = this.position;
    const place = (this.position - this.startMs) / shown;
    if (!playing) {
      if (moved && (place < 0 || place > 0.97)) this.startMs = this.position - 0.3 * shown; // somebody has gone there
    } else if (!(performance.now() - (this.held ?? -9999) < 2500)) {
      if (still.matches) {
        if (place > 0.95 || place < 0) this.startMs = this.position - 0.05 * shown;
      } else if (place < 0 || place > 1) this.startMs = this.position - 0.35 * shown;
      else if (place > 0.5) this.startMs += (this.position - 0.5 * shown - this.startMs) * 0.2;
    }
    this.startMs = Math.min(Math.max(0, this.startMs), Math.max(0, end - shown));
  }

  draw(position, playing, extra = {}) {
    if (!this.width || this.ratio !== (devicePixelRatio || 1)) this.measure();
    if (!this.width) return;
    this.position = position;
    this.#fitPitch();
    this.#follow(playing);
    if (this.#unchanged(position, playing, extra.frontierMs)) return;
    const { context: c, width, height } = this;
    c.clearRect(0, 0, width, height);
    this.lane = (height - (this.small ? 0 : AXIS)) / (this.high - this.low + 1);
    if (this.source.endMs || playing) this.#grid(c);
    else if (!this.small) this.#ghosts(c);
    this.#notes(c, position, playing);
    for (const note of extra.held ?? []) this.#note(c, note, true);
    if (this.source.region) this.#region(c);
    if (!this.small && (this.source.endMs || playing)) this.#names(c);
    if (extra.frontierMs !== undefined) this.#frontier(c, extra.frontierMs);
    for (const ms of this.seams) this.#line(c, ms, ink("--edge"), [3, 4]);
    this.editor?.draw(c);
    if (this.source.endMs && !this.exact) this.#playhead(c, position);
    if (this.hover !== null && this.source.endMs) this.#hovered(c);
  }

  /** A still picture is not drawn again: an open page that rests costs nothing. */
  #unchanged(position, playing, frontierMs) {
    const { source, startMs, zoom, hover, low, high, seams } = this;
    const { region, loop } = source;
    const place = this.exact ? 0 : Math.round(position * this.scale * 2);
    const picture = [place, playing, source.notes.length, source.endMs, source.notes, startMs, zoom, hover, low, high, seams, region, loop, frontierMs, chosen(), this.editor?.picture];
    const same = this.drawn?.every((value, index) => value === picture[index]) ?? false;
    this.drawn = picture;
    return same;
  }

  #y(pitch) {
    return (this.high - pitch) * this.lane;
  }

  #x(ms) {
    return (ms - this.startMs) * this.scale;
  }

  #grid(c) {
    c.lineWidth = 1;
    for (let pitch = Math.ceil(this.low / 12) * 12; pitch <= this.high; pitch += 12) {
      c.fillStyle = ink("--line");
      c.fillRect(0, this.#snap(this.#y(pitch) + this.lane), this.width, this.#snap(1));
    }
    if (this.small || !this.source.endMs) return;
    const every = TICKS_MS.find((ms) => ms * this.scale >= 62) ?? TICKS_MS.at(-1);
    c.textAlign = "center";
    c.font = "11px system-ui, sans-serif";
    for (let ms = Math.ceil(this.startMs / every) * every || every; ms < this.startMs + this.shownMs; ms += every) {
      const x = this.#x(ms);
      c.fillStyle = ink("--quiet");
      c.fillText(clock(ms), x, this.height - 6);
      c.fillStyle = ink("--line");
      c.fillRect(this.#snap(x), this.height - AXIS, this.#snap(1), 4);
    }
  }

  /** Of the Cs, readable on any note. */
  #names(c) {
    c.font = "11px system-ui, sans-serif";
    c.textAlign = "left";
    c.lineJoin = "round";
    c.lineWidth = 3;
    c.strokeStyle = ink("--well");
    c.fillStyle = ink("--quiet");
    for (let pitch = Math.ceil(this.low / 12) * 12; pitch <= this.high; pitch += 12) {
      const place = [`C${pitch / 12 - 1}`, 6, Math.round(this.#y(pitch) + this.lane) - 3.5];
      c.strokeText(...place);
      c.fillText(...place);
    }
  }

  /** An empty roll hints at what it will hold: Bach's first prelude, hardly there. */
  #ghosts(c) {
    c.fillStyle = ink("--line");
    c.globalAlpha = 0.75;
    const wide = this.width / 68;
    GHOST.forEach((pitch, place) => {
      c.beginPath();
      c.roundRect((place + 2) * wide, this.height * (0.93 - (pitch - 59) * 0.034), wide * 0.82, 7, 3.5);
      c.fill();
    });
    c.globalAlpha = 1;
  }

  #first(ms) {
    let [low, high] = [0, this.source.notes.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.source.notes[middle][0] < ms) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  #notes(c, position, lit) {
    const { notes } = this.source;
    const [from, to] = [this.#first(this.startMs - LONGEST_MS), this.startMs + this.shownMs];
    for (let place = from; place < notes.length && notes[place][0] < to; place += 1) {
      const [onset, , , , until] = notes[place];
      if (until >= this.startMs) this.#note(c, notes[place], lit && onset <= position && until > position);
    }
  }

  #note(c, [onset, offset, pitch, velocity, until, part], sounding) {
    const { x, y, wide, high } = this.box([onset, offset, pitch]);
    if (until > offset + 30) {
      c.fillStyle = ringColour(velocity, part);
      c.fillRect(x + wide, y + high * 0.2, (until - offset) * this.scale, high * 0.6);
    }
    c.save();
    c.fillStyle = noteColour(velocity, part);
    if (sounding) {
      c.shadowColor = noteColour(velocity, part);
      c.shadowBlur = 12;
    }
    c.beginPath();
    c.roundRect(x, y - (sounding ? 0.8 : 0), wide, high + (sounding ? 1.6 : 0), Math.min(3, high / 2.4));
    c.fill();
    c.restore();
  }

  /** Where a note is drawn, in CSS pixels of the canvas. */
  box([onset, offset, pitch]) {
    const high = Math.max(2, this.lane - (this.lane > 5 ? 1 : 0.3));
    return { x: this.#snap(this.#x(onset)), y: this.#y(pitch), wide: Math.max(2, this.#snap((offset - onset) * this.scale - 0.8)), high };
  }

  #line(c, ms, colour, dash = []) {
    const x = this.#snap(this.#x(ms)) + this.#snap(1) / 2;
    c.save();
    c.strokeStyle = colour;
    c.lineWidth = this.#snap(1);
    c.setLineDash(dash);
    c.beginPath();
    c.moveTo(x, 0);
    c.lineTo(x, this.height - (this.small ? 0 : AXIS));
    c.stroke();
    c.restore();
  }

  /** The loop: a band on the strip of times, and its ground behind the notes. Off, it is only outlined. */
  #region(c) {
    const { region, loop, endMs } = this.source;
    const [from, to] = [this.#x(region.from), this.#x(Math.min(region.to, endMs))];
    const colour = ink(loop ? "--accent" : "--edge");
    const floor = this.height - (this.small ? 0 : AXIS);
    c.save();
    c.globalCompositeOperation = "destination-over";
    c.fillStyle = ink(loop ? "--accent-soft" : "--line");
    c.globalAlpha = loop ? 1 : 0.5;
    c.fillRect(from, 0, to - from, this.height);
    c.restore();
    c.fillStyle = colour;
    for (const x of [from, to]) c.fillRect(Math.round(x), 0, 1, floor);
    if (this.small) return;
    c.fillRect(Math.round(from), floor, Math.round(to) - Math.round(from) + 1, 3);
    for (const [x, turn] of [[from, 1], [to, -1]]) {
      c.beginPath();
      c.moveTo(Math.round(x), floor);
      c.lineTo(Math.round(x) + 9 * turn, floor);
      c.lineTo(Math.round(x), floor + 11);
      c.fill();
    }
  }

  #frontier(c, ms) {
    const x = this.#x(ms);
    const shade = c.createLinearGradient(x - 46, 0, x, 0);
    shade.addColorStop(0, `${ink("--accent-soft")}00`); // the same colour: "transparent" is black, and would grey it
    shade.addColorStop(1, ink("--accent-soft"));
    c.globalCompositeOperation = "destination-over";
    c.fillStyle = shade;
    c.fillRect(x - 46, 0, 46, this.height - (this.small ? 0 : AXIS));
    c.globalCompositeOperation = "source-over";
  }

  #playhead(c, position) {
    this.#line(c, position, ink("--accent"));
    const x = this.#x(position);
    c.fillStyle = ink("--accent");
    c.beginPath();
    c.moveTo(x - 5, 0);
    c.lineTo(x + 6, 0);
    c.lineTo(x + 0.5, 8);
    c.fill();
  }

  #hovered(c) {
    const ms = this.timeAt(this.hover);
    if (ms > this.source.endMs) return;
    this.#line(c, ms, ink("--edge"), [2, 3]);
    c.fillStyle = ink("--quiet");
    c.font = "12px system-ui, sans-serif";
    c.textAlign = this.hover > this.width - 60 ? "right" : "left";
    c.fillText(clock(ms), this.hover + (this.hover > this.width - 60 ? -6 : 6), 14);
  }
}
