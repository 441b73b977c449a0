// The latest decisions of all gateways.

import { read } from "./api.js";
import { $, element, Rows, tell } from "./dom.js";
import { NOTHING, ago, percent } from "./format.js";
import { repeatWhileVisible } from "./repeat.js";

const EVERY_S = 2;
const SHOWN = 50;

export function startDecisions(section) {
  const rows = new Rows($("decisions-table"));

  async function show() {
    let found;
    try {
      found = await read(`v1/decisions?limit=${SHOWN}`, { admin: true });
    } catch (error) {
      tell($("decisions-error"), error.message);
      return;
    }
    tell($("decisions-error"), "");
    tell($("decisions-note"), found.prompts_withheld ? "The service keeps prompts, and shows them with the admin key (see Experts, Admin key)." : "");
    rows.show(found.decisions.map(shown));
    $("decisions-empty").hidden = found.decisions.length > 0;
  }

  function shown(decision) {
    const key = decision.request_id;
    const instead = decision.instead_of ? ` (instead of ${decision.instead_of})` : "";
    return {
      key,
      cells: [
        ago(decision.at),
        decision.category ?? "expert named",
        decision.category ? percent(decision.confidence) : NOTHING,
        decision.expert ? `${decision.expert}${instead}` : "no answer",
        decision.plan,
        decision.prompt ?? "not kept",
        () => element("details", { class: "id" }, element("summary", {}, element("code", {}, key.slice(0, 8))), element("code", {}, key)),
      ],
    };
  }

  repeatWhileVisible(section, EVERY_S, show);
}
