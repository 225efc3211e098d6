// What a piece begins from: nothing, a file, a theme, what is played.

import * as api from "./api.js";
import { clock, current, t } from "./i18n.js";
import { complain, notify } from "./notices.js";

const $ = (id) => document.getElementById(id);
const MODES = { midi: "file", theme: "theme", played: "play", duet: "play" };

export class Begin {
  constructor(studio) {
    this.studio = studio;
    this.theme = null; // chosen, and not yet a piece
    for (const radio of this.#radios()) radio.addEventListener("change", () => this.#choose(radio.value));
    $("file").addEventListener("change", () => { if ($("file").files.length) this.upload($("file").files[0]); $("file").value = ""; });
    $("use").addEventListener("input", () => this.#used(true));
    $("record").onclick = () => (studio.recorder.on ? this.stopRecording() : this.record());
    studio.recorder.addEventListener("count", ({ detail }) => {
      $("count").hidden = detail === 0;
      $("count").textContent = detail || "";
    });
    studio.hands.addEventListener("devices", () => this.words());
    studio.hands.addEventListener("unplugged", ({ detail }) => notify(t("midiGone", { name: detail })));
    studio.hands.addEventListener("plugged", ({ detail }) => notify(t("midiBack", { name: detail })));
    studio.hands.connectIfAllowed();
    this.#listenToDrops();
    this.#showMode("nothing");
  }

  get mode() {
    return document.querySelector("input[name=begin]:checked").value;
  }

  #radios() {
    return document.querySelectorAll("input[name=begin]");
  }

  #showMode(mode) {
    for (const radio of this.#radios()) radio.checked = radio.value === mode;
    for (const part of $("begin").querySelectorAll("[data-for]")) part.hidden = part.dataset.for !== mode;
  }

  #choose(mode) {
    this.#showMode(mode);
    if (mode === "play") this.studio.hands.connect();
    if (mode !== "theme" && this.theme) this.#forgetTheme();
    this.#showUse();
  }

  /** Shows how the open piece began. */
  follow(piece) {
    if (!piece) {
      if (this.theme === null) this.#showUse();
      return;
    }
    this.theme = null;
    for (const radio of $("themes").querySelectorAll("input")) radio.checked = false;
    const root = piece.history?.[0];
    const mode = MODES[root?.kind] ?? "nothing";
    if (this.followed !== piece.id) {
      this.followed = piece.id;
      if (!(mode === "nothing" && this.mode === "play" && this.studio.recorder.on)) this.#showMode(mode);
      this.rootMs = root?.kind && mode !== "nothing" ? root.end_ms : 0;
      $("use").max = this.rootMs;
      $("use").value = this.rootMs;
    }
    this.#showUse();
  }

  #showUse() {
    const has = this.theme !== null || (this.studio.piece !== null && this.rootMs > 0 && this.mode === MODES[this.studio.piece.history?.[0]?.kind]);
    $("use-row").hidden = !has || this.studio.recorder.on;
    this.#used(false);
  }

  #used(moved) {
    const ms = Number($("use").value);
    const words = `${clock(ms)} / ${clock(Number($("use").max))}`;
    $("use-out").textContent = words;
    $("use").setAttribute("aria-valuetext", words);
    if (moved && !this.studio.player.playing) this.studio.player.seek(ms);
  }

  /** Where "Compose" begins, in milliseconds of the piece. */
  get startMs() {
    return $("use-row").hidden ? 0 : Number($("use").value);
  }

  /** The part of the wish that says from where: {piece, from_ms}. */
  async source() {
    const { studio } = this;
    if ($("use-row").hidden) return { piece: null, from_ms: null };
    const whole = Number($("use").value) >= Number($("use").max) - 100;
    const fromMs = whole && this.#bare() ? null : Number($("use").value);
    if (this.theme === null) return { piece: studio.piece.id, from_ms: fromMs };
    const piece = await api.begin({ theme: this.theme.name });
    studio.piece = piece;
    this.followed = piece.id;
    this.rootMs = piece.end_ms;
    this.theme = null;
    return { piece: piece.id, from_ms: whole ? null : fromMs };
  }

  /** Nothing has been composed yet. */
  #bare() {
    return this.theme !== null || this.studio.piece?.history?.length === 1;
  }

  async listThemes() {
    try {
      this.themes = await api.themes();
    } catch (error) {
      complain(error);
      return;
    }
    $("themes").replaceChildren(...this.themes.map((theme) => this.#themeButton(theme)));
  }

  #themeButton(theme) {
    const label = document.createElement("label");
    const radio = document.createElement("input");
    radio.type = "radio";
    radio.name = "theme";
    radio.value = theme.name;
    radio.addEventListener("change", () => this.chooseTheme(theme.name));
    const text = document.createElement("span");
    const composer = document.createElement("b");
    composer.textContent = theme.composer;
    const title = document.createElement("small");
    title.textContent = `${theme.title} (${theme.year})`;
    text.append(composer, title);
    label.append(radio, text);
    return label;
  }

  /** Shows and plays it; it becomes a piece when something is composed. */
  async chooseTheme(name) {
    const { studio } = this;
    try {
      const theme = await api.theme(name);
      await studio.quiet();
      history.pushState(null, "", "/");
      this.theme = theme;
      studio.show(null);
      studio.player.set(theme.notes);
      studio.roll.refit();
      this.rootMs = studio.player.endMs;
      $("use").max = this.rootMs;
      $("use").value = this.rootMs;
      this.#showUse();
      studio.facts(null);
      studio.player.play(0);
    } catch (error) {
      complain(error);
    }
  }

  titleOfTheme() {
    return this.theme ? `${this.theme.composer}: ${this.theme.title}` : "";
  }

  #forgetTheme() {
    this.theme = null;
    for (const radio of $("themes").querySelectorAll("input")) radio.checked = false;
    this.studio.show(null);
  }

  async upload(file) {
    const { studio } = this;
    try {
      if (file.size > 16_000_000) throw new api.ApiError("too_big");
      const piece = await api.upload(file);
      await studio.quiet();
      this.theme = null;
      history.pushState(null, "", `/p/${piece.id}`);
      studio.show(piece);
      studio.library.refresh();
      if (piece.repairs.length) notify(mended(piece.repairs));
    } catch (error) {
      complain(error);
    }
  }

  #listenToDrops() {
    let depth = 0;
    const over = (on) => { $("dropping").hidden = !on; };
    addEventListener("dragenter", (event) => {
      if (![...(event.dataTransfer?.types ?? [])].includes("Files")) return;
      depth += 1;
      over(true);
    });
    addEventListener("dragleave", () => { depth = Math.max(0, depth - 1); over(depth > 0); });
    addEventListener("dragover", (event) => event.preventDefault());
    addEventListener("drop", (event) => {
      event.preventDefault();
      depth = 0;
      over(false);
      const file = event.dataTransfer?.files[0];
      if (file) this.upload(file);
      else notify(t("e_not_file"));
    });
  }

  async record() {
    const { studio } = this;
    await studio.quiet();
    studio.hands.connect();
    history.pushState(null, "", "/");
    studio.show(null);
    await studio.recorder.start({ bpm: this.#tempo(), beatsInBar: Number($("beats").value), countIn: $("count-in").checked, ticks: $("metronome").checked });
    studio.watch(studio.recorder.journal);
    this.#showUse();
    studio.facts(null);
    this.words();
  }

  /** Beats a minute; what cannot be becomes what can. */
  #tempo() {
    const field = $("tempo");
    const bpm = Math.min(Number(field.max), Math.max(Number(field.min), Math.round(field.valueAsNumber || Number(field.defaultValue))));
    field.value = bpm;
    return bpm;
  }

  async stopRecording() {
    const { studio } = this;
    const arriving = studio.recorder.stop();
    this.words();
    const id = await arriving;
    this.followed = null;
    await studio.settle(id, studio.recorder.journal);
    if (!id && !studio.recorder.journal.waiting) notify(t("nothingPlayed"));
  }

  words() {
    const { midi } = this.studio.hands;
    const known = { none: "midiNone", unable: "midiUnable", refused: "midiRefused" };
    $("midi-state").textContent = known[midi] ? t(known[midi]) : t("midiFound", { name: midi });
    const on = this.studio.recorder.on;
    $("record").firstChild.dataset.t = on ? "recordStop" : "record";
    $("record").firstChild.textContent = t($("record").firstChild.dataset.t);
    $("record").classList.toggle("on", on);
  }
}

/** What was wrong in a file, in one sentence. */
function mended(repairs) {
  const parts = repairs.map(({ kind, n }) => t(`r_${kind}${n === 1 ? 1 : "N"}`, { n: n.toLocaleString(current()) }));
  return t("mended", { what: new Intl.ListFormat(current()).format(parts) });
}
