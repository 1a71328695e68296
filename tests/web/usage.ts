// What "tsc --strict" checks: the types of the runtime, used as generated code and its users use them.
import { type CallError, type ChannelProcedure, connect, ConnectionLost, DeclaredError } from "../../runtime/enkaku/web/enkaku.js"
import { serve } from "../../runtime/enkaku/web/callbacks.js"
import type { Event, Request, StreamProcedure } from "../../runtime/enkaku/web/enkaku.js"

class OutOfStock extends DeclaredError<{ missing: number }> {
  static readonly code = "OUT_OF_STOCK"
}

const ASK: Request<number, string> = { name: "ask", kind: "request", errors: { OUT_OF_STOCK: OutOfStock } }
const TELL: Event<number> = { name: "tell", kind: "event" }
const WATCH: StreamProcedure<number, boolean, string> = { name: "watch", kind: "stream" }
const TALK: ChannelProcedure<null, number, string, void> = { name: "talk", kind: "channel" }

const handler = serve({
  async "job/run"(param: number, { signal }) {
    signal.throwIfAborted()
    return param
  },
  async *shell(_, { items, closing, metadata: { lang } }) {
    yield lang ?? "en"
    for await (const item of items) if (!closing.aborted) yield item
  },
})
// @ts-expect-error: the method is missing
serve({}, { run: { name: "job/run", kind: "request" } })
serve({ run: (param: number) => param }, { run: { name: "job/run", kind: "request" } })

export async function use(): Promise<string> {
  const metadata = async () => ({ token: "t" })
  const connection = connect("/rpc/", { handler, reconnect: { first: 50 }, timeout: null, metadata, onState: (state) => state.length })
  try {
    const answer: string = await connection.request(ASK, 1, { timeout: 100, signal: AbortSignal.timeout(5), metadata: { lang: "de" } })
    await connection.event(TELL, 1)
    const stream = connection.stream(WATCH, 1)
    for await (const item of stream) if (item satisfies boolean) break
    const channel = connection.channel(TALK, null)
    await channel.send(1)
    // @ts-expect-error: an item is a number
    await channel.send("1")
    // @ts-expect-error: a param is a number
    connection.stream(WATCH, "1")
    await channel.end()
    await channel.result()
    return answer + (await stream.close())
  } catch (error) {
    if (error instanceof OutOfStock) return `${error.data.missing.toFixed()} ${error.code}`
    if (error instanceof ConnectionLost) return error.message
    return (error as CallError).code
  } finally {
    await connection.close()
  }
}
