// The studio's page: what it is made of, and how the parts meet.

import * as api from "./api.js";
import { Begin } from "./begin.js";
import * as colours from "./colours.js";
import { Composing } from "./composing.js";
import { Downloads } from "./downloads.js";
import { Duet } from "./duet.js";
import { Editing } from "./editing.js";
import { Falling } from "./falling.js";
import { Following } from "./following.js";
import { Hands } from "./hands.js";
import { clock, label, preferred, speak, t, titleOf } from "./i18n.js";
import { install } from "./install.js";
import { Journal } from "./journal.js";
import { Keyboard, nameOf } from "./keyboard.js";
import { Header } from "./header.js";
import { Library } from "./library.js";
import { Looping } from "./looping.js";
import { banner, complain, notify, status } from "./notices.js";
import { Models } from "./models.js";
import { Player } from "./player.js";
import { Recorder } from "./recorder.js";
import { Roll } from "./roll.js";
import { Sampler } from "./sampler.js";
import * as settings from "./settings.js";
import * as shape from "./shape.js";
import * as shortcuts from "./shortcuts.js";
import { Takes } from "./takes.js";

const PATIENCE_MS = 5000; // with what a page before this one could not send
const STOPPING_MS = 300; // what was stopped here has its last notes on the way to the store
const $ = (id) => document.getElementById(id);

class Studio {
  constructor() {
    this.piece = null; // as the API tells it
    this.sampler = new Sampler();
    this.player = new Player(this.sampler);
    this.hands = new Hands(this.sampler);
    this.keyboard = new Keyboard($("piano"), this.hands);
    this.looping = new Looping(this.player);
    this.roll = new Roll($("canvas"), this.player, { onSeek: (ms) => this.player.seek(ms), onRegion: (region, done) => this.looping.draw(region, done) });
    this.overview = new Roll($("overview"), this.player, { small: true, exact: true });
    this.takes = new Takes($("takes"), this.player);
    this.recorder = new Recorder(this.hands, this.sampler, this.player);
    this.duet = new Duet(this.hands, this.sampler, this.player);
    this.composing = new Composing(this);
    this.following = new Following(this);
    this.begin = new Begin(this);
    this.models = new Models();
    this.header = new Header(this);
    this.downloads = new Downloads(this, this.models);
    this.editing = new Editing(this);
    this.falling = new Falling($("falling"), this.keyboard, this.player);
    this.library = new Library({ open: (id) => this.open(id), gone: (id) => this.#gone(id), shown: () => this.piece?.id });
    this.hands.keysOn = () => this.recorder.on || this.duet.on || this.begin.mode === "play";
  }

  async start() {
    dress(localStorage.getItem("preludio.theme"));
    await speak(preferred());
    settings.prepare();
    shape.prepare();
    this.#listen();
    this.words();
    requestAnimationFrame(() => this.#frame());
    if (this.sampler.silent) banner("noAudio");
    this.sampler.prepare().catch(complain);
    this.begin.listThemes();
    this.models.load().then(() => this.facts(null));
    if (new URLSearchParams(location.search).has("already")) {
      notify(t("already"));
      history.replaceState(null, "", "/");
    }
    await this.#sendLeft();
    await this.#openAddress();
    document.documentElement.dataset.ready = "";
    install();
  }

  /** Notes and names that a page before this one could not send. */
  async #sendLeft() {
    const left = await Journal.left();
    const sent = Promise.all([...left.map((journal) => journal.end()), this.header.resend()]);
    const pieces = await Promise.race([sent, new Promise((done) => setTimeout(done, PATIENCE_MS, []))]);
    const piece = pieces.findLast(Boolean);
    if (piece && location.pathname === "/") history.replaceState(null, "", `/p/${piece}`);
  }

  async #openAddress() {
    const id = location.pathname.match(/^\/p\/([\w-]+)$/)?.[1];
    if (id) await this.open(id, false);
    else this.show(null);
  }

  /** Opens a piece from the store. */
  async open(id, push = true) {
    await this.quiet();
    try {
      const piece = await api.piece(id);
      if (push) history.pushState(null, "", `/p/${id}`);
      await this.showAll(piece);
    } catch (error) {
      complain(error);
      if (error.code === "gone") this.lose();
    }
  }

  /** A piece, its takes if one is to be chosen, and what is being composed in it elsewhere. */
  async showAll(piece, how = {}) {
    this.show(piece, how);
    if (piece.composing) this.following.follow();
    else await this.composing.chooseAgain(piece);
  }

  /** The piece is not there any longer. */
  lose() {
    history.replaceState(null, "", "/");
    this.show(null);
  }

  /** What the store has now; if it is only more of the same, and not wanted anew, without disturbing what sounds. True if all was shown. */
  async refresh({ anew = false } = {}) {
    const { id, mark } = this.piece;
    const piece = await api.piece(id).catch((error) => complain(error));
    if (!piece || this.busy || this.stepping || this.piece?.id !== id || this.piece.mark !== mark) {
      this.facts(null);
      return false;
    }
    if (anew || piece.mark !== mark) {
      await this.showAll(piece, { keepPlace: true });
      return true;
    }
    this.piece = piece;
    if (piece.version && !this.takes.open) {
      const shown = new Set(this.player.notes.map(String));
      this.player.add(piece.version.notes.filter((note) => !shown.has(String(note))));
    }
    this.begin.follow(piece);
    this.facts(piece);
    if (piece.composing) setTimeout(() => { if (this.piece?.id === id) this.refresh(); }, STOPPING_MS);
    return false;
  }

  /** Ends whatever goes on: composing, recording, a duet, playing. */
  async quiet() {
    this.composing.stop();
    this.following.stop();
    this.player.pause();
    if (this.recorder.on) await this.begin.stopRecording();
    if (this.duet.on) await this.stopDuet();
  }

  /** Shows a whole piece, or none. */
  show(piece, { keepPlace = false } = {}) {
    const at = this.player.positionMs;
    this.piece = piece;
    this.takes.close();
    this.player.pause();
    this.player.frontierMs = Infinity;
    this.player.set(piece?.version?.notes ?? []);
    if (!keepPlace) {
      this.roll.refit();
      this.player.setRegion(null);
    }
    this.overview.refit();
    this.player.seek(keepPlace ? at : 0);
    const version = piece?.version;
    this.roll.seams = version && version.prompt_ms > 0 && version.prompt_ms < this.player.endMs ? [version.prompt_ms] : []; // where a prompt ends
    this.begin.follow(piece);
    this.facts(piece);
  }

  /** The parts of the page that tell of the piece and not of its notes. */
  facts(piece) {
    if (piece) this.piece = { ...this.piece, ...piece };
    const shown = this.piece !== null;
    document.title = shown ? `${titleOf(this.piece)} · Preludio` : "Preludio";
    $("title").disabled = $("star").disabled = !shown;
    if (document.activeElement !== $("title")) $("title").value = shown ? titleOf(this.piece) : this.begin.titleOfTheme();
    $("star").setAttribute("aria-pressed", String(Boolean(this.piece?.starred)));
    $("undo").disabled = !this.piece?.can_undo || this.busy || this.following.on;
    $("redo").disabled = !this.piece?.can_redo || this.busy || this.following.on;
    $("piece-menu").hidden = $("star").hidden = !shown;
    this.header.show(this.piece);
    this.downloads.show(this.piece);
    this.controls();
  }

  get busy() {
    return this.composing.on || this.recorder.on || this.duet.on;
  }

  /** What can be pressed now, and what it says. */
  controls() {
    const { player } = this;
    const here = player.positionMs;
    const atEnd = here >= player.endMs - 200;
    $("empty").hidden = player.notes.length > 0 || this.busy;
    $("roll").hidden = this.takes.open;
    const live = this.recorder.on || this.duet.on;
    $("play").disabled = !player.notes.length || live;
    $("play").querySelector("use").setAttribute("href", player.playing ? "#i-pause" : "#i-play");
    label($("play"), t(player.playing ? "pause" : "play"));
    const canAgain = this.piece !== null && player.notes.length > 0 && !this.takes.open && !live;
    $("again").disabled = !canAgain || this.busy || this.following.on;
    $("again").hidden = this.takes.open || !canAgain;
    const words = atEnd && player.endMs ? t("goOn") : t("again", { time: clock(here) });
    if ($("again").textContent !== words) $("again").firstChild.textContent = words;
    const stops = this.composing.on || this.following.on;
    $("compose").classList.toggle("stopping", stops);
    $("compose").firstChild.dataset.t = stops ? "stop" : "compose";
    $("compose").firstChild.textContent = t(stops ? "stop" : "compose");
    this.#showLength(canAgain);
    this.editing.show();
    $("seek").max = Math.max(player.endMs, 0);
  }

  /** From where to where each button composes: the length always counts from where the new music begins. */
  #showLength(canAgain) {
    const span = (from) => ({ from: clock(from), to: clock(from + shape.lengthMs()) });
    const sentences = [t("lengthCompose", span(this.begin.startMs))];
    if (canAgain) sentences.push(t("lengthAgain", { ...span(this.player.positionMs), button: $("again").textContent }));
    const words = sentences.join(" ");
    if ($("length-text").textContent !== words) $("length-text").textContent = words;
  }

  words() {
    shape.show();
    this.models.words();
    this.begin.words();
    this.takes.words();
    this.facts(null);
    this.composing.words();
    this.looping.show();
    this.#duetWords();
    $("language").value = document.documentElement.lang;
    this.described = null;
  }

  #listen() {
    const { player } = this;
    const later = () => this.controls();
    player.addEventListener("change", later);
    player.addEventListener("deaf", () => banner("noAudio"));
    $("play").onclick = () => this.playOrPause();
    $("to-start").onclick = () => player.seek(0);
    $("speed").onchange = () => player.setSpeed(Number($("speed").value));
    $("volume").oninput = () => this.#setVolume();
    $("seek").oninput = () => player.seek(Number($("seek").value));
    $("zoom-in").onclick = () => this.roll.zoomBy(1.4);
    $("zoom-out").onclick = () => this.roll.zoomBy(1 / 1.4);
    $("compose").onclick = () => {
      if (this.composing.on) this.composing.stop();
      else if (this.following.on) this.following.halt();
      else this.composing.compose();
    };
    for (const id of ["length", "use"]) $(id).addEventListener("input", later);
    $("again").onclick = () => this.composing.again();
    $("undo").onclick = () => this.travel(api.undo);
    $("redo").onclick = () => this.travel(api.redo);
    $("duet").onclick = () => (this.duet.on ? this.stopDuet() : this.startDuet());
    $("language").onchange = () => this.#switchLanguage();
    $("theme").onclick = () => dress(document.documentElement.dataset.theme === "dark" ? "light" : "dark", true);
    this.takes.addEventListener("keep", ({ detail }) => this.composing.keepTake(detail));
    this.takes.addEventListener("none", () => this.travel(api.undo));
    this.duet.addEventListener("turn", () => this.#duetWords());
    this.duet.addEventListener("fault", ({ detail }) => complain(detail));
    shortcuts.listen(this);
    addEventListener("popstate", () => this.#openAddress());
    addEventListener("piece-changed", ({ detail }) => { if (detail.id === this.piece?.id) this.facts(detail); });
    addEventListener("offline-studio", () => this.#offline());
    this.#setVolume();
  }

  #setVolume() {
    if (!this.sampler.silent) this.sampler.volume.gain.setTargetAtTime(Number($("volume").value) ** 2 * 1.55, this.sampler.context.currentTime, 0.02);
  }

  playOrPause() {
    if (this.player.playing || this.player.starting) this.player.pause();
    else if (this.player.notes.length) this.player.play();
  }

  /** Undo, redo or a step in the history. */
  async travel(way) {
    if (!this.piece) return;
    await this.quiet();
    try {
      const piece = await this.step(way);
      if (piece?.version === null) this.lose();
      else if (piece) await this.showAll(piece, { keepPlace: true });
    } catch (error) {
      complain(error);
    }
  }

  /** Takes a step from the piece as it is shown. If it was changed elsewhere, that is shown and told instead: null. */
  async step(way) {
    this.stepping = true;
    try {
      return await way(this.piece);
    } catch (error) {
      if (error.code !== "changed") throw error;
      complain(error);
    } finally {
      this.stepping = false;
    }
    await this.refresh();
    return null;
  }

  async startDuet() {
    await this.quiet();
    this.hands.connect();
    history.pushState(null, "", "/");
    this.show(null);
    await this.duet.start(this.models.chosen);
    this.watch(this.duet.journal);
    this.#duetWords();
    this.facts(null);
    $("piano").scrollIntoView({ block: "nearest" });
  }

  async stopDuet() {
    const arriving = this.duet.stop();
    this.#duetWords();
    await this.settle(await arriving, this.duet.journal);
  }

  /** Follows what is played into its piece. */
  watch(journal) {
    journal.onpiece = (piece) => {
      history.replaceState(null, "", `/p/${piece.id}`);
      this.facts(piece);
    };
    journal.onarrived = (id) => {
      if (!this.busy && !this.player.playing && (this.piece?.id ?? id) === id) this.open(id, false);
    };
  }

  /** What was played, once it has come to its end; what could not be sent yet stays in sight. */
  async settle(id, journal) {
    if (journal.waiting) this.facts(null);
    else if (id) await this.open(id, false);
    else this.show(null);
  }

  #duetWords() {
    const { state } = this.duet;
    $("duet").setAttribute("aria-pressed", String(this.duet.on));
    $("duet").firstChild.dataset.t = this.duet.on ? "duetStop" : "duetStart";
    $("duet").firstChild.textContent = t($("duet").firstChild.dataset.t);
    $("duet-state").textContent = state === "off" ? "" : t(state === "answering" ? "duetAnswering" : "duetListening");
  }

  async #switchLanguage() {
    localStorage.setItem("preludio.language", $("language").value);
    try {
      await speak($("language").value);
      this.words();
    } catch (error) {
      $("language").value = document.documentElement.lang;
      complain(error instanceof TypeError ? new api.ApiError("offline") : error);
    }
  }

  /** The server does not answer: what is here stays, and the page looks for it every second. */
  #offline() {
    if (this.lost) return;
    this.lost = setInterval(() => api.state().then(() => this.#back(), (error) => { if (error.code !== "offline") this.#back(error); }), 1000);
    banner("offline");
  }

  /** The server is there again: what it was not asked or not told is made up for. */
  async #back(refusal = null) {
    if (!this.lost) return;
    clearInterval(this.lost);
    this.lost = null;
    banner("offline", false);
    if (refusal) {
      complain(refusal); // it has another token now
      return;
    }
    notify(t("back"));
    if (!this.begin.themes) this.begin.listThemes();
    if (!this.models.list.length) this.models.load();
    if (!this.sampler.ready) this.sampler.prepare().catch(complain);
    await this.header.resend();
    if (this.piece && !this.busy) await this.refresh({ anew: this.takes.open });
  }

  #gone(id) {
    if (this.piece?.id !== id) return;
    this.composing.stop();
    history.pushState(null, "", "/");
    this.show(null);
  }

  /** One picture of everything that moves. */
  #frame() {
    requestAnimationFrame(() => this.#frame());
    const { player, recorder, duet } = this;
    const live = recorder.on ? recorder : duet.on ? duet : null;
    if (live) player.endMs = Math.max(player.endMs, live.originMs === null ? 0 : live.positionMs);
    const position = live ? live.positionMs : player.positionMs;
    const now = performance.now();
    const played = this.hands.sounding(now).map((note) => [...note, note[1], 0]);
    if (this.takes.open) this.takes.draw(position, player.playing);
    else this.roll.draw(position, player.playing || live !== null, { frontierMs: this.#frontier(), held: recorder.sounding(now) });
    this.overview.draw(position, false);
    this.falling.draw(position, recorder.sounding(now));
    const active = live || player.playing ? player.active(position) : [];
    this.keyboard.light([...active, ...played], player.playing);
    const time = `${clock(position)} / ${clock(player.endMs)}`;
    if ($("time").textContent !== time) {
      $("time").textContent = time;
      $("seek").setAttribute("aria-valuetext", time);
      this.controls();
    }
    if (!live) $("seek").value = position;
    this.composing.tell();
    this.#describe();
  }

  /** Up to where it is composed, while something is being composed. */
  #frontier() {
    if (!this.composing.on && !this.following.on) return undefined;
    return Math.min(this.player.frontierMs, this.player.frontierMs === Infinity ? this.player.endMs : Infinity);
  }

  #describe() {
    const { notes, endMs } = this.player;
    const key = `${notes.length} ${endMs}`;
    if (this.described === key || this.busy) return;
    this.described = key;
    const pitches = notes.map((note) => note[2]);
    const [low, high] = [pitches.reduce((a, b) => Math.min(a, b), 127), pitches.reduce((a, b) => Math.max(a, b), 0)];
    $("canvas").setAttribute("aria-label", notes.length ? t("rollText", { n: notes.length, time: clock(endMs), low: nameOf(low), high: nameOf(high) }) : t("rollEmpty"));
  }
}

/** Light or dark: as chosen, or else as the system is. */
function dress(theme, keep = false) {
  const chosen = theme ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
  document.documentElement.dataset.theme = chosen;
  colours.choose(chosen);
  if (keep) localStorage.setItem("preludio.theme", chosen);
}

const studio = new Studio();
globalThis.preludio = studio; // for those who look into the page
studio.start().catch((error) => {
  console.error(error);
  status(String(error));
});
