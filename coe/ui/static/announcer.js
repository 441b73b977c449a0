// Streamed text for screen readers: whole sentences, some seconds apart, instead of every token.

import { $ } from "./dom.js";

const APART_MS = 2000;

export class Announcer {
  #pending = "";
  #last = 0;

  // Says something at once.
  say(text) {
    this.#pending = "";
    $("announcer").textContent = text;
    this.#last = performance.now();
  }

  // Takes a piece of an answer, and says what is complete of it when it is time.
  hear(piece) {
    this.#pending += piece;
    const end = Math.max(...[". ", "! ", "? ", "\n", ": "].map((mark) => this.#pending.lastIndexOf(mark)));
    if (end < 0 || performance.now() - this.#last < APART_MS) return;
    const [whole, rest] = [this.#pending.slice(0, end + 1), this.#pending.slice(end + 1)];
    this.say(whole);
    this.#pending = rest;
  }

  // Says the rest, and then how it ended.
  finish(ending) {
    this.say(`${this.#pending} ${ending}`.trim());
  }
}
