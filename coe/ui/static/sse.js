// Server-sent events: the bytes of a reply in, {comment} and {data} out as they come.

export async function* events(reply) {
  const reader = reply.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  try {
    for (;;) {
      const { done, value } = await reader.read();
      rest += value ?? "";
      const lines = rest.split(/\r?\n/);
      rest = done ? "" : lines.pop();
      for (const line of lines) {
        if (line.startsWith(":")) yield { comment: line.slice(1).trim() };
        else if (line.startsWith("data:")) yield { data: line.slice(5).trim() };
      }
      if (done) return;
    }
  } finally {
    await reader.cancel().catch(() => {}); // also where nobody reads on: the service must stop
  }
}
