// Mistakes in handlers of callbacks: the compiler finds each, or complains of the comment above it.

import { connect } from "./enkaku.js";
import { Failed, type FarmCallbacksHandler, serveFarmCallbacks } from "./client.js";

async function* lines(): AsyncGenerator<string, number, void> {
  yield "";
  return 0;
}

const correct: FarmCallbacksHandler = {
  jobCancel() {},
  jobRun: lines,
  async *shell() {},
  workerLoad: () => ({ load: 1 }),
};
serveFarmCallbacks(correct);
// @ts-expect-error: a method is missing
serveFarmCallbacks({ jobCancel() {}, jobRun: lines, async *shell() {} });
// @ts-expect-error: no such callback
serveFarmCallbacks({ ...correct, jobStart() {} });
// @ts-expect-error: the param is a job
serveFarmCallbacks({ ...correct, jobRun: (param: string) => (param ? lines() : lines()) });
// @ts-expect-error: a stream is a generator
serveFarmCallbacks({ ...correct, jobRun: async () => 0 });
// @ts-expect-error: a generator awaits nothing unless it is async
serveFarmCallbacks({ ...correct, *jobRun() { yield ""; return 0; } });
// @ts-expect-error: an item is a string
serveFarmCallbacks({ ...correct, async *jobRun() { yield 1; return 0; } });
// @ts-expect-error: the result is missing
serveFarmCallbacks({ ...correct, async *jobRun() { yield ""; } });
// @ts-expect-error: the result is a number
serveFarmCallbacks({ ...correct, async *jobRun() { yield ""; return "0"; } });
// @ts-expect-error: a required property is missing
serveFarmCallbacks({ ...correct, workerLoad: () => ({}) });
// @ts-expect-error: a property has another type
serveFarmCallbacks({ ...correct, workerLoad: async () => ({ load: "1" }) });
// @ts-expect-error: streams have no items
serveFarmCallbacks({ ...correct, jobRun: (_, { items }) => (items ? lines() : lines()) });
// @ts-expect-error: an item that is received is a string
serveFarmCallbacks({ ...correct, async *shell(_, { items }) { for await (const item of items) yield item.load; } });
// @ts-expect-error: the data is missing
new Failed("failed");
// @ts-expect-error: the data has another type
new Failed("failed", { status: "1" });
// @ts-expect-error: a handler is made by serve()
connect("/rpc/", { handler: correct });
