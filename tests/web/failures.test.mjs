import assert from "node:assert/strict"
import { spawn } from "node:child_process"
import { once } from "node:events"
import { test } from "node:test"
import { serve } from "../../runtime/enkaku/web/callbacks.js"
import { connect, ConnectionLost, DeadlineExceeded } from "../../runtime/enkaku/web/enkaku.js"
import { message, served } from "./odd_server.mjs"
import { ASK, CALL, connected, reconnect, TALK, transport, until, VOID, WATCH } from "./procedures.mjs"

const SERVER = new URL("handler.py", import.meta.url).pathname

/** Start a server, at a free port by default. */
async function start(port = 0) {
  const server = spawn(process.env.ENKAKU_PYTHON, [SERVER, String(port)], { stdio: ["ignore", "pipe", "inherit"] })
  const [line] = await once(server.stdout, "data")
  const stop = async (signal) => {
    if (server.exitCode !== null || server.signalCode !== null) return
    server.kill(signal)
    await once(server, "exit")
  }
  return { port: Number(line), url: `http://127.0.0.1:${Number(line)}/`, stop }
}

async function next(stream) {
  const { value } = await stream[Symbol.asyncIterator]().next()
  return value
}

test("a connection goes on with the next server", async () => {
  const first = await start()
  let second
  const states = []
  try {
    await connected(
      async (connection) => {
        const stream = connection.stream(WATCH, -3)
        assert.equal(await connection.request(ASK, 1), 2)
        await first.stop("SIGTERM")
        await assert.rejects(stream.result(), (error) => error instanceof ConnectionLost || error.code === "EKP01")
        await until(() => connection.state === "connecting")
        const waiting = [connection.request(ASK, 2), connection.stream(WATCH, 3).result()]
        await assert.rejects(connection.request(ASK, 2, { timeout: 50 }), DeadlineExceeded)
        second = await start(first.port)
        assert.deepEqual(await Promise.all(waiting), [4, 3])
        assert.equal(connection.state, "open")
      },
      { reconnect, onState: (state) => states.push(state) },
      first.url,
    )
    assert.equal(states[0], "open")
    assert.deepEqual(states.slice(-3), ["connecting", "open", "closed"])
  } finally {
    await first.stop("SIGKILL")
    await second?.stop("SIGKILL")
  }
})

test("the next server can call the handler, too", async () => {
  const first = await start()
  let second
  const signals = []
  const handler = serve({
    ask(param, { signal }) {
      signals.push(signal)
      return param === -3 ? new Promise(() => {}) : param + 1
    },
  })
  try {
    await connected(
      async (connection) => {
        assert.equal(await connection.request(CALL, '["ask",1]'), "2")
        const lost = connection.request(CALL, '["ask",-3]')
        await until(() => signals.length === 2)
        await first.stop("SIGKILL")
        await assert.rejects(lost, ConnectionLost)
        await until(() => connection.state === "connecting")
        await until(() => signals[1].aborted)
        assert.equal(signals[1].reason.name, "ConnectionLost")
        second = await start(first.port)
        assert.equal(await connection.request(CALL, '["ask",2]'), "3")
      },
      { reconnect, handler },
      first.url,
    )
  } finally {
    await first.stop("SIGKILL")
    await second?.stop("SIGKILL")
  }
})

test("without reconnecting, a handler ends with its connection", async () => {
  const server = await start()
  try {
    await connected(
      async (connection) => {
        assert.equal(await connection.request(CALL, '["ask",1]'), "1")
        await server.stop("SIGKILL")
        await until(() => connection.state === "closed")
        await assert.rejects(connection.request(ASK, 1), ConnectionLost)
      },
      { reconnect: false, handler: serve({ ask: (param) => param }) },
      server.url,
    )
  } finally {
    await server.stop("SIGKILL")
  }
})

test("calls of a server that was killed are lost", async () => {
  const server = await start()
  try {
    await connected(
      async (connection) => {
        const stream = connection.stream(WATCH, -1)
        const channel = connection.channel(TALK, 0)
        assert.equal(await next(stream), 0)
        await channel.send(1)
        await assert.rejects(connection.request(ASK, -6), ConnectionLost)
        await assert.rejects(stream.result(), ConnectionLost)
        await assert.rejects(channel.result(), ConnectionLost)
        await assert.rejects(channel.send(1), ConnectionLost)
        await assert.rejects(connection.request(ASK, 1), ConnectionLost)
      },
      { reconnect: false },
      server.url,
    )
  } finally {
    await server.stop("SIGKILL")
  }
})

test("without a server, calls fail, or wait until their deadline", async () => {
  const server = await start()
  await server.stop("SIGKILL")
  const controller = new AbortController()
  await connected(
    async (connection) => {
      await assert.rejects(connection.request(ASK, 1), ConnectionLost)
      assert.equal(connection.state, "closed")
      await assert.rejects(connection.stream(WATCH, 1).result(), ConnectionLost)
      connection.request(ASK, 1) // an error that is not awaited
    },
    { reconnect: false },
    server.url,
  )
  await connected(
    async (connection) => {
      await assert.rejects(connection.request(ASK, 1, { timeout: 100 }), DeadlineExceeded)
      const aborted = connection.stream(WATCH, 1, { signal: controller.signal })
      controller.abort()
      await assert.rejects(next(aborted), { name: "AbortError" })
      const waiting = connection.request(ASK, 1)
      await connection.close()
      await assert.rejects(waiting, ConnectionLost)
    },
    { reconnect },
    server.url,
  )
})

test("close ends every call and handler", async () => {
  const connection = connect(process.env.ENKAKU_URL, { transport })
  const calls = [connection.request(ASK, -3), connection.stream(WATCH, -3).result(), connection.channel(TALK, 0).result()]
  await connected((other) => until(async () => (await other.request(ASK, -4)) === 3))
  await Promise.all([connection.close(), connection.close()])
  assert.equal(connection.state, "closed")
  for (const call of calls) await assert.rejects(call, ConnectionLost)
  await assert.rejects(connection.request(VOID), ConnectionLost)
  await connected((other) => until(async () => (await other.request(ASK, -4)) === 0))
  assert.throws(() => connect("http://localhost", { transport: "carrier pigeon" }), TypeError)
})

test("odd messages end what they must and nothing else", () =>
  served(
    ({ typ, rid }, reply) => {
      if (typ === "request") return reply(message({ typ: "result", rid, val: 1 }))
      if (typ !== "stream") return
      for (const odd of ["not JSON", "null", "42", "[]", "{}", '{"payload":null}', message({ typ: "moved", rid })]) reply(odd)
      for (const other of ["__proto__", "", 7, null, { a: 1 }]) reply(message({ typ: "result", rid: other, val: 1 }))
      reply(message({ typ: "receive", rid, val: null, more: 1 }))
      reply(message({ typ: "receive", rid }))
    },
    (url, received) =>
      connected(
        async (connection) => {
          const stream = connection.stream(WATCH, 1)
          const iterator = stream[Symbol.asyncIterator]()
          assert.deepEqual(await iterator.next(), { done: false, value: null })
          await assert.rejects(stream.result(), { code: "EK08" })
          await assert.rejects(iterator.next(), { code: "EK08" })
          assert.equal((await iterator.next()).done, true)
          assert.equal(await connection.request(ASK, 1), 1)
          assert.equal(connection.state, "open")
          await until(() => received.some(({ typ }) => typ === "abort"))
        },
        {},
        url,
      ),
  ))

test("an answer that is no message, or that breaks off, fails its request", () =>
  served(
    ({ typ, rid, prm }, reply, end) => {
      if (typ !== "request") return
      if (prm === 1) reply(message({ typ: "receive", rid, val: 1 }))
      else if (prm === 2) reply(message({ typ: "error", rid, code: 5, msg: "x", data: {} }))
      else end()
    },
    async (url) => {
      await connected(
        async (connection) => {
          await assert.rejects(connection.request(ASK, 1), { code: "EK08" })
          await assert.rejects(connection.request(ASK, 2), { code: "EK08" })
          await assert.rejects(connection.request(ASK, 3), ConnectionLost)
        },
        { reconnect },
        url,
      )
    },
  ))

test("a server without flow control gets no credits and all items", () =>
  served(
    ({ typ, rid, val }, reply) => {
      if (typ === "stream") {
        for (let item = 0; item < 10_000; item++) reply(message({ typ: "receive", rid, val: item }))
        reply(message({ typ: "result", rid, val: 7 }))
      } else if (typ === "channel") reply(message({ typ: "receive", rid, val: "go" }))
      else if (val === "last") reply(message({ typ: "result", rid, val: 8 }))
    },
    (url, received) =>
      connected(
        async (connection) => {
          const stream = connection.stream(WATCH, 1)
          let count = 0
          for await (const item of stream) assert.equal(item, count++)
          assert.equal(count, 10_000)
          assert.equal(await stream.result(), 7)
          const channel = connection.channel(TALK, 1)
          assert.equal(await next(channel), "go")
          for (let item = 0; item < 20; item++) await channel.send("x".repeat(10_000))
          await channel.send("last")
          assert.equal(await channel.result(), 8)
          const another = connection.channel(TALK, 1)
          await assert.rejects(another.end(), /half-close/)
          await until(() => received.filter(({ typ }) => typ === "send").length === 21)
          assert.ok(!received.some(({ typ }) => typ === "credit" || typ === "end"))
        },
        {},
        url,
      ),
    { flow: false },
  ))

test("credits are for the bytes that were sent, and no more", async () => {
  const items = Array.from({ length: 500 }, (_, item) => item)
  let sent = 0
  await served(
    ({ typ, rid }, reply) => {
      if (typ !== "stream") return
      for (const item of items) {
        const text = message({ typ: "receive", rid, val: "x".repeat(600) + item })
        sent += Buffer.byteLength(text) + 1 // as the server counts, with a newline
        reply(text)
      }
    },
    (url, received) =>
      connected(
        async (connection) => {
          const credits = () => received.reduce((sum, { typ, n }) => sum + (typ === "credit" ? n : 0), 0)
          const iterator = connection.stream(WATCH, 1)[Symbol.asyncIterator]()
          for (const _ of items) await iterator.next()
          iterator.next().catch(() => {}) // it waits, and what is not granted yet is granted
          await until(() => credits() >= sent)
          assert.equal(credits(), sent)
        },
        {},
        url,
      ),
  )
})

test("a server that ignores the window ends only its call", () =>
  served(
    ({ typ, rid, prm }, reply) => {
      if (typ === "request") reply(message({ typ: "result", rid, val: prm }))
      if (typ !== "stream") return
      for (let item = 0; item < 100; item++) reply(message({ typ: "receive", rid, val: "x".repeat(20_000) }))
    },
    (url, received) =>
      connected(
        async (connection) => {
          const stream = connection.stream(WATCH, 1)
          const iterator = stream[Symbol.asyncIterator]()
          await until(() => received.some(({ typ }) => typ === "abort"))
          await assert.rejects(iterator.next(), { code: "EKP02" })
          assert.equal(await connection.request(ASK, 5), 5)
        },
        {},
        url,
      ),
  ))

test("leaving half-closes channels, and new calls wait for another connection", () =>
  served(
    ({ typ, rid }, reply, end) => {
      if (typ === "channel") {
        reply(message({ typ: "credit", rid, n: 1_000 }))
        reply(message({ typ: "leaving" }))
      } else if (typ === "end") {
        reply(message({ typ: "result", rid, val: 3 }))
        setTimeout(end, 20)
      } else if (typ === "request") reply(message({ typ: "result", rid, val: 4 }))
    },
    (url, received) =>
      connected(
        async (connection) => {
          const channel = connection.channel(TALK, 1)
          await until(() => received.length > 0 && connection.state === "connecting")
          await assert.rejects(channel.send(1), /left by the server/)
          const waiting = connection.request(ASK, 1)
          assert.equal(await channel.result(), 3)
          assert.equal(await waiting, 4)
          assert.ok(received.findIndex(({ typ }) => typ === "end") < received.findIndex(({ typ }) => typ === "request"))
        },
        { reconnect },
        url,
      ),
  ))

test("automatic connections choose what the server and Node have", () =>
  connected(async (connection) => assert.equal(await connection.request(ASK, 4), 8), { transport: "auto" }))

test("headers are sent over HTTP", () =>
  connected(async (connection) => assert.equal(await connection.request(ASK, 4), 8), {
    transport: "auto",
    headers: { authorization: "Bearer 1" },
  }))
