import assert from "node:assert/strict"
import { test } from "node:test"
import { CallError, DeadlineExceeded } from "../../runtime/enkaku/web/enkaku.js"
import { ASK, connected, ECHO, FILL, METADATA, METADATA_LATER, OutOfStock, POUR, TALK, TELL, until, VOID, WATCH } from "./procedures.mjs"

const running = (connection) => connection.request(ASK, -4)
const idle = (connection) => until(async () => (await running(connection)) === 0)

async function all(stream) {
  const items = []
  for await (const item of stream) items.push(item)
  return items
}

test("request returns its result", () =>
  connected(async (connection) => {
    assert.equal(await connection.request(ASK, 21), 42)
    assert.equal(await connection.request(VOID), undefined)
    assert.equal(await connection.request(ECHO, "é\n\u2028😀"), "é\n\u2028😀")
    assert.equal(connection.state, "open")
  }))

test("errors that the protocol declares have their class", () =>
  connected(async (connection) => {
    const error = await connection.request(ASK, -1).catch((each) => each)
    assert.ok(error instanceof OutOfStock)
    assert.deepEqual([error.code, error.message, error.data], ["OUT_OF_STOCK", "none left", { missing: 3 }])
    await assert.rejects(connection.request(ASK, -2), { name: "CallError", code: "EK01" })
    await assert.rejects(connection.request(ASK, "x"), { name: "CallError", code: "EK08" })
    await assert.rejects(connection.request(ASK, -5), { name: "CallError", code: "TIRED" })
    await assert.rejects(connection.request({ name: "toString", kind: "request", errors: {} }), { code: "EK08" })
  }))

test("a value that is no JSON fails its call alone", () =>
  connected(async (connection) => {
    assert.throws(() => connection.request(ASK, 1n), TypeError)
    assert.equal(await connection.request(ASK, 1), 2)
  }))

test("event reaches its handler", () =>
  connected(async (connection) => {
    await connection.event(TELL, 5)
    await until(async () => (await running(connection)) === 5)
    await connection.event(TELL, -5)
    await idle(connection)
  }))

test("stream ends with its items and result", () =>
  connected(async (connection) => {
    const stream = connection.stream(WATCH, 3)
    assert.deepEqual(await all(stream), [0, 1, 2])
    assert.equal(await stream.result(), 3)
    assert.equal(await connection.stream(WATCH, 20_000).result(), 20_000)
    const both = connection.stream(WATCH, 20_000)
    const [result, items] = await Promise.all([both.result(), all(both)])
    assert.equal(items.length, result)
  }))

test("items as large as the window arrive", () =>
  connected(async (connection) => {
    // 131,000 is nearly half a window, and 200,000 more than one.
    for (const length of [65_500, 70_000, 100_000, 200_000]) {
      const items = await all(connection.stream(POUR, length))
      assert.equal(items.length, 10)
      assert.ok(items.every((item) => item === "é".repeat(length)))
    }
  }))

test("close asks the handler to finish", () =>
  connected(async (connection) => {
    const stream = connection.stream(WATCH, -1)
    let seen = 0
    for await (const item of stream) {
      assert.equal(item, seen++)
      if (item === 5) assert.ok((await stream.close()) >= 6)
    }
    assert.ok(seen >= 6)
  }))

test("leaving the iterator ends the handler", () =>
  connected(async (connection) => {
    const stream = connection.stream(WATCH, -1)
    for await (const item of stream) if (item === 2) break
    await assert.rejects(stream.result(), { name: "AbortError" })
    await idle(connection)
  }))

test("abort ends the handler, also at once", () =>
  connected(async (connection) => {
    connection.stream(WATCH, -3).abort()
    const stream = connection.stream(WATCH, -3)
    await until(async () => (await running(connection)) === 1)
    stream.abort("enough")
    await assert.rejects(all(stream), { name: "AbortError" })
    await idle(connection)
  }))

test("signal aborts a request, a stream and what was not sent", () =>
  connected(async (connection) => {
    const reason = new Error("no longer")
    for (const begin of [
      (signal) => connection.request(ASK, -3, { signal }),
      (signal) => all(connection.stream(WATCH, -3, { signal })),
    ]) {
      const controller = new AbortController()
      const call = begin(controller.signal)
      await until(async () => (await running(connection)) === 1)
      controller.abort(reason)
      await assert.rejects(call, reason)
      await assert.rejects(begin(controller.signal), reason)
      await idle(connection)
    }
  }))

test("timeout ends a call here and at the server", () =>
  connected(async (connection) => {
    const began = Date.now()
    await assert.rejects(connection.request(ASK, -3, { timeout: 100 }), DeadlineExceeded)
    await assert.rejects(all(connection.stream(WATCH, -3, { timeout: 100 })), { code: "EK05" })
    assert.ok(Date.now() - began < 5_000)
    await idle(connection)
    const own = await connected((other) => other.request(ASK, -3).catch((error) => error), { timeout: 50 })
    assert.ok(own instanceof DeadlineExceeded && own instanceof CallError)
  }))

test("channel sends and receives, until its half-close", () =>
  connected(async (connection) => {
    const channel = connection.channel(TALK, 100)
    const items = all(channel)
    for (let item = 0; item < 10; item++) await channel.send(item)
    await channel.end()
    await assert.rejects(channel.send(1), /half-closed/)
    assert.deepEqual(await items, [100, 101, 102, 103, 104, 105, 106, 107, 108, 109])
    assert.equal(await channel.result(), 45)
    await assert.rejects(channel.send(undefined), TypeError)
  }))

test("items that were sent at once arrive before the close", () =>
  connected(async (connection) => {
    const channel = connection.channel(TALK, 0)
    for (const item of [1, 2, 3, 4]) channel.send(item)
    assert.equal(await channel.close(), 10)
    await assert.rejects(channel.send(5), /closed/)
  }))

test("an error ends a channel while it sends", () =>
  connected(async (connection) => {
    const channel = connection.channel(TALK, 0)
    await channel.send(13)
    await assert.rejects(all(channel), OutOfStock)
    await assert.rejects(channel.send(1), Error)
    const invalid = connection.channel(TALK, 0)
    await invalid.send("no integer")
    await assert.rejects(invalid.result(), { code: "EK08" })
    await idle(connection)
  }))

test("send waits for a handler that does not read", () =>
  connected(async (connection) => {
    const channel = connection.channel(FILL, 300)
    const began = Date.now()
    for (let count = 0; count < 100; count++) await channel.send("x".repeat(20_000)) // four windows of the server
    assert.ok(Date.now() - began >= 250)
    await channel.end()
    assert.equal(await channel.result(), 2_000_000)
  }))

test("two streams go on at once, and one that is not read stops only itself", () =>
  connected(async (connection) => {
    const stalled = connection.stream(WATCH, 50_000)[Symbol.asyncIterator]()
    assert.equal((await stalled.next()).value, 0)
    const counts = await Promise.all([all(connection.stream(WATCH, 9_000)), all(connection.stream(WATCH, 8_000))])
    assert.deepEqual(counts.map((items) => items.length), [9_000, 8_000])
    let last = 0
    for (let item = await stalled.next(); !item.done; item = await stalled.next()) last = item.value
    assert.equal(last, 49_999)
  }))

test("a slow request does not hold up quick ones", () =>
  connected(async (connection) => {
    const slow = connection.request(ASK, -3, { timeout: 2_000 })
    assert.deepEqual(await Promise.all([1, 2, 3].map((each) => connection.request(ASK, each))), [2, 4, 6])
    assert.equal(await Promise.race([slow.catch(() => "slow"), connection.request(ASK, 4)]), 8)
    await assert.rejects(slow, DeadlineExceeded)
  }))

test("a hundred thousand items reach a slow reader in bounded memory", () =>
  connected(async (connection) => {
    const count = 100_000
    const start = process.memoryUsage().rss
    let most = 0
    let expected = 0
    for await (const item of connection.stream(WATCH, count)) {
      assert.equal(item, expected++)
      if (item % 1_000 === 0) {
        await new Promise((resolve) => setTimeout(resolve, 2))
        most = Math.max(most, process.memoryUsage().rss)
      }
    }
    assert.equal(expected, count)
    assert.ok(most - start < 100 * 2 ** 20, `${(most - start) / 2 ** 20} MiB`)
  }))

test("metadata of connection and call arrives", async () => {
  const metadata = { "Ünïcode": "é😀", lang: "en", __proto__: { inherited: "not sent" } }
  const sent = { "Ünïcode": "é😀", lang: "de", own: '"}},{"' }
  await connected(
    async (connection) => {
      const own = { lang: "de", own: '"}},{"' }
      assert.deepEqual(await connection.request(METADATA, undefined, { metadata: own }), sent)
      assert.deepEqual(await connection.stream(METADATA_LATER, undefined, { metadata: own }).result(), sent)
      assert.deepEqual(await connection.request(METADATA), { "Ünïcode": "é😀", lang: "en" })
      await connection.event(TELL, 0, { metadata: own })
    },
    { metadata },
  )
  await connected(async (connection) => assert.deepEqual(await connection.request(METADATA), {}))
})

test("metadata function is called for each call", async () => {
  let count = 0
  const metadata = async () => ({ token: `t${++count}` })
  await connected(
    async (connection) => {
      const first = connection.request(METADATA) // before the connection is open
      assert.deepEqual(await first, { token: "t1" })
      assert.deepEqual(await connection.request(METADATA, undefined, { metadata: { a: "b" } }), { token: "t2", a: "b" })
      const channel = connection.channel(TALK, 0)
      for (const item of [1, 2, 3]) channel.send(item)
      assert.equal(await channel.close(), 6)
      assert.equal(count, 3)
      const stream = connection.stream(WATCH, -1)
      assert.ok((await stream.close()) >= 0)
      connection.stream(WATCH, -3).abort()
      await idle(connection)
    },
    { metadata },
  )
})

test("metadata function that fails or hangs fails its call alone", async () => {
  const error = new Error("no token")
  let next = () => Promise.reject(error)
  await connected(
    async (connection) => {
      await assert.rejects(connection.request(METADATA), error)
      await assert.rejects(all(connection.stream(WATCH, 3)), error)
      next = () => {
        throw error
      }
      await assert.rejects(connection.request(METADATA), error)
      next = () => new Promise(() => {})
      await assert.rejects(connection.request(METADATA, undefined, { timeout: 50 }), DeadlineExceeded)
      const controller = new AbortController()
      const call = connection.request(METADATA, undefined, { signal: controller.signal })
      controller.abort(error)
      await assert.rejects(call, error)
      next = async () => ({ a: "b" })
      assert.deepEqual(await connection.request(METADATA), { a: "b" })
      const late = connection.request(METADATA)
      await connection.close()
      await assert.rejects(late, { name: "ConnectionLost" })
    },
    { metadata: () => next() },
  )
})

test("metadata that no server takes rejects with a TypeError", () =>
  connected(async (connection) => {
    const secret = "a secret"
    for (const metadata of [
      { traceparent: secret },
      { TraceState: secret },
      { baggage: secret },
      { "enkaku-x": secret },
      { number: 1 },
      { nothing: null },
      { large: secret.repeat(600) },
    ]) {
      const error = await connection.request(METADATA, undefined, { metadata }).catch((each) => each)
      assert.ok(error instanceof TypeError)
      assert.ok(!error.message.includes(secret))
    }
    const largest = { a: "é".repeat(2_044) }
    assert.deepEqual(await connection.request(METADATA, undefined, { metadata: largest }), largest)
    assert.deepEqual(await connection.request(METADATA, undefined, { metadata: { baggages: "" } }), { baggages: "" })
  }))
