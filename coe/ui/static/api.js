// The service's API as this page asks it. Addresses are relative, so that the service may stand below any prefix.

const ROOT = new URL("../", document.baseURI);
const KEY = "coe.admin-key";

// An error in the service's own words, with the remedy that they name.
export class ServiceError extends Error {
  constructor(message, { status = 0, code = null, retryAfter = null } = {}) {
    super(message);
    this.status = status;
    this.code = code;
    this.retryAfter = retryAfter;
  }
}

export const adminKey = {
  read: () => sessionStorage.getItem(KEY) ?? "",
  keep: (key) => (key ? sessionStorage.setItem(KEY, key) : sessionStorage.removeItem(KEY)),
};

// A reply whose headers are there. Raises ServiceError, or AbortError where `signal` ended it.
export async function send(path, { body, signal, admin = false, method = body === undefined ? "GET" : "POST" } = {}) {
  const headers = {};
  if (body !== undefined) headers["content-type"] = "application/json";
  if (admin && adminKey.read()) headers.authorization = `Bearer ${asHeader(adminKey.read())}`;
  let reply;
  try {
    reply = await fetch(new URL(path, ROOT), {
      method,
      headers,
      signal,
      body: body === undefined ? undefined : JSON.stringify(body),
      cache: "no-store",
      credentials: "same-origin",
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ServiceError("The service does not answer. Is it running? `coe serve` starts it.");
  }
  if (!reply.ok) throw await refusal(reply);
  return reply;
}

export const read = async (path, options) => (await send(path, options)).json();

// What a stream or a reply tells as an error, in one shape.
export function errorOf(body, reply) {
  const { message, code, type } = body?.error ?? {};
  return new ServiceError(message ?? `The service answered ${reply.status} without saying why.`, {
    status: reply.ok ? 0 : reply.status, // in a stream that has begun there is none
    code: code ?? type ?? null,
    retryAfter: reply.headers.get("retry-after"),
  });
}

async function refusal(reply) {
  return errorOf(await reply.json().catch(() => null), reply);
}

// Letters beyond Latin-1 travel as the bytes of UTF-8, which is what the service compares.
const asHeader = (text) => String.fromCharCode(...new TextEncoder().encode(text));
