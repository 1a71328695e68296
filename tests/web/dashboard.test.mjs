// The client that is generated for the dashboard, in Node, against the dashboard's server.
import assert from "node:assert/strict"
import { test } from "node:test"
import { DashboardClient, SystemRestartUnknownService } from "./client.js"
import { connect } from "./enkaku.js"

const { ENKAKU_URL: url, ENKAKU_TRANSPORT: transport } = process.env

test("the generated client makes every kind of call", { timeout: 30_000 }, async () => {
  const connection = connect(url, { transport })
  const client = new DashboardClient(connection)
  try {
    const metrics = client.metricsStream({ interval: 100 })
    let seen = 0
    for await (const { cpu, memory, timestamp } of metrics) {
      assert.ok([cpu, memory, timestamp].every(Number.isFinite))
      if (++seen === 2) break
    }
    await assert.rejects(metrics.result())

    const closed = client.metricsStream({ interval: 100 })
    const iterator = closed[Symbol.asyncIterator]()
    await iterator.next()
    assert.ok((await closed.close()).totalSamples >= 1)

    const logs = client.logsWatch({ level: "error" })
    await logs.send({ level: "debug" })
    assert.ok((await logs[Symbol.asyncIterator]().next()).value.message)
    assert.ok((await logs.close()).totalLogs >= 1)

    await assert.rejects(client.systemRestart({ service: "none" }), (error) => {
      assert.ok(error instanceof SystemRestartUnknownService)
      return error.code === "UNKNOWN_SERVICE" && error.data.known.length > 0
    })
    const [service] = await client.systemRestart({ service: "none" }).catch(({ data }) => data.known)
    assert.equal((await client.systemRestart({ service })).success, true)
  } finally {
    await connection.close()
  }
})
