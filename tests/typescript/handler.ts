// Handlers that a user writes for the callbacks of a protocol.

import { connect } from "./enkaku.js";
import { Failed, type FarmCallbacksHandler, FarmClient, type Job, serveFarmCallbacks } from "./client.js";

type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;

function same<A, B>(_: Same<A, B>): void {}

export class Worker implements FarmCallbacksHandler {
  private readonly running = new Set<number>();

  jobCancel(id: number): void {
    this.running.delete(id);
  }

  async *jobRun({ id, command }: Job): AsyncGenerator<string, number, void> {
    this.running.add(id);
    if (command === "") throw new Failed("no command", { status: 127 });
    yield `$ ${command}`;
    return 1;
  }

  async *shell(_: undefined, { items, signal }: { items: AsyncIterable<string>; signal: AbortSignal }) {
    for await (const line of items) if (!signal.aborted) yield line;
  }

  workerLoad() {
    return { load: this.running.size };
  }
}

export async function use(): Promise<number> {
  const literal = serveFarmCallbacks({
    async jobCancel(data, { signal }) {
      same<typeof data, number>(true);
      same<typeof signal, AbortSignal>(true);
    },
    async *jobRun(param, { closing }) {
      same<typeof param, Job>(true);
      while (!closing.aborted) yield param.command;
      return 0;
    },
    async *shell(param, { items }) {
      same<typeof param, undefined>(true);
      for await (const item of items) {
        same<typeof item, string>(true);
        yield item;
      }
    },
    workerLoad: async () => ({ load: 0.5 }),
  });
  const connection = connect("/rpc/", { handler: literal });
  connect("/rpc/", { handler: serveFarmCallbacks(new Worker()) });
  return new FarmClient(connection).submit("make");
}
