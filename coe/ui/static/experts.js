// What the workers hold: experts by tier, swaps, demand; and the buttons that change it.

import { adminKey, read } from "./api.js";
import { $, element, Rows, setText, showBars, tell } from "./dom.js";
import { NOTHING, ago, bytes, counted, milliseconds, span } from "./format.js";
import { repeatWhileVisible } from "./repeat.js";

const EVERY_S = 2;
const SWAPS_SHOWN = 12;

export function startExperts(section) {
  const experts = new Rows($("experts-table"));
  const swaps = new Rows($("swaps-table"));
  const controls = new Map();
  const refresh = repeatWhileVisible(section, EVERY_S, () => Promise.all([showWorkers(), showSwaps(), showDemand()]));

  async function showWorkers() {
    const reports = await readInto("v1/workers", $("experts-error"));
    if (!reports) return;
    $("workers").replaceChildren(...reports.map(card));
    const rows = reports.flatMap((worker) => worker.experts.map((expert) => ({ worker, expert })));
    rows.sort((a, b) => a.expert.name.localeCompare(b.expert.name) || a.worker.worker_id.localeCompare(b.worker.worker_id));
    experts.show(rows.map((row, place) => shown(row, place === 0 || rows[place - 1].expert.name !== row.expert.name)));
    $("experts-empty").hidden = rows.length > 0;
  }

  function shown({ worker, expert }, first) {
    const key = `${worker.worker_id} ${expert.name} ${first}`;
    const parts = controls.get(key) ?? makeControls(expert.name, first);
    controls.set(key, parts);
    parts.show(expert);
    const waits = expert.state === "ready";
    return {
      key,
      cells: [
        () => parts.name,
        worker.worker_id,
        () => parts.tier,
        () => parts.state,
        bytes(expert.size_bytes),
        String(expert.running),
        String(expert.waiting),
        String(expert.room),
        waits ? milliseconds(expert.wait_s * 1000) : NOTHING,
        expert.swap_s ? milliseconds(expert.swap_s * 1000) : NOTHING,
        expert.unload_in_s === null ? NOTHING : span(expert.unload_in_s),
        () => parts.verbs,
      ],
    };
  }

  // The cells that are more than text. Verbs are for all workers at once, so they stand in an expert's first row.
  function makeControls(name, first) {
    const pinned = element("span", { class: "tag", hidden: true }, "pinned");
    const [tier, state, error] = [element("span", { class: "tier" }), element("span", { class: "state" }), element("span", { class: "cause" })];
    const [load, pin] = [verbButton(name), verbButton(name)];
    return {
      name: element("span", {}, element("span", { class: first ? "name" : "name again" }, name), " ", pinned),
      tier: element("span", {}, tier),
      state: element("span", {}, state, error),
      verbs: first ? element("span", { class: "verbs" }, load.button, pin.button) : element("span", {}, ""),
      show(expert) {
        pinned.hidden = !expert.pinned;
        setText(tier, expert.tier);
        tier.dataset.tier = expert.tier;
        setText(state, expert.state);
        state.dataset.state = expert.state;
        setText(error, expert.error ? ` ${expert.error}` : "");
        load.is(expert.state === "ready" || expert.state === "draining" ? "unload" : "load");
        pin.is(expert.pinned ? "unpin" : "pin");
      },
    };
  }

  function verbButton(name) {
    let verb = "";
    const button = element("button", { type: "button", class: "small", onclick: () => change(button, verb, name) });
    return {
      button,
      is(wanted) {
        if (button.hasAttribute("aria-disabled")) return;
        verb = wanted;
        setText(button, verb[0].toUpperCase() + verb.slice(1));
        button.setAttribute("aria-label", `${verb} ${name}`);
      },
    };
  }

  async function change(button, verb, name) {
    if (button.hasAttribute("aria-disabled")) return;
    button.setAttribute("aria-disabled", "true");
    tell($("verb-error"), "");
    tell($("verb-done"), `${verb} ${name}…`);
    try {
      const done = await read(`v1/experts/${encodeURIComponent(name)}/${verb}`, { method: "POST", admin: true });
      const where = counted(done.workers.length, "worker");
      const how = done.changed ? `done in ${milliseconds(done.seconds * 1000)} on ${where}` : "it was so already";
      tell($("verb-done"), `${verb} ${name}: ${how}; the expert is ${done.state}.`);
    } catch (error) {
      tell($("verb-done"), "");
      const remedy = error.status === 401 ? " It can be typed below, under Admin key." : "";
      tell($("verb-error"), `${verb} ${name}: ${error.message}${remedy}`);
      if (error.status === 401 || error.status === 403) $("key-details").open = true;
    } finally {
      button.removeAttribute("aria-disabled");
      refresh();
    }
  }

  async function showSwaps() {
    const found = await readInto(`v1/swaps?limit=${SWAPS_SHOWN}`, $("swaps-error"));
    if (!found) return;
    swaps.show(
      found.swaps.map((swap) => ({
        key: `${swap.worker} ${swap.epoch} ${swap.number}`,
        cells: [
          ago(swap.at),
          swap.model,
          swap.tier,
          swap.evicted.join(", ") || NOTHING,
          swap.worker,
          swap.error ? `failed: ${swap.error}` : milliseconds(swap.seconds * 1000),
        ],
      })),
    );
    $("swaps-empty").hidden = found.swaps.length > 0;
  }

  async function showDemand() {
    const found = await readInto("v1/demand", $("demand-error"));
    if (!found) return;
    const counts = Object.entries(found.experts);
    const most = Math.max(...counts.map(([, count]) => count), 1e-9);
    showBars($("demand"), counts.map(([name, count]) => ({ name, share: count / most, text: count.toFixed(1) })));
    $("demand-empty").hidden = counts.length > 0;
    tell($("demand-about"), counts.length ? `Requests for each expert; one weighs half as much after ${span(found.half_life_s)}.` : "");
  }

  startKey(refresh);
}

function card(worker) {
  const onDevice = worker.experts.filter((expert) => expert.tier === "device");
  const sizes = new Map(); // experts of one model share its weights
  for (const expert of onDevice) sizes.set(expert.model, Math.max(sizes.get(expert.model) ?? 0, expert.size_bytes));
  const total = [...sizes.values()].reduce((sum, size) => sum + size, 0);
  const sum = (key) => worker.experts.reduce((count, expert) => count + expert[key], 0);
  const fact = (name, value) => element("div", {}, element("dt", {}, name), element("dd", {}, value));
  return element(
    "li",
    {},
    element("h2", {}, worker.worker_id),
    element(
      "dl",
      { class: "facts" },
      fact("On the device", `${onDevice.length} of ${counted(worker.experts.length, "expert")}`),
      fact("Their weights", bytes(total)),
      fact("Running", String(sum("running"))),
      fact("Waiting", String(sum("waiting"))),
      fact("Swaps", String(worker.swaps.at(-1)?.number ?? 0)),
    ),
  );
}

// What was read; null after telling why it could not be.
async function readInto(path, place) {
  try {
    const found = await read(path);
    tell(place, "");
    return found;
  } catch (error) {
    tell(place, error.message);
    return null;
  }
}

function startKey(refresh) {
  const [form, key] = [$("key-form"), $("key")];
  const show = () => setText($("key-state"), adminKey.read() ? "A key is in use." : "No key is in use.");
  const keep = (value) => {
    adminKey.keep(value);
    key.value = "";
    tell($("verb-error"), "");
    show();
    refresh();
  };
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (key.value) keep(key.value);
  });
  $("key-forget").addEventListener("click", () => keep(""));
  show();
}
