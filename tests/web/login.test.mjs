import assert from "node:assert/strict"
import { test } from "node:test"
import { connected, ECHO, reconnect, until, WATCH } from "./procedures.mjs"

/** A token of a user, which is accepted for some seconds. */
const token = (name, seconds) => ({ token: `${name} ${Date.now() / 1000 + seconds}` })
const who = (connection) => connection.request(ECHO, "?")

test("login proves who makes all calls", async () => {
  let count = 0
  const login = async () => {
    count++
    return token("alice", 60)
  }
  await connected(
    async (connection) => {
      assert.deepEqual(await Promise.all([who(connection), who(connection)]), ["test:alice", "test:alice"])
      const items = []
      for await (const item of connection.stream(WATCH, 2)) items.push(item)
      assert.deepEqual(items, [0, 1])
      assert.equal(count, 1)
    },
    { login },
  )
})

test("login is renewed before it expires", async () => {
  let count = 0
  const login = async () => {
    count++
    return token("alice", 1.5)
  }
  await connected(
    async (connection) => {
      assert.equal(await who(connection), "test:alice")
      await until(() => count >= 3)
      assert.equal(await who(connection), "test:alice")
    },
    { login },
  )
})

test("login that the server rejects ends the connection", () =>
  connected(
    async (connection) => {
      await assert.rejects(who(connection), { name: "CallError", code: "EK02" })
      await until(() => connection.state === "closed")
      await assert.rejects(who(connection), { code: "EK02" })
    },
    { login: async () => token("nobody", 60), reconnect },
  ))

test("login function that fails is called again", async () => {
  let count = 0
  const login = async () => {
    if (++count < 3) throw new Error("no token yet")
    return token("alice", 60)
  }
  await connected(async (connection) => assert.equal(await who(connection), "test:alice"), { login, reconnect })
  assert.equal(count, 3)
  await connected((connection) => assert.rejects(who(connection), /no token yet/), {
    login: () => Promise.reject(new Error("no token yet")),
    reconnect: false,
  })
})

test("login function that hangs is bounded by the timeout", () =>
  connected((connection) => assert.rejects(who(connection), { name: /TimeoutError|CallError|DeadlineExceeded/ }), {
    login: () => new Promise(() => {}),
    timeout: 50,
    reconnect: false,
  }))
