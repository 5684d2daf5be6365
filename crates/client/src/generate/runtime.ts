/** One wrong member of an input. */
export interface FieldError {
  /** Where: `address.lines[2]`; empty for the whole. */
  field: string;
  /** What is wrong with it. */
  message: string;
}

/** A problem that the service answered with (RFC 9457). `code` is stable: programs may compare it. */
export class ApiProblem<Code extends string = string> extends Error {
  readonly status: number;
  readonly code: Code;
  /** For people: what to do. */
  readonly detail: string;
  /** What is wrong with the input, member by member. */
  readonly errors: readonly FieldError[];
  /** Under which the call stands in the service's log. */
  readonly requestId: string | undefined;
  /** After how many seconds it is worth trying again. */
  readonly retryAfter: number | undefined;

  constructor(document: ProblemDocument, retryAfter?: number) {
    super(`${document.code} (${document.status}): ${document.detail}`);
    Object.setPrototypeOf(this, new.target.prototype);
    this.name = "ApiProblem";
    this.status = document.status;
    this.code = document.code as Code;
    this.detail = document.detail;
    this.errors = document.errors ?? [];
    this.requestId = document.requestId;
    this.retryAfter = retryAfter;
  }
}

/** A call that brought no output and no problem either: `unreachable`, `timed_out`, `broken_off` or `malformed_answer`. */
export class CallFailed extends Error {
  readonly code: "unreachable" | "timed_out" | "broken_off" | "malformed_answer";

  constructor(code: CallFailed["code"], message: string) {
    super(message);
    Object.setPrototypeOf(this, new.target.prototype);
    this.name = "CallFailed";
    this.code = code;
  }
}

/** Whether this is a problem of the service, and the one with this code if one is given. */
export function isProblem<Code extends string = string>(error: unknown, code?: Code): error is ApiProblem<Code> {
  return error instanceof ApiProblem && (code === undefined || error.code === code);
}

/** What became of a call: its output, or a problem that its method declares. */
export type Outcome<Output, Code extends string> =
  | { readonly ok: true; readonly output: Output }
  | { readonly ok: false; readonly problem: ApiProblem<Code> };

/** A call that is not sent yet: an item of a batch, or for `Connection.outcome`. */
export interface PreparedCall<Output, Code extends string> {
  readonly method: string;
  readonly input: unknown;
  /** Never there: they carry types. */
  readonly outputType?: Output;
  readonly codeType?: Code;
}

export interface ConnectionOptions {
  /** Where the service is, as `https://host/api/users`. */
  url: string;
  /** A token, or where to get one: asked for the first call, and anew after one was refused with `token_expired`. */
  token?: string | (() => string | Promise<string>);
  serviceKey?: string;
  /** The tenant for which a service calls. */
  tenant?: string;
  /** How long a call may take, in milliseconds; 30 000. The service is told. Of a stream, the time until its first answer. */
  timeoutMs?: number;
  /** In place of the global `fetch`. */
  fetch?: (url: string, init: RequestInit) => Promise<Response>;
}

export interface CallOptions {
  /** Ends the call: its promise is rejected with the signal's reason. */
  signal?: AbortSignal;
  timeoutMs?: number;
  /** 32 lower-case hexadecimal digits under which the call stands in logs. */
  requestId?: string;
  /** W3C trace context. */
  traceparent?: string;
}

interface ProblemDocument {
  status: number;
  code: string;
  detail: string;
  errors?: FieldError[];
  requestId?: string;
}

interface BatchAnswer {
  status: number;
  output?: unknown;
  problem?: ProblemDocument;
}

/** Calls the methods of the services behind one address. */
export class Connection {
  readonly #options: ConnectionOptions;
  #token: Promise<string> | undefined;

  constructor(options: ConnectionOptions) {
    this.#options = { ...options, url: options.url.replace(/\/+$/, "") };
  }

  /** Calls a method and gives its output. */
  async call<Output>(method: string, input: unknown, options: CallOptions = {}): Promise<Output> {
    return this.#post(`/rpc/${method}`, input, options, "application/json", async (response) => {
      return (await json(response)) as Output;
    });
  }

  /** Sends a prepared call. A problem is a value here and nothing is thrown for it. */
  async outcome<Output, Code extends string>(
    call: PreparedCall<Output, Code>,
    options: CallOptions = {},
  ): Promise<Outcome<Output, Code>> {
    try {
      return { ok: true, output: await this.call<Output>(call.method, call.input, options) };
    } catch (error) {
      if (isProblem<Code>(error)) return { ok: false, problem: error };
      throw error;
    }
  }

  /** Sends several calls in one request; each has an outcome of its own, in their order. */
  async batch<Calls extends readonly PreparedCall<unknown, string>[]>(
    calls: readonly [...Calls],
    options: CallOptions = {},
  ): Promise<{ [K in keyof Calls]: Calls[K] extends PreparedCall<infer Output, infer Code> ? Outcome<Output, Code> : never }> {
    const items = calls.map(({ method, input }) => ({ method, input }));
    const answers = items.length === 0 ? [] : await this.#post("/rpc", items, options, "application/json", json);
    if (!Array.isArray(answers) || answers.length !== items.length) {
      throw new CallFailed("malformed_answer", "the batch has not one answer for each call");
    }
    const outcomes = (answers as BatchAnswer[]).map(({ output, problem }) =>
      problem === undefined ? { ok: true, output } : { ok: false, problem: new ApiProblem(problem) },
    );
    return outcomes as unknown as {
      [K in keyof Calls]: Calls[K] extends PreparedCall<infer Output, infer Code> ? Outcome<Output, Code> : never;
    };
  }

  /** Calls a method that answers with a stream. Leaving the loop ends the call. */
  async *stream<Item>(method: string, input: unknown, options: CallOptions = {}): AsyncGenerator<Item, void, undefined> {
    // The timeout ends with the first answer; the caller's signal stays.
    const leaving = new AbortController();
    const leave = () => leaving.abort(options.signal?.reason);
    options.signal?.addEventListener("abort", leave);
    if (options.signal?.aborted) leave();
    try {
      const opened = { ...options, signal: leaving.signal };
      const body = await this.#post(`/rpc/${method}`, input, opened, "text/event-stream", async (response) => {
        const kind = response.headers.get("content-type") ?? "";
        if (!kind.startsWith("text/event-stream") || response.body === null) {
          throw new CallFailed("malformed_answer", `expected a stream of items, found ${kind}`);
        }
        return response.body;
      }, leaving);
      for await (const event of events(body)) {
        if (event.name === "end") return;
        if (event.name === "problem") throw new ApiProblem(parse(event.data) as ProblemDocument);
        if (event.name !== "") throw new CallFailed("malformed_answer", `an event ${event.name} is not known`);
        yield parse(event.data) as Item;
      }
      throw new CallFailed("broken_off", "the stream broke off before its end");
    } catch (error) {
      if (options.signal?.aborted) throw options.signal.reason ?? error;
      if (error instanceof TypeError) throw new CallFailed("broken_off", String(error));
      throw error;
    } finally {
      options.signal?.removeEventListener("abort", leave);
      leaving.abort();
    }
  }

  async #post<T>(
    path: string,
    input: unknown,
    options: CallOptions,
    accept: string,
    read: (response: Response) => Promise<T>,
    given?: AbortController,
  ): Promise<T> {
    const timeoutMs = options.timeoutMs ?? this.#options.timeoutMs ?? 30_000;
    const deadline = Date.now() + timeoutMs;
    const ending = given ?? new AbortController();
    const leave = () => ending.abort(options.signal?.reason);
    let timedOut = false;
    const timer = setTimeout(() => {
      timedOut = true;
      ending.abort();
    }, timeoutMs);
    if (given === undefined) options.signal?.addEventListener("abort", leave);
    if (options.signal?.aborted) leave();
    const body = JSON.stringify(input);
    const send = this.#options.fetch ?? fetch;
    let answered = false;
    try {
      for (let attempt = 0; ; attempt++) {
        const token = this.#currentToken();
        const headers: Record<string, string> = {
          accept,
          "content-type": "application/json",
          "x-request-timeout-ms": String(Math.max(1, deadline - Date.now())),
        };
        if (token !== undefined) headers["authorization"] = `Bearer ${await token}`;
        if (this.#options.serviceKey !== undefined) headers["x-service-key"] = this.#options.serviceKey;
        if (this.#options.tenant !== undefined) headers["x-tenant-id"] = this.#options.tenant;
        if (options.requestId !== undefined) headers["x-request-id"] = options.requestId;
        if (options.traceparent !== undefined) headers["traceparent"] = options.traceparent;
        const response = await send(this.#options.url + path, { method: "POST", headers, body, signal: ending.signal });
        answered = true;
        if (response.status === 200) return await read(response);
        const problem = await problemOf(response);
        if (attempt === 0 && problem.code === "token_expired" && this.#renews(token)) continue;
        if (problem.code === "deadline_passed") throw new CallFailed("timed_out", "the answer was not ready in time");
        throw problem;
      }
    } catch (error) {
      if (options.signal?.aborted) throw options.signal.reason ?? error;
      if (timedOut) throw new CallFailed("timed_out", "the answer was not ready in time");
      if (error instanceof TypeError) throw new CallFailed(answered ? "broken_off" : "unreachable", String(error));
      throw error;
    } finally {
      clearTimeout(timer);
      if (given === undefined) options.signal?.removeEventListener("abort", leave);
    }
  }

  #currentToken(): Promise<string> | undefined {
    const { token } = this.#options;
    if (typeof token !== "function") return token === undefined ? undefined : Promise.resolve(token);
    if (this.#token === undefined) {
      const asked = Promise.resolve().then(token);
      this.#token = asked;
      // Who gave none is asked again by the next call.
      asked.catch(() => {
        if (this.#token === asked) this.#token = undefined;
      });
    }
    return this.#token;
  }

  #renews(shown: Promise<string> | undefined): boolean {
    if (typeof this.#options.token !== "function") return false;
    if (this.#token === shown) this.#token = undefined;
    return true;
  }
}

async function json(response: Response): Promise<unknown> {
  return parse(await response.text());
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new CallFailed("malformed_answer", `the answer is not JSON: ${String(error)}`);
  }
}

async function problemOf(response: Response): Promise<ApiProblem> {
  const document = (await json(response)) as ProblemDocument | null;
  if (document === null || typeof document !== "object" || typeof document.code !== "string") {
    throw new CallFailed("malformed_answer", `the answer with status ${response.status} is no problem document`);
  }
  const retryAfter = Number(response.headers.get("retry-after") ?? NaN);
  return new ApiProblem(document, Number.isFinite(retryAfter) ? retryAfter : undefined);
}

/** Server-sent events as they come; an event with a name and no data is one too. */
async function* events(body: ReadableStream<Uint8Array>): AsyncGenerator<{ name: string; data: string }, void, undefined> {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  let text = "";
  let name = "";
  let data: string[] = [];
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    text += decoder.decode(value, { stream: true });
    // A CR at the end may be the first half of a line end.
    const lines = text.split(/\r\n|\n|\r(?!$)/);
    text = lines.pop() ?? "";
    for (const line of lines) {
      if (line === "") {
        if (name !== "" || data.length > 0) yield { name, data: data.join("\n") };
        name = "";
        data = [];
        continue;
      }
      const colon = line.indexOf(":");
      const field = colon < 0 ? line : line.slice(0, colon);
      const rest = colon < 0 ? "" : line.slice(colon + 1);
      const fieldValue = rest.startsWith(" ") ? rest.slice(1) : rest;
      if (field === "event") name = fieldValue;
      if (field === "data") data.push(fieldValue);
    }
  }
}
