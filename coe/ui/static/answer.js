// One answer as it is shown: text as it streams, what was decided, how it ended.

import { element, setText, tell } from "./dom.js";
import { counted, milliseconds, percent } from "./format.js";

export class AnswerView {
  constructor(prompt, inspect) {
    this.text = document.createTextNode("");
    this.who = element("span", {}, "…");
    this.status = element("p", { class: "status" }, "Sent. Waiting for a decision…");
    this.problem = element("p", { class: "note bad", role: "alert", hidden: true });
    this.facts = element("dl", { class: "facts", hidden: true });
    this.values = new Map();
    this.root = element(
      "article",
      { class: "message answer", "aria-busy": "true" },
      element("h2", { class: "who" }, this.who),
      element("div", { class: "text" }, this.text),
      this.status,
      this.problem,
      this.facts,
    );
    this.inspector = element("button", { type: "button", class: "link", onclick: () => inspect(prompt) }, "Why?");
  }

  // From the headers, which are there before the text. `early`: they came before the answer began.
  decided(headers, early) {
    const category = headers.get("x-coe-category");
    const routed = category !== null && category !== "none";
    this.expert(headers.get("x-coe-expert"));
    this.fact("Category", routed ? category : "not asked");
    if (routed) this.fact("Confidence", percent(Number(headers.get("x-coe-confidence"))));
    this.fact("Plan", headers.get("x-coe-plan"));
    this.fact("Instead of", headers.get("x-coe-instead-of"));
    if (routed) this.fact("Router", milliseconds(Number(headers.get("x-coe-router-ms"))));
    if (!early) this.fact("Swap", swap(headers.get("x-coe-swap-ms")));
    this.fact("Cache", headers.get("x-coe-cache"));
    if (routed) this.facts.after(this.inspector);
    this.facts.hidden = false;
    this.waits("Waiting for the first token…");
  }

  // Who answers: a fallback may take over from who was decided for.
  expert(name) {
    if (!name) return;
    setText(this.who, name);
    this.fact("Expert", name);
  }

  waits(status) {
    tell(this.status, status);
  }

  add(piece) {
    this.text.appendData(piece); // text, whatever it contains
    tell(this.status, "");
  }

  firstToken(ms) {
    this.fact("First token", milliseconds(ms));
  }

  tokens({ prompt_tokens: prompt, completion_tokens: completion }, seconds) {
    const rate = completion > 1 && seconds > 0 ? `, ${Math.round((completion - 1) / seconds)}/s` : "";
    this.fact("Tokens", `${prompt} in, ${completion} out${rate}`);
  }

  ends(ending) {
    this.root.setAttribute("aria-busy", "false");
    tell(this.status, ending);
  }

  fails(error, ending) {
    const again = error.retryAfter ? ` Try again in ${counted(Number(error.retryAfter), "second")}.` : "";
    const code = [error.status || null, error.code].filter(Boolean).join(" ");
    if (this.who.textContent === "…") setText(this.who, "No answer");
    this.ends(ending);
    tell(this.problem, `${error.message}${again}${code ? ` (${code})` : ""}`);
  }

  fact(name, value) {
    if (!value) return;
    const known = this.values.get(name);
    if (known) {
      setText(known, value);
      return;
    }
    const shown = element("dd", {}, value);
    this.values.set(name, shown);
    this.facts.append(element("div", {}, element("dt", {}, name), shown));
  }
}

const swap = (ms) => (Number(ms) ? milliseconds(Number(ms)) : "none");
