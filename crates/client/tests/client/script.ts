// Calls a running service through the client that was made from its description, and prints what came.
import { ApiProblem, CallFailed, Connection, isProblem, Order, OrdersClient, OrdersFindCode } from "./orders";

declare const process: { argv: string[]; exitCode: number };

function check(condition: boolean, what: string): asserts condition {
  if (!condition) throw new Error(what);
}

async function failure(call: Promise<unknown>): Promise<unknown> {
  try {
    await call;
  } catch (error) {
    return error;
  }
  throw new Error("the call did not fail");
}

async function main(): Promise<void> {
  const [url, token, expired, streaming] = process.argv.slice(2) as [string, string, string, string];
  const tokens = [expired, token];
  const connection = new Connection({ url, token: () => tokens.shift() ?? token });
  const orders = new OrdersClient(connection);

  const order: Order = await orders.find({ id: 7 });
  check(order.id === 7 && order.state === "in-the-kitchen" && order.payment.by === "split", "find");
  check(order.payment.among === 3 && order.lines[0]?.seat[1] === true, "the shapes of an order");
  check(tokens.length === 0, "the expired token was replaced");
  const put = await orders.put({ ...order, note: "hot", type: { Delivery: { street: "Elm" } }, payment: { by: "nobody" } });
  check(put.note === "hot" && JSON.stringify(put.type) === '{"Delivery":{"street":"Elm"}}', "put");
  const page = await orders.search({ terms: ["soup", 7], "page-size": 3 });
  check(JSON.stringify(page.extra) === '{"page-size":3,"terms":["soup",7]}', "search");
  check((await orders.who())?.includes("ada") === true, "who");

  const missing = await failure(orders.find({ id: 404 }));
  check(isProblem<OrdersFindCode>(missing, "order_not_found") && missing.status === 404, "a problem");
  check(missing.detail === "there is no such order" && missing.requestId?.length === 32, "its texts");
  const wrong = await failure(connection.call("orders@1/find", { id: "x" }));
  check(wrong instanceof ApiProblem && wrong.errors[0]?.field === "id", "a wrong member is named");
  await orders.rare({});
  const over = await failure(orders.rare({}));
  check(isProblem(over, "rate_limited") && (over.retryAfter ?? 0) > 0, "when to come back");

  const outcome = await connection.outcome(OrdersClient.calls.find({ id: 409 }));
  check(!outcome.ok, "an outcome");
  const code: OrdersFindCode = outcome.problem.code;
  check(code === "order_closed", "its code has a type");
  const [first, second] = await connection.batch([OrdersClient.calls.find({ id: 3 }), OrdersClient.calls.search({})]);
  check(first.ok && first.output.id === 3 && second.ok && second.output.total === 1, "a batch");

  const leaving = new AbortController();
  const left = failure(orders.slow({}, { signal: leaving.signal }));
  leaving.abort(new Error("left"));
  check(((await left) as Error).message === "left", "an aborted call");
  const late = await failure(orders.slow({}, { timeoutMs: 50 }));
  check(late instanceof CallFailed && late.code === "timed_out", "a late call");
  const nobody = await failure(new OrdersClient(new Connection({ url: "http://127.0.0.1:1" })).slow({}));
  check(nobody instanceof CallFailed && nobody.code === "unreachable", "nobody there");

  const streams = new OrdersClient(new Connection({ url: streaming }));
  const ids: number[] = [];
  for await (const item of streams.watch({ id: 1 })) ids.push(item.id);
  check(ids.join() === "1,2", "a stream");
  for (const expected of ["order_closed", "broken_off"]) {
    const broken = await failure((async () => {
      for await (const item of streams.watch({ id: 1 })) check(item.id === 1, "an item before the end");
    })());
    check((broken instanceof ApiProblem || broken instanceof CallFailed) && broken.code === expected, expected);
  }
  for await (const item of streams.watch({ id: 1 })) {
    check(item.id === 9, "the first item");
    break;
  }
  console.log("done");
}

main().catch((error) => {
  console.log(String(error instanceof Error ? error.stack : error));
  process.exitCode = 1;
});
