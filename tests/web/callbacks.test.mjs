import assert from "node:assert/strict"
import { test } from "node:test"
import { serve } from "../../runtime/enkaku/web/callbacks.js"
import { connect, DeclaredError } from "../../runtime/enkaku/web/enkaku.js"
import { ASK, CALL, connected, OutOfStock, reconnect, transport, until } from "./procedures.mjs"

const sleep = (time) => new Promise((resolve) => setTimeout(resolve, time))
const aborted = (signal) => new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)))

/** Make the handler of a test, and what it records. */
function made() {
  const seen = { told: [], reasons: [], yielded: 0, finished: 0 }
  const record = (signal) => signal.addEventListener("abort", () => seen.reasons.push(signal.reason.name))
  const handler = serve({
    async ask(param, { signal }) {
      record(signal)
      if (param === -1) throw new OutOfStock("none left", { missing: 3 })
      if (param === -2) throw new Error("a secret")
      if (param === -3) await aborted(signal)
      if (param === -4) return seen.yielded
      if (param === -5) throw new DeclaredError("no JSON", { big: 1n }, "TIRED")
      return 2 * param
    },

    metadata: async (_, { metadata }) => metadata,

    tell: (data) => seen.told.push(data),

    async *watch(param, { signal, closing }) {
      record(signal)
      let item = 0
      try {
        for (; param < 0 || item < param; item++) {
          if (closing.aborted) break
          yield item
          seen.yielded++
          if (param < 0) await sleep(1)
        }
        return item
      } finally {
        seen.finished++
      }
    },

    async *talk(param, { items, signal }) {
      record(signal)
      let total = 0
      for await (const item of items) {
        if (item === 13) throw new OutOfStock("unlucky", { missing: item })
        yield item + param
        total += item
      }
      return total
    },

    async *pour(param) {
      for (let count = 0; count < 10; count++) yield "é".repeat(param)
      return param
    },

    async *fill(_, { items }) {
      seen.sent = await seen.countSent()
      let size = 0
      for await (const item of items) size += item.length
      return size
    },
  })
  return { handler, seen }
}

/** Use a connection with a handler; `ask(name, number)` lets the server call it, and returns what it got. */
async function called(use, options) {
  const { handler, seen } = made()
  await connected(
    (connection) => {
      const ask = async (name, number) => JSON.parse(await connection.request(CALL, JSON.stringify([name, number])))
      return use(ask, seen, connection)
    },
    { handler, ...options },
  )
}

test("a method gets the metadata of its call", () =>
  called(async (ask) => {
    assert.deepEqual(await ask("identify", 5), { number: "5" })
    assert.deepEqual(await ask("identify", 0), {})
  }))

test("server gets the result of a request", () =>
  called(async (ask) => {
    assert.equal(await ask("ask", 21), 42)
    assert.equal(await ask("flood", 500), 1_000)
  }))

test("server gets errors by their code", () =>
  called(async (ask, seen) => {
    const written = []
    const { error } = console
    console.error = (...parts) => written.push(parts.join(" "))
    try {
      assert.deepEqual(await ask("ask", -1), { error: "OutOfStock", code: "OUT_OF_STOCK", message: "none left" })
      assert.deepEqual(await ask("ask", -2), { error: "CallError", code: "EK01" })
      assert.deepEqual(await ask("ask", -5), { error: "CallError", code: "EK01" })
      assert.deepEqual(await ask("echo", 1), { error: "CallError", code: "EK08" })
      assert.deepEqual(await ask("unlucky", 13), { error: "OutOfStock", code: "OUT_OF_STOCK", message: "unlucky" })
    } finally {
      console.error = error
    }
    assert.equal(written.length, 2)
    assert.ok(written[0].includes("a secret"))
    assert.deepEqual(seen.reasons, [])
  }))

test("events reach the handler in order", () =>
  called(async (ask, seen) => {
    await ask("tell", 100)
    await until(() => seen.told.length === 100)
    assert.deepEqual(seen.told, [...Array(100).keys()])
  }))

test("server reads a stream to its result", () =>
  called(async (ask) => {
    assert.deepEqual(await ask("watch", 3), [3, 2, 3])
    assert.deepEqual(await ask("watch", 0), [0, -1, 0])
    assert.deepEqual(await ask("watch", 10_000), [10_000, 9_999, 10_000])
  }))

test("a generator waits for a server that does not read", () =>
  called(async (ask) => {
    const count = 20_000
    const [yielded, read] = await ask("stall", count)
    assert.equal(read, count)
    assert.ok(yielded < count / 2, `${yielded} items were yielded`)
  }))

test("items as large as the window are sent", () =>
  called(async (ask) => {
    for (const length of [1, 100_000, 300_000]) assert.deepEqual(await ask("pour", length), Array(10).fill(length))
  }))

test("channel goes both ways", () =>
  called(async (ask) => assert.deepEqual(await ask("talk", 5), [[100, 101, 102, 103, 104], 10])))

test("ten thousand items wait at the server for a method that does not read", () =>
  called(async (ask, seen) => {
    seen.countSent = () => ask("sent", 1)
    assert.equal(await ask("fill", 10_000), 10_000_000)
    assert.ok(seen.sent > 0 && seen.sent < 500, `${seen.sent} items of 1,000 bytes were sent`)
  }))

test("close lets a generator return its result", () =>
  called(async (ask, seen) => {
    assert.ok((await ask("close", -1)) >= 1)
    assert.deepEqual([seen.finished, seen.reasons], [1, []])
  }))

test("abort ends a generator and a channel", () =>
  called(async (ask, seen) => {
    assert.equal(await ask("leave", -1), 0)
    await until(() => seen.finished === 1)
    assert.equal(await ask("hang_up", 4), 5)
    await until(() => seen.reasons.length === 2)
    assert.deepEqual(seen.reasons, ["AbortError", "AbortError"])
  }))

test("cancelling a request aborts its signal", () =>
  called(async (ask, seen) => {
    assert.equal(await ask("cancel", -3), "cancelled")
    await until(() => seen.reasons.length === 1)
    assert.deepEqual(seen.reasons, ["AbortError"])
  }))

test("deadline of the server aborts the method", () =>
  called(async (ask, seen) => {
    assert.equal((await ask("hurry", -3)).error, "DeadlineExceeded")
    await until(() => seen.reasons.length === 1)
    assert.ok(["AbortError", "DeadlineExceeded"].includes(seen.reasons[0])) // whoever notices first
  }))

test("a client that sends nothing can be called", async () => {
  const { handler } = made()
  const silent = connect(process.env.ENKAKU_URL, { transport, handler })
  try {
    await until(() => silent.state === "open")
    await connected(async (connection) => {
      const everyone = async () => JSON.parse(await connection.request(CALL, '["everyone",4]'))
      await until(async () => (await everyone()).length === 1)
      assert.deepEqual(await everyone(), [8])
    })
  } finally {
    await silent.close()
  }
})

test("a client without a handler cannot be called", () =>
  called(async (ask) => assert.deepEqual(await ask("ask", 1), { error: "NotSupported" }), { handler: undefined }))

test("closing the connection aborts the methods", async () => {
  const { handler, seen } = made()
  const connection = connect(process.env.ENKAKU_URL, { transport, handler, reconnect: false })
  const call = connection.request(CALL, '["ask",-3]')
  const streaming = connection.request(CALL, '["watch",-1]')
  await until(() => seen.yielded > 0)
  await connection.close()
  for (const each of [call, streaming]) await assert.rejects(each, { name: "ConnectionLost" })
  await until(() => seen.finished === 1)
  assert.deepEqual(seen.reasons, ["ConnectionLost", "ConnectionLost"])
})

test("own calls and those of the server go on at once", () =>
  called(async (ask, _, connection) => {
    const outcomes = [ask("watch", 3_000), connection.request(ASK, 1), ask("talk", 10), connection.request(ASK, 2)]
    const [watched, one, [, total], two] = await Promise.all(outcomes)
    assert.deepEqual([watched[0], one, total, two], [3_000, 2, 45, 4])
  }, { reconnect }))

test("serve rejects a handler that lacks a method", () => {
  const procedures = { run: { name: "job/run", kind: "request" } }
  assert.throws(() => serve({}, procedures), TypeError)
  assert.throws(() => serve({ run: 1 }), TypeError)
  class Worker {
    run() {}
  }
  assert.throws(() => serve(new Worker()), TypeError)
  serve(new Worker(), procedures)
})
