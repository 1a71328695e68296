// What a generated client has: the procedures of tests/support.py.
import { connect, DeclaredError } from "../../runtime/enkaku/web/enkaku.js"

export class OutOfStock extends DeclaredError {
  static code = "OUT_OF_STOCK"
}

const errors = { OUT_OF_STOCK: OutOfStock }
export const ASK = { name: "ask", kind: "request", errors }
export const CALL = { name: "call", kind: "request" }
export const ECHO = { name: "echo", kind: "request" }
export const METADATA = { name: "metadata", kind: "request" }
export const METADATA_LATER = { name: "metadata/later", kind: "stream" }
export const VOID = { name: "void", kind: "request" }
export const TELL = { name: "tell", kind: "event" }
export const WATCH = { name: "watch", kind: "stream", errors }
export const POUR = { name: "pour", kind: "stream" }
export const TALK = { name: "talk", kind: "channel", errors }
export const FILL = { name: "fill", kind: "channel" }

export const transport = process.env.ENKAKU_TRANSPORT
export const reconnect = { first: 10, longest: 100 }

/** Use a connection of a test, and close it. */
export async function connected(use, options = {}, url = process.env.ENKAKU_URL) {
  const connection = connect(url, { transport, ...options })
  try {
    return await use(connection)
  } finally {
    await connection.close()
  }
}

/** Wait until a condition holds, for at most ten seconds. */
export async function until(condition) {
  const end = Date.now() + 10_000
  while (!(await condition())) {
    if (Date.now() > end) throw new Error(`not within ten seconds: ${condition}`)
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}
