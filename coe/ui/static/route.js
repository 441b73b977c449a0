// The route inspector: a prompt in, its category, the router's probabilities and the reason for its expert out.

import { read } from "./api.js";
import { $, element, setText, showBars, tell } from "./dom.js";
import { counted, milliseconds, percent } from "./format.js";

const CHOSEN_BY = {
  configuration: (found) => `The configuration sends the category ${found.category} to it (router.map).`,
  map: (found) => `The router learned that it is the best for the category ${found.category}.`,
  prompt: () => "The router chooses prompt by prompt, and expects the most of it here.",
  abstention: () => "It is the general expert, which takes what the router will not decide.",
  default: (found) => `It is the general expert, because none is named for the category ${found.category}.`,
};

export function startRoute(section) {
  const [form, prompt] = [$("route-form"), $("route-prompt")];
  let asked = 0;

  async function show() {
    const text = prompt.value.trim();
    if (!text) return;
    const mine = ++asked;
    let found;
    try {
      found = await read("v1/route", { body: { prompt: text } });
    } catch (error) {
      if (mine === asked) fail(error.message);
      return;
    }
    if (mine !== asked) return; // another prompt was asked meanwhile
    tell($("route-error"), "");
    $("route-empty").hidden = true;
    const result = $("route-result");
    result.replaceChildren(...headline(found));
    result.hidden = false;
    const ordered = Object.entries(found.probabilities).sort(([, a], [, b]) => b - a);
    showBars($("probabilities"), ordered.map(([name, share]) => ({ name, share, text: percent(share), chosen: name === found.category })));
    showBars($("scope"), scope(found));
    $("why").replaceChildren(...why(found).flatMap(([name, reason]) => [element("dt", {}, name), element("dd", {}, reason)]));
    $("route-detail").hidden = false;
  }

  function fail(message) {
    tell($("route-error"), message);
    for (const place of ["route-result", "route-detail", "route-empty"]) $(place).hidden = true;
  }

  async function showRouter() {
    try {
      const { version, categories, drift } = await read("v1/router");
      const drifted = Object.values(drift.drifted).some(Boolean) ? " Its traffic has drifted: see Operations, Drift." : "";
      setText($("router"), `Router ${version}, ${counted(categories.length, "category").replace("categorys", "categories")}.${drifted}`);
    } catch (error) {
      setText($("router"), error.message);
    }
  }

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    show();
  });
  prompt.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    form.requestSubmit();
  });
  new MutationObserver(() => section.hidden || showRouter()).observe(section, { attributeFilter: ["hidden"] });

  return {
    inspect(text) {
      prompt.value = text;
      location.hash = section.id;
      show();
    },
  };
}

function headline(found) {
  const sure = found.abstained ? "the router would not decide" : `${percent(found.confidence)} sure`;
  return [
    element("p", { class: "headline" }, element("b", {}, found.category), element("span", { class: "arrow", "aria-label": "goes to" }, "→"), element("b", {}, found.expert)),
    element("p", { class: "hint" }, `${sure}, plan ${found.plan}, decided in ${milliseconds(found.router_ms)} by router ${found.router_version || "none"}`),
  ];
}

function scope({ in_scope: share, reject_rate: limit, abstained }) {
  if (share === null) return [];
  return [
    { name: "In scope", share, text: percent(share), chosen: !abstained },
    { name: "Threshold", share: limit, text: percent(limit) },
  ];
}

function why(found) {
  const reasons = [];
  if (found.in_scope !== null) {
    const [share, limit] = [percent(found.in_scope), percent(found.reject_rate)];
    const verdict = found.abstained
      ? `At most ${limit} means that it is like nothing the router was trained on, so it does not decide.`
      : `More than the threshold of ${limit}, so the router decides.`;
    reasons.push(["Whether to decide", `${share} of the prompts the router was trained for are no more at home than this one. ${verdict}`]);
  } else {
    reasons.push(["Whether to decide", "There is no text to classify."]);
  }
  const named = found.instead_of ?? found.expert;
  reasons.push([named, CHOSEN_BY[found.chosen_by]?.(found) ?? "It was named."]);
  if (found.instead_of) {
    reasons.push([
      `${found.expert} instead`,
      `It is in device memory and has room, which saves a swap; its expected score is ${found.score_loss.toFixed(3)} lower, within router.resident.max_score_loss.`,
    ]);
  }
  return reasons;
}
