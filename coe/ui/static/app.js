// The page's frame: which section is shown, and whether the service answers.

import { read } from "./api.js";
import { startDecisions } from "./decisions.js";
import { $, setText } from "./dom.js";
import { startExperts } from "./experts.js";
import { counted } from "./format.js";
import { startPlayground } from "./playground.js";
import { repeatWhileVisible } from "./repeat.js";
import { startRoute } from "./route.js";

const sections = [...document.querySelectorAll("main > section")];
const links = [...document.querySelectorAll("nav a")];

function show({ focus }) {
  const wanted = location.hash.slice(1);
  const shown = sections.find((section) => section.id === wanted) ?? sections[0];
  for (const section of sections) section.hidden = section !== shown;
  for (const link of links) {
    if (link.hash === `#${shown.id}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  const title = shown.querySelector("h1");
  document.title = `${title.textContent} – coe`;
  if (!focus) return;
  title.focus({ preventScroll: true });
  scrollTo(0, 0);
}

async function look(showModels) {
  const state = $("service");
  try {
    const { data } = await read("v1/models");
    showModels(data);
    const [routed, ...others] = data;
    const experts = others.filter(({ id }) => !id.startsWith(`${routed.id}/`)); // without plans
    const ready = experts.filter((model) => model.state === "ready").length;
    state.dataset.state = routed.state === "ready" ? "good" : "wait";
    setText(state, `${ready} of ${counted(experts.length, "expert")} ready`);
  } catch (error) {
    state.dataset.state = "bad";
    setText(state, "no answer");
    state.title = error.message;
    return;
  }
  state.removeAttribute("title");
}

const playground = startPlayground({ inspect: (prompt) => route.inspect(prompt) });
const route = startRoute($("route"));
startExperts($("experts"));
startDecisions($("decisions"));
// A link inside the page to a section moves the focus there; other hashes, such as that of `Skip to the content`, do not.
addEventListener("hashchange", () => {
  if (links.some((link) => link.hash === location.hash)) show({ focus: true });
});
show({ focus: false });
repeatWhileVisible(null, 5, () => look(playground.showModels));
