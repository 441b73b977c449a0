// The playground: a conversation with the service, each answer with what was decided for it.

import { Announcer } from "./announcer.js";
import { AnswerView } from "./answer.js";
import { errorOf, send } from "./api.js";
import { $, element, setText } from "./dom.js";
import { events } from "./sse.js";

const LEFT_OUT = "The message is left out of what is asked next.";

export function startPlayground({ inspect }) {
  const announcer = new Announcer();
  const [form, message, model] = [$("composer"), $("message"), $("model")];
  let turns = [];
  let models = new Map();
  let running = null;

  async function ask(text) {
    const view = new AnswerView(text, inspect);
    const abort = new AbortController();
    begin(abort);
    turns.push({ role: "user", content: text });
    show(element("article", { class: "message asked" }, element("h2", { class: "who" }, "You"), element("div", { class: "text" }, text)));
    show(view.root);
    announcer.say("Sent.");
    let answer = "";
    try {
      for await (const piece of stream(request(), view, abort.signal)) {
        answer += piece;
        announcer.hear(piece);
        follow();
      }
      view.ends(answer ? "" : `The answer is empty. ${LEFT_OUT}`);
      announcer.finish(`Answer of ${view.who.textContent} complete.`);
    } catch (error) {
      if (abort.signal.aborted) {
        view.ends(answer ? "Stopped." : `Stopped. ${LEFT_OUT}`);
        announcer.finish("Stopped.");
      } else {
        view.fails(error, answer ? "" : LEFT_OUT);
      }
    } finally {
      if (abort !== running) return; // a new conversation began meanwhile
      if (answer) turns.push({ role: "assistant", content: answer });
      else turns.pop();
      end();
      follow();
    }
  }

  function request() {
    const system = $("system").value.trim();
    const [temperature, maxTokens, cache] = [$("temperature").value, $("max-tokens").value, $("cache").value];
    return {
      model: model.value || "coe",
      messages: [...(system ? [{ role: "system", content: system }] : []), ...turns],
      stream: true,
      stream_options: { include_usage: true },
      ...(temperature ? { temperature: Number(temperature) } : {}),
      ...(maxTokens ? { max_tokens: Number(maxTokens) } : {}),
      ...(cache ? { coe: { cache } } : {}),
    };
  }

  function begin(abort) {
    running = abort;
    $("stop").hidden = false;
    $("examples").hidden = true;
    $("clear").hidden = false;
    $("send").setAttribute("aria-disabled", "true");
  }

  function end() {
    const stop = $("stop");
    if (document.activeElement === stop) message.focus();
    stop.hidden = true;
    running = null;
    $("send").removeAttribute("aria-disabled");
  }

  function show(node) {
    $("conversation").append(node);
    node.scrollIntoView({ block: "nearest" });
  }

  // Keeps the end in sight for who is near it; who has scrolled up reads in peace.
  function follow() {
    const below = document.documentElement.scrollHeight - scrollY - innerHeight;
    if (below < 160) scrollTo(0, document.documentElement.scrollHeight);
  }

  function submit() {
    const text = message.value.trim();
    if (!text || running) return;
    message.value = "";
    ask(text);
  }

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    submit();
  });
  message.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    form.requestSubmit();
  });
  $("stop").addEventListener("click", () => running?.abort());
  $("playground").addEventListener("keydown", (event) => {
    if (event.key === "Escape") running?.abort();
  });
  $("clear").addEventListener("click", () => {
    running?.abort();
    end();
    turns = [];
    $("conversation").replaceChildren();
    $("examples").hidden = false;
    message.focus();
    $("clear").hidden = true;
  });
  for (const example of document.querySelectorAll(".example")) {
    example.addEventListener("click", () => {
      message.value = example.textContent;
      message.focus();
      form.requestSubmit();
    });
  }
  model.addEventListener("change", about);

  function about() {
    const { description, active_params_b: size } = models.get(model.value) ?? {};
    setText($("model-about"), [description, size && `${size} billion parameters work on each token.`].filter(Boolean).join(" "));
  }

  // Keeps what is chosen, and touches nothing where nothing changed: the list may be open.
  function showModels(listed) {
    models = new Map(listed.map((each) => [each.id, each]));
    const names = [...model.options].map((option) => option.value);
    if (names.join("\n") !== [...models.keys()].join("\n")) {
      const chosen = model.value;
      model.replaceChildren(...[...models.keys()].map((id) => element("option", { value: id })));
      if (models.has(chosen)) model.value = chosen;
    }
    for (const option of model.options) {
      const { id, state } = models.get(option.value);
      setText(option, state === "ready" ? id : `${id} (${state})`);
    }
    about();
  }

  return { showModels };
}

// Asks, tells `view` what the reply says of itself, and gives the pieces of its text.
async function* stream(body, view, signal) {
  const sent = performance.now();
  const reply = await send("v1/chat/completions", { body, signal });
  let [first, decided, usage] = [null, false, null];
  for await (const { comment, data } of events(reply)) {
    if (!decided) view.decided(reply.headers, comment !== undefined);
    decided = true;
    if (comment !== undefined) {
      const why = comment === "ping" ? "" : `: ${comment}`;
      if (first === null) view.waits(`Waiting for the first token, ${Math.round((performance.now() - sent) / 1000)} s${why}…`);
      continue;
    }
    if (data === "[DONE]") break;
    const chunk = JSON.parse(data);
    if (chunk.error) throw errorOf(chunk, reply);
    usage = chunk.usage ?? usage;
    const piece = chunk.choices?.[0]?.delta?.content;
    if (!piece) continue;
    if (first === null) {
      first = performance.now();
      view.firstToken(first - sent);
      view.expert(chunk.model);
    }
    view.add(piece);
    yield piece;
  }
  if (usage) view.tokens(usage, first === null ? 0 : (performance.now() - first) / 1000);
}
