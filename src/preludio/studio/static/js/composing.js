// Composing: a request goes out, notes come in, are drawn and sound while the rest is still being composed.

import * as api from "./api.js";
import { clock, t } from "./i18n.js";
import { complain, notify, status } from "./notices.js";
import * as composeForm from "./composeform.js";

const HEAD_START_MS = 2500; // so much music is there before it sounds ...
const LONGEST_WAIT_MS = 500; // ... or what came within this time
const UPBEAT_MS = 60; // before the first note of a piece from nothing
const OWN = "preludio.composing"; // in the storage of this window
const LEAD_IN_MS = 2500; // how much of the old is heard before the new

export class Composing {
  constructor(studio) {
    this.studio = studio;
    this.preparing = false;
    this.abort = null;
    this.line = null; // what is said meanwhile
  }

  get on() {
    return this.abort !== null;
  }

  /** A new piece from nothing, or from what "Begin from" says. */
  async compose() {
    if (this.preparing) return; // a second click, while the first is still at the piece to begin from
    this.preparing = true;
    try {
      const request = await this.#request();
      this.preparing = false;
      await this.#run(request);
    } catch (error) {
      complain(error);
    } finally {
      this.preparing = false;
    }
  }

  async #request() {
    const request = composeForm.request();
    const source = await this.studio.begin.source();
    if (source.piece) source.if_match = this.studio.piece.etag;
    return { ...request, ...source, takes: composeForm.takes(), model: this.studio.models.chosen };
  }

  /** Everything after the playhead anew. */
  async again() {
    const { player, piece } = this.studio;
    const here = player.positionMs;
    const atEnd = here >= player.endMs - 200;
    try {
      const place = { piece: piece.id, if_match: piece.etag, from_ms: atEnd ? null : Math.round(here) };
      await this.#run({ ...composeForm.request(), ...place, takes: composeForm.takes(), model: this.studio.models.chosen });
    } catch (error) {
      complain(error);
    }
  }

  stop() {
    if (!this.on) return;
    this.abort.abort();
    own(null);
    if (this.working) api.stop(this.working).catch(() => {}); // gone: then it has stopped, or will by itself
  }

  async #run(request) {
    const { studio } = this;
    this.stop();
    studio.liveUpdates.stop();
    if (studio.recorder.on || studio.duet.on) await studio.quiet();
    const abort = new AbortController();
    this.abort = abort;
    this.working = null; // the piece, once it is begun
    this.line = { key: "asking" };
    this.done = null; // of 1; null for not known
    studio.sampler.wake();
    studio.player.pause();
    studio.showDetails(null);
    const run = { request, clickedAt: performance.now(), begun: false, doneMs: 0 };
    try {
      for await (const event of api.compose(request, abort.signal)) {
        if (this.abort !== abort) return;
        this.#on(event, run);
      }
    } catch (error) {
      complain(error);
    } finally {
      if (this.abort === abort) await this.#ended(run);
    }
  }

  #on(event, run) {
    switch (event.event) {
      case "queued":
        this.line = { key: event.place === 1 ? "queued1" : "queuedN", n: event.place };
        break;
      case "started":
        this.#started(event, run);
        break;
      case "notes":
        this.#notes(event, run);
        break;
      case "done":
        run.done = run.over = true;
        this.studio.player.frontierMs = Infinity;
        this.studio.showDetails(event.piece);
        break;
      case "error":
        complain(new api.ApiError(event.code, event.message));
        run.over = true;
        run.refused = event.code === "changed";
        break;
    }
  }

  #started({ piece, versions, from_ms: fromMs, prompt_ms: promptMs, prefix, seconds }, run) {
    const { studio } = this;
    Object.assign(run, { piece: piece.id, fromMs, multiple: versions.length > 1, seconds });
    this.working = piece.id;
    this.line = { key: "composing", ms: fromMs };
    own(piece.id);
    if (location.pathname !== `/p/${piece.id}`) history.pushState(null, "", `/p/${piece.id}`);
    studio.player.set(prefix, fromMs);
    studio.player.frontierMs = fromMs;
    if (studio.piece?.id !== piece.id) {
      studio.roll.refit();
      studio.player.setRegion(null);
    }
    studio.overview.refit();
    studio.roll.seams = promptMs ? [promptMs] : [];
    if (run.multiple) {
      studio.takes.from = Math.max(0, fromMs - LEAD_IN_MS);
      studio.takes.show(versions, prefix, promptMs);
    }
    studio.player.seek(Math.max(0, fromMs - LEAD_IN_MS));
    studio.showDetails(piece);
    api.touched(piece.id);
    if (fromMs) this.#play(run);
  }

  #notes({ takes, seconds }, run) {
    const { studio } = this;
    for (const [take, rows] of Object.entries(takes)) {
      if (run.multiple) studio.takes.add(Number(take), rows);
      else studio.player.add(rows);
    }
    run.doneMs = seconds * 1000;
    this.done = seconds / run.seconds;
    studio.player.frontierMs = run.fromMs + run.doneMs;
    this.line = { key: "composing", ms: run.fromMs + run.doneMs };
    const waited = performance.now() - run.clickedAt;
    if (studio.player.notes.length && (run.doneMs >= HEAD_START_MS || waited > LONGEST_WAIT_MS)) this.#play(run);
  }

  #play(run) {
    if (run.begun) return;
    run.begun = true;
    const { player } = this.studio;
    const opening = run.fromMs || !player.notes.length ? 0 : player.notes[0][0] - UPBEAT_MS;
    player.play(Math.max(player.positionMs, opening)); // who has just clicked does not wait for a rest to pass
  }

  async #ended(run) {
    const { studio } = this;
    this.abort = null;
    this.working = null;
    this.line = null;
    if (run.over) own(null); // a stream that broke may be that of a page which is being reloaded
    status("");
    studio.player.frontierMs = Infinity;
    if (studio.player.notes.length && !run.begun && run.done) this.#play(run);
    if (run.piece) api.touched(run.piece);
    if (run.refused) await studio.refresh(); // not before: a page that still composes shows nothing else
    else if (run.piece && run.piece === studio.piece?.id) await studio.liveUpdates.refresh();
    else studio.showDetails(null);
    studio.controls();
    studio.library.refresh();
  }

  /** A piece whose takes nobody has chosen from yet. */
  async chooseAgain(piece) {
    if (!piece.choosing.length) return;
    try {
      const versions = await Promise.all(piece.choosing.map((number) => api.version(piece.id, number)));
      const { studio } = this;
      studio.takes.from = Math.max(0, versions[0].from_ms - LEAD_IN_MS);
      studio.takes.show(piece.choosing, [], versions[0].prompt_ms);
      versions.forEach((version, number) => studio.takes.add(number, version.notes));
      studio.takes.hear(0, false);
      studio.showDetails(null);
    } catch (error) {
      complain(error);
    }
  }

  async keepTake(version) {
    const { studio } = this;
    const { playing } = studio.player;
    const heard = studio.takes.list[studio.takes.heard]?.version === version;
    this.stop();
    try {
      const piece = await studio.step((piece) => api.goTo(piece, version));
      if (!piece) return;
      const at = studio.player.positionMs;
      studio.show(piece);
      studio.player.seek(at);
      if (playing && heard) studio.player.play(at);
      notify(t("takeStored"));
    } catch (error) {
      complain(error);
    }
  }

  /** The line of status and the bar of progress, from frame to frame. */
  tell() {
    const { studio } = this;
    const { piece, player, liveUpdates } = studio;
    if (this.line) status(t(this.line.key, { n: this.line.n, time: clock(this.line.ms ?? 0) }), true);
    else if (liveUpdates.on) status(t(isOwn(piece?.id) ? "composing" : "composedElsewhere", { time: clock(liveUpdates.doneMs) }), true);
    else if (player.playing && player.stalled) status(t("waiting"), true);
    else if (studio.recorder.on) status(t(performance.now() < studio.recorder.beginsAt ? "countingIn" : "recording"), true);
    else if (piece && piece.finished === false && !piece.composing && !piece.choosing?.length) status(t("unfinished", { time: clock(piece.end_ms) }));
    else status("");
    showProgress(this.on || liveUpdates.on, this.on ? this.done : liveUpdates.done);
  }

  words() {
    status("");
  }
}

/** What this window composes, so that it knows it again after a reload. */
function own(piece) {
  if (piece) sessionStorage.setItem(OWN, piece);
  else sessionStorage.removeItem(OWN);
}

const isOwn = (piece) => sessionStorage.getItem(OWN) === piece;

function showProgress(on, share) {
  const bar = document.getElementById("progress");
  bar.hidden = !on;
  if (!on || share === null) bar.removeAttribute("value");
  else bar.value = Math.min(1, share);
}
