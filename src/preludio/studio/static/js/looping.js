// The loop: all of the piece, or from one moment to another. By the mouse on the strip of times, or by buttons.

import { fine, t } from "./i18n.js";

const $ = (id) => document.getElementById(id);

export class Looping {
  constructor(player) {
    this.player = player;
    $("loop").onclick = () => player.setLoop(!player.loop);
    $("loop-from").onclick = () => this.#from(player.positionMs);
    $("loop-to").onclick = () => this.#to(player.positionMs);
    $("loop-all").onclick = () => {
      player.setRegion(null);
      $("loop-from").focus(); // its own place is gone
    };
    player.addEventListener("change", () => this.show());
  }

  /** Of a drag on the strip of times; once it is done, the playhead comes along. */
  draw(region, done) {
    const { player } = this;
    player.setRegion(region);
    if (!player.region) return;
    if (!player.loop) player.setLoop(true);
    const here = player.positionMs;
    if (done && (here < region.from || here >= region.to)) player.seek(region.from);
  }

  #from(ms) {
    const { region } = this.player;
    this.player.setRegion({ from: ms, to: region && region.to > ms ? region.to : Infinity });
  }

  #to(ms) {
    const { player } = this;
    const from = player.region?.from ?? 0;
    player.setRegion({ from: from < ms ? from : 0, to: ms });
    if (player.region) player.seek(player.region.from); // the end was just heard
  }

  show() {
    const { loop, region, endMs } = this.player;
    $("loop").setAttribute("aria-pressed", String(loop));
    $("looping").hidden = !loop;
    $("loop-all").hidden = region === null;
    $("loop-hint").hidden = region !== null;
    const words = region ? t("loopRegion", { from: fine(region.from), to: fine(Math.min(region.to, endMs)) }) : t("loopWhole");
    if ($("loop-out").textContent !== words) $("loop-out").textContent = words;
  }
}
